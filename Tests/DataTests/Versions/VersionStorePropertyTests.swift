import BSON
import Conformance
import Core
@testable import Data
import Testing

/// Random steps, reads, prunes, rollbacks and restarts, against full copies of everything.
@Suite struct VersionStorePropertyTests {
    final class Run {
        var random: SplitMix64
        let engine: any StorageEngine
        var store: VersionStore
        var model = VersionModel()
        var commitPoint = OpTime.null
        var snapshots: [SnapshotToken] = []
        let tables = [TableID(rawValue: 20), TableID(rawValue: 21), TableID(rawValue: 22)]
        let local = TableID(rawValue: 23)
        var clock = 1
        var term: Int64 = 1

        init(seed: UInt64, engine: any StorageEngine) {
            random = SplitMix64(seed: seed)
            self.engine = engine
            store = VersionStore(engine: engine, keepsHistory: true)
        }

        /// Prefix-free, as the contract asks: bytes, then one that ends the key; or of a fixed length.
        func key(_ table: TableID) -> [UInt8] {
            if table == tables[1] { return [0, 0, UInt8(random.below(3)), [0, 1, 0xFF][random.below(3)]] }
            return (0..<random.below(3)).map { _ in [1, 0x60, 0xFF][random.below(3)] } + [0]
        }

        /// Anything: also prefixes of keys, and keys with something behind them.
        func bound(_ table: TableID) -> (key: [UInt8], including: Bool)? {
            if random.oneIn(6) { return nil }
            var bytes = key(table)
            if random.oneIn(3), bytes.count > 1 { bytes.removeLast() }
            if random.oneIn(3) { bytes += [[0, 1, 0x7F, 0xFF][random.below(4)]] }
            return (bytes, random.oneIn(2))
        }

        func pickPoint() -> (ReadPoint, VersionModel.Tables) {
            let first = max(store.oldestReadable, time(0).timestamp).rawValue
            let last = model.last.timestamp.rawValue
            if random.oneIn(4) || first > last { return (.latest, model.latest) }
            // Times without a step, too.
            let at = Timestamp(rawValue: first + UInt64(random.below(Int(last - first) + 2)))
            return (.at(at), model.tables(at: at))
        }

        func checkReads() async throws {
            let table = tables[random.below(3)]
            let (point, state) = pickPoint()
            let key = key(table)
            let found = try await store.value(table, key, at: point)
            #expect(found == state[table]?[key], "get \(key) at \(point)")
            let bound = bound(table)
            let direction = random.oneIn(2) ? ScanDirection.forward : .backward
            let limit = 1 + random.below(12)
            let rows = try await store.scan(table, from: bound, direction: direction, at: point, limit: limit)
            let expected = VersionModel.scan(state[table] ?? [:], from: bound, direction: direction, limit: limit)
            let comment: Comment = "scan \(direction) from \(bound.debugDescription) at \(point)"
            #expect(rows.map(\.0) == expected.map(\.0), comment)
            #expect(rows.map(\.1) == expected.map(\.1), comment)
        }

        func step() async throws {
            clock += 1 + random.below(2)
            let optime = OpTime(term: term, timestamp: time(clock).timestamp)
            let writes = (0...random.below(5)).map { _ in
                let table = tables[random.below(3)]
                let length = random.oneIn(60) ? 90_000 : random.below(30)
                return (
                    table, key(table), random.oneIn(3) ? nil : [UInt8](repeating: UInt8(clock & 0xFF), count: length)
                )
            }
            let fails = random.oneIn(10)
            while true {
                do {
                    let step = store.begin()
                    defer { store.abort(step) }
                    var state = model.latest
                    for (table, key, value) in writes {
                        if let value {
                            try step.put(table, .replicated, key, value)
                        } else {
                            try step.delete(table, .replicated, key)
                        }
                        state[table, default: [:]][key] = value
                        if random.oneIn(3) { try checkOwnReads(step, table, state) }
                    }
                    try step.put(local, .local, [1], [UInt8(clock & 0xFF)])
                    if fails { return }
                    try store.commit(step, at: optime)
                    store.end(step)
                    model.states.append((optime, state))
                    model.local[[1]] = [UInt8(clock & 0xFF)]
                    return
                } catch let missing as StorageNotResident {
                    try await store.bringIn(missing.table, missing.key)
                }
            }
        }

        /// The open step sees what it wrote, in gets and in scans.
        func checkOwnReads(_ step: WriteStep, _ table: TableID, _ state: VersionModel.Tables) throws {
            let rows = RowBuffer(limit: 1000)
            for direction in [ScanDirection.forward, .backward] {
                guard case .done = try store.read(table, from: .start, direction: direction, at: step.point, into: rows)
                else {
                    continue
                }
                let expected = VersionModel.scan(state[table] ?? [:], from: nil, direction: direction, limit: 1000)
                #expect(rows.rows.map { [UInt8]($0.key) } == expected.map(\.0))
                #expect(rows.rows.map { [UInt8]($0.value) } == expected.map(\.1))
            }
        }

        func moveCommitPoint() {
            let later = model.states.filter { $0.optime > commitPoint }
            guard !later.isEmpty else { return }
            commitPoint = later[random.below(later.count)].optime
            store.setCommitPoint(commitPoint)
            #expect(store.oldestReadable <= commitPoint.timestamp)
        }

        func useSnapshots() throws {
            if snapshots.count < 3, model.last.timestamp >= store.oldestReadable {
                snapshots.append(try store.openSnapshot(at: model.last.timestamp))
            } else if !snapshots.isEmpty {
                store.closeSnapshot(snapshots.remove(at: random.below(snapshots.count)))
            }
            for token in snapshots { #expect(store.oldestReadable <= token.timestamp) }
        }

        func rollBack() async throws {
            let candidates = model.states.filter { $0.optime >= commitPoint }
            guard !candidates.isEmpty else { return }
            let target = candidates[random.below(candidates.count)].optime
            while true {
                do {
                    if try store.undo(after: target, limit: 1 + random.below(10)) { break }
                    if random.oneIn(4) { try await reopen() }
                } catch let missing as StorageNotResident {
                    try await store.bringIn(missing.table, missing.key)
                }
            }
            model.undo(after: target)
            snapshots.removeAll { $0.timestamp > target.timestamp }
            term += 1
            // The new primary may reuse times.
            clock = Int(target.timestamp.increment)
            #expect(store.lastOptime == target)
        }

        func reopen() async throws {
            await store.close()
            store = VersionStore(engine: engine, keepsHistory: true)
            try await store.open()
            snapshots = []
            if random.oneIn(2), !commitPoint.isNull { store.setCommitPoint(commitPoint) }
        }
    }

    static func run(seed: UInt64, engine: any StorageEngine, steps: Int) async throws {
        let run = Run(seed: seed, engine: engine)
        try await run.store.open()
        for _ in 0..<steps {
            switch run.random.below(40) {
            case 0..<14: try await run.step()
            case 14..<34: try await run.checkReads()
            case 34..<36: run.moveCommitPoint()
            case 36, 37: try run.useSnapshots()
            case 38: if run.random.oneIn(3) { try await run.rollBack() }
            default:
                if run.random.oneIn(3) { try await run.reopen() }
                if run.random.oneIn(3) { _ = try run.store.pruneUndo(limit: run.random.below(20)) }
            }
        }
        let found = try await run.store.value(run.local, [1], at: .latest)
        #expect(found == run.model.local[[1]])
    }

    @Test("every read at a time agrees with a copy of that time", arguments: 1...12 as ClosedRange<UInt64>)
    func agreesWithCopies(seed: UInt64) async throws {
        try await Self.run(seed: seed, engine: LastingStorage(), steps: 4000)
    }

    @Test("the same on an engine larger than memory", arguments: 1...6 as ClosedRange<UInt64>)
    func agreesWhenNotResident(seed: UInt64) async throws {
        let engine = NotResidentStorage(LastingStorage(), seed: seed, keeps: 16)
        try await Self.run(seed: seed, engine: engine, steps: 2500)
        #expect(engine.refusals > 100)
    }
}
