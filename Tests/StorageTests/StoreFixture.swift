import BSON
import Core
@testable import FileStorage
@testable import Simulation

/// Runs `body` on the loop of a simulated node, to its end.
/// - Parameter buggifies: places that may behave oddly do.
func onLoop(
    seed: UInt64, mutants: Mutants = [], buggifies: Bool = false,
    _ body: @escaping (SimulatedRuntime) async throws -> Void
) throws {
    let world = SimulatedWorld(seed: seed)
    if !mutants.isEmpty || buggifies {
        world.hooks = SimulationHooks(mutants: mutants, onProbe: { _ in }, onBuggify: { _ in buggifies })
    }
    let node = world.addNode("store")
    node.mayHelpersBeLate = true
    var result: Result<Void, any Error>?
    node.spawn("the test") {
        do {
            try await body(node)
            result = .success(())
        } catch {
            result = .failure(error)
        }
    }
    try world.run(until: { result != nil }, atMost: .seconds(3600), "the end of the test")
    try result?.get()
}

/// Sizes that make a few hundred small batches go through many segments, runs and merges.
let smallSettings: FileSettings = {
    var settings = FileSettings()
    settings.segmentBytes = 8 * 1024
    settings.checkpointJournalBytes = 6 * 1024
    settings.checkpointChunkBytes = 4 * 1024
    return settings
}()

/// The same, of whose oplog little is in memory.
let pagedSettings: FileSettings = {
    var settings = smallSettings
    settings.oplogSegmentBytes = 512
    settings.oplogMemoryBytes = 256
    return settings
}()

extension FileStorage {
    /// Runs a step until all that it reads is in memory.
    func whenResident<Answer>(_ step: () throws -> Answer) async throws -> Answer {
        while true {
            do { return try step() } catch let missing as StorageNotResident {
                try await prefetch(missing.table, [missing.key])
            }
        }
    }
}

/// What a store should hold, after each number of batches.
struct StoreModel {
    typealias Tables = [TableID: [[UInt8]: [UInt8]]]
    private(set) var states: [(tables: Tables, log: [UInt64])] = [([:], [])]
    private var random: SplitMix64
    private var time: UInt64 = 0
    /// Entries up to this one are not taken back, which a store is told now and then; nil where it never is.
    private(set) var committed: UInt64?

    init(seed: UInt64, commits: Bool = false) {
        random = SplitMix64(seed: seed)
        if commits { committed = 0 }
    }

    /// What the newest entries but a few are behind.
    mutating func commit() -> Timestamp? {
        let log = states[states.count - 1].log
        guard let before = committed, log.count > 4 else { return nil }
        committed = max(before, log[log.count - 5])
        return committed.map { Timestamp(rawValue: $0) }
    }

    var count: Int { states.count - 1 }

    /// A random batch, which is the next in the model.
    mutating func nextBatch() -> WriteBatch {
        var (tables, log) = states[states.count - 1]
        let batch = WriteBatch()
        for _ in 0...Int(random.below(6)) {
            let table = TableID(rawValue: 20 + UInt32(random.below(3)))
            let key = [UInt8(random.below(3)), UInt8(random.below(40))]
            switch random.below(40) {
            case 0:
                batch.dropTable(table)
                tables[table] = nil
            case 1..<8:
                key.withUnsafeBytes { batch.delete(table, key: $0) }
                tables[table]?[key] = nil
            default:
                let value = (0..<Int(random.below(200))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                key.withUnsafeBytes { key in value.withUnsafeBytes { batch.put(table, key: key, value: $0) } }
                tables[table, default: [:]][key] = value
            }
        }
        switch random.below(30) {
        case 0 where log.count > 4:
            // A rollback.
            let after = max(log[log.count - 1 - Int(random.below(committed == 0 ? log.count : 3))], committed ?? 0)
            batch.truncateLog(after: Timestamp(rawValue: after))
            log.removeAll { $0 > after }
        case 1:
            batch.truncateLog(through: .max)
            log = []
            if committed != nil { committed = 0 }
        default: break
        }
        for _ in 0..<Int(random.below(3)) {
            time += UInt64(1 + random.below(3))
            let optime = OpTime(term: 1, timestamp: Timestamp(rawValue: time))
            let entry = Document {
                $0.append("ts", timestamp: optime.timestamp)
                $0.append("t", int64: 1)
                $0.append("o", string: String(repeating: "x", count: Int(time % 50)))
            }
            entry.withView { batch.appendEntry($0.bytes, optime: optime) }
            log.append(time)
        }
        states.append((tables, log))
        return batch
    }

    /// What came behind so many batches never happened.
    mutating func forget(behind count: Int) {
        states.removeLast(states.count - 1 - count)
        if committed != nil { committed = 0 }
    }

    /// After how many batches a store's state is the model's; nil when it never was.
    func find(_ store: FileStorage, from least: Int) async throws -> Int? {
        let found = try StoreModel.contents(store)
        let log = try await store.whenResident { try StoreModel.log(store) }
        return (least..<states.count).first { index in
            found == states[index].tables.filter({ !$0.value.isEmpty })
                && log.suffix(states[index].log.count) == states[index].log[...]
        }
    }

    static func contents(_ store: FileStorage) throws -> Tables {
        var tables: Tables = [:]
        for number in 20..<23 as Range<UInt32> {
            let table = TableID(rawValue: number)
            let rows = RowBuffer(limit: 100_000)
            _ = try store.makeCursor(table).read(from: .start, direction: .forward, into: rows)
            for row in rows.rows { tables[table, default: [:]][[UInt8](row.key)] = [UInt8](row.value) }
        }
        return tables
    }

    static func log(_ store: FileStorage) throws -> [UInt64] {
        var found: [UInt64] = []
        try store.log?.read(from: .zero, inclusive: true, direction: .forward) {
            found.append(DocumentView(base: $0.baseAddress!)["ts"]?.asTimestamp?.rawValue ?? 0)
            return true
        }
        return found
    }
}

/// Runs of a store on a disk with which something goes wrong, and what they bring to light.
enum StoreRun {
    /// Writes, flushes now and then, until all is done or the disk fails. Returns how many batches are promised.
    static func work(
        _ store: FileStorage, _ model: inout StoreModel, batches: Int, _ random: inout SplitMix64
    ) async -> Int {
        var promised = 0
        let start = model.count
        if model.committed != nil { store.log?.expect(bytesMax: 1024) }
        do {
            for _ in 0..<batches {
                try store.apply(model.nextBatch())
                if let committed = model.commit() { store.log?.setCommitPoint(committed) }
                if random.below(4) == 0 {
                    try await store.flush(upTo: store.appliedMark)
                    promised = start + Int(store.durableMark)
                }
            }
        } catch {}
        return max(promised, start + Int(store.durableMark))
    }

    /// The power is cut at that call of the first life, and in the second in its recovery or soon after; the third is
    /// whole. What was flushed must be there, and of the rest a beginning.
    /// - Returns: what was wrong.
    static func powerCut(
        at cut: Int, mutants: Mutants = [], settings: FileSettings = smallSettings, commits: Bool = false
    ) throws -> String? {
        let seed = UInt64(cut)
        let disk = SimulatedDisk(seed: seed)
        var model = StoreModel(seed: seed, commits: commits)
        var random = SplitMix64(seed: seed)
        var promised = 0
        var problem: String?
        disk.failure = (cut, nil)
        for life in 0..<3 where problem == nil {
            try onLoop(seed: seed, mutants: mutants) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: settings)
                do { try await store.open() } catch {
                    if !disk.isOff { problem = "life \(life): \(error)" }
                    return
                }
                guard let found = try await model.find(store, from: promised) else {
                    problem = "life \(life): \(promised) batches are promised, and what is found is something else"
                    return
                }
                promised = found
                model.forget(behind: found)
                promised = await work(store, &model, batches: life == 2 ? 5 : 60, &random)
                if life == 2 { await store.close() }
            }
            disk.restart()
            if life == 0 { disk.failure = (disk.calls + 1 + Int(random.below(40)), nil) }
        }
        return problem
    }

    static func openedWhenFull(seed: UInt64) throws -> String? {
        var wasCut = false
        return try openedWhenFull(seed: seed, cut: nil, &wasCut)
    }

    /// A disk fills up, and its store's process ends; it is opened while there is no room, in lives that end by
    /// themselves or, with `cut`, by the loss of power in that call; then there is room.
    /// - Returns: what was wrong.
    static func openedWhenFull(seed: UInt64, cut: Int?, _ wasCut: inout Bool) throws -> String? {
        let disk = SimulatedDisk(seed: seed)
        var model = StoreModel(seed: seed)
        var random = SplitMix64(seed: seed)
        var promised = 0
        var problem: String?
        var wasOff = false
        /// Opens it and looks whether all is there.
        func open(_ runtime: SimulatedRuntime, _ life: Int) async throws -> FileStorage? {
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
            do { try await store.open() } catch {
                if disk.isOff { wasOff = true } else { problem = "life \(life): \(error)" }
                return nil
            }
            guard let found = try await model.find(store, from: promised) else {
                problem = "life \(life): \(promised) batches are promised, and what is found is something else"
                return nil
            }
            promised = found
            model.forget(behind: found)
            return store
        }
        for life in 0..<5 where problem == nil {
            try onLoop(seed: seed &* 10 &+ UInt64(life)) { runtime in
                if life == 4 { disk.capacity = nil }
                guard let store = try await open(runtime, life) else { return }
                if life == 0 {
                    _ = await work(store, &model, batches: 100, &random)
                    disk.capacity = disk.paths.reduce(2000) { $0 + (disk.byteCount(of: $1) ?? 0) }
                    // Until it is refused, and a little more, which is still taken.
                    while store.writeRefusal == nil, model.count < 2000 {
                        try store.apply(model.nextBatch())
                        await runtime.sleep(for: .milliseconds(20))
                    }
                    disk.capacity = disk.paths.reduce(0) { $0 + (disk.byteCount(of: $1) ?? 0) }
                } else if life < 4 {
                    // Later ones may find room that a cut has made.
                    if life == 1, store.writeRefusal?.code != .outOfDiskSpace { problem = "writes are not refused" }
                    try store.apply(model.nextBatch())
                    await runtime.sleep(for: .seconds(3))
                    if life == 3 {
                        // Room, while it runs.
                        disk.capacity = nil
                        await runtime.sleep(for: Limits.diskFullRetry * 3)
                        if store.writeRefusal != nil { problem = "writes are refused, and there is room" }
                        _ = await work(store, &model, batches: 60, &random)
                    }
                } else {
                    _ = await work(store, &model, batches: 60, &random)
                    await store.close()
                }
                promised = max(promised, model.count - Int(store.appliedMark - store.durableMark))
                wasOff = wasOff || disk.isOff
            }
            // Of the lives on a full disk the first ends as told, the others as processes do.
            if disk.isOff || life == 1 { disk.restart() } else { disk.endProcess() }
            if life == 0, let cut { disk.failure = (disk.calls + cut, nil) }
            if life == 1 {
                wasCut = wasOff
                disk.failure = nil
            }
        }
        return problem
    }

    /// What comes of a bit that turns.
    enum Outcome: Equatable {
        case harmless
        /// The store is not opened, and says why.
        case refused(String)
        /// Something else is served than was promised.
        case served
    }

    /// A bit of some file turns while nobody uses it.
    static func turnedBit(
        seed: UInt64, mutants: Mutants = [], settings: FileSettings = smallSettings, commits: Bool = false
    ) throws -> (path: String, outcome: Outcome) {
        let disk = SimulatedDisk(seed: seed)
        var model = StoreModel(seed: seed, commits: commits)
        var random = SplitMix64(seed: seed)
        let isClosed = seed.isMultiple(of: 2)
        try onLoop(seed: seed, mutants: mutants) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: settings)
            try await store.open()
            _ = await work(store, &model, batches: 80, &random)
            // A last flush, and the mark behind it that says so.
            try await store.flush(upTo: store.appliedMark)
            await runtime.sleep(for: .seconds(1))
            if isClosed { await store.close() }
        }
        disk.endProcess()
        let files = disk.paths.filter { $0 != "/data/lock" && !$0.contains("spare-") }
        let path = files[Int(random.below(files.count))]
        disk.flipBit(of: path, at: Int(random.below((disk.byteCount(of: path) ?? 0) * 8)))
        var outcome = Outcome.harmless
        try onLoop(seed: seed, mutants: mutants) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: settings)
            do {
                try await store.open()
                if try await model.find(store, from: model.count) == nil { outcome = .served }
            } catch let damage as StorageDamage {
                outcome = .refused(damage.description)
            }
        }
        return (path, outcome)
    }
}
