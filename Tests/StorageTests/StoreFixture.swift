import BSON
import Core
@testable import FileStorage
import Simulation

/// Runs `body` on the loop of a simulated node, to its end.
func onLoop(seed: UInt64, _ body: @escaping (SimulatedRuntime) async throws -> Void) throws {
    let world = SimulatedWorld(seed: seed)
    let node = world.addNode("store")
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

/// What a store should hold, after each number of batches.
struct StoreModel {
    typealias Tables = [TableID: [[UInt8]: [UInt8]]]
    private(set) var states: [(tables: Tables, log: [UInt64])] = [([:], [])]
    private var random: SplitMix64
    private var time: UInt64 = 0

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

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
            let after = log[log.count - 1 - Int(random.below(3))]
            batch.truncateLog(after: Timestamp(rawValue: after))
            log.removeAll { $0 > after }
        case 1:
            batch.truncateLog(through: .max)
            log = []
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
    mutating func forget(behind count: Int) { states.removeLast(states.count - 1 - count) }

    /// After how many batches a store's state is the model's; nil when it never was.
    func find(_ store: FileStorage, from least: Int) throws -> Int? {
        let found = try StoreModel.contents(store)
        return try (least..<states.count).first { index in
            guard found == states[index].tables.filter({ !$0.value.isEmpty }) else { return false }
            return try StoreModel.log(store).suffix(states[index].log.count) == states[index].log[...]
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
