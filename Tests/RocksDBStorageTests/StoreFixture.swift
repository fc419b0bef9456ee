#if RocksDB
    import BSON
    import Core
    import Foundation
    import LiveRuntime
    import Simulation

    @testable import RocksDBStorage

    /// Runs `body` on the loop of a simulated node, to its end. Helper threads are no threads there: a job is done when
    /// it is asked for, and its end comes later.
    func onLoop(seed: UInt64 = 1, _ body: @escaping (SimulatedRuntime) async throws -> Void) throws {
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
        try world.run(until: { result != nil }, atMost: .seconds(36_000), "the end of the test")
        try result?.get()
    }

    /// A directory of this machine that goes with the test.
    final class TemporaryDirectory {
        let path: String

        init() throws {
            let name = "quorate-rocksdb-\(UUID().uuidString)"
            path = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
        }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func store(_ runtime: any NodeRuntime, _ settings: RocksDBSettings = smallSettings) -> RocksDBStorage {
            RocksDBStorage(runtime, LiveDisk(), directory: path, name: "store", settings: settings)
        }

        /// The files below it with such an ending, in order.
        func files(_ ending: String) -> [String] {
            (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? [])
                .filter { $0.hasSuffix(ending) }.sorted().map { "\(path)/\($0)" }
        }
    }

    /// Turns one bit of a file.
    func turnBit(of path: String, at offset: Int) throws {
        var content = try Data(contentsOf: URL(fileURLWithPath: path))
        content[offset] ^= 1
        try content.write(to: URL(fileURLWithPath: path))
    }

    /// Sizes that make a few megabytes go through many files, and leave most of them on the disk.
    let smallSettings: RocksDBSettings = {
        var settings = RocksDBSettings()
        settings.cacheBytes = 256 * 1024
        settings.writeBufferBytes = 64 * 1024
        return settings
    }()

    /// What a store should hold, after each number of batches.
    struct StoreModel {
        typealias Tables = [TableID: [[UInt8]: [UInt8]]]
        private(set) var states: [Tables] = [[:]]
        private var random: SplitMix64
        static let tables = (20..<23 as Range<UInt32>).map { TableID(rawValue: $0) }

        init(seed: UInt64) { random = SplitMix64(seed: seed) }

        var count: Int { states.count - 1 }

        /// A random batch, which is the next in the model.
        mutating func nextBatch() -> WriteBatch {
            var tables = states[states.count - 1]
            let batch = WriteBatch()
            for _ in 0...random.below(8) {
                let table = StoreModel.tables[random.below(3)]
                let key = (0...random.below(3)).map { _ in UInt8(random.below(40)) }
                switch random.below(100) {
                case 0:
                    batch.dropTable(table)
                    tables[table] = nil
                case 1..<25:
                    key.withUnsafeBytes { batch.delete(table, key: $0) }
                    tables[table]?[key] = nil
                default:
                    let value = (0..<random.below(1500)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                    key.withUnsafeBytes { key in value.withUnsafeBytes { batch.put(table, key: key, value: $0) } }
                    tables[table, default: [:]][key] = value
                }
            }
            states.append(tables)
            return batch
        }

        /// What came behind so many batches never happened.
        mutating func forget(behind count: Int) { states.removeLast(states.count - 1 - count) }

        /// After how many batches a store's state is the model's; nil when it never was.
        func find(_ store: RocksDBStorage, from least: Int) async throws -> Int? {
            var found: Tables = [:]
            for table in StoreModel.tables {
                let rows = try await allRows(store, table, .forward)
                if !rows.isEmpty {
                    found[table] = Dictionary(rows.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
                }
            }
            return (least..<states.count).first { found == states[$0].filter { !$0.value.isEmpty } }
        }
    }

    struct Entry: Equatable {
        let key: [UInt8]
        let value: [UInt8]
    }

    /// Every row of a table, with what is not in memory prefetched as a node does it.
    func allRows(
        _ store: RocksDBStorage, _ table: TableID, _ direction: ScanDirection, rowsPerRead: Int = 20
    ) async throws -> [Entry] {
        let cursor = try store.makeCursor(table)
        let rows = RowBuffer(limit: rowsPerRead)
        var found: [Entry] = []
        while true {
            let last = found.last?.key ?? []
            let scan = try last.withUnsafeBytes {
                try cursor.read(from: last.isEmpty ? .start : .behind($0), direction: direction, into: rows)
            }
            found += rows.rows.map { Entry(key: [UInt8]($0.key), value: [UInt8]($0.value)) }
            switch scan {
            case .done where !rows.isFull: return found
            case .done: break
            case .notResident where rows.count == 0: try await store.prefetch(table, [last])
            case .notResident: break
            }
        }
    }

    /// A value; nil when it is not there. The second says whether it was found without a prefetch.
    func read(_ store: RocksDBStorage, _ table: TableID, _ key: [UInt8]) async throws -> (value: [UInt8]?, Bool) {
        var wasResident = true
        while true {
            let (found, value) = try key.withUnsafeBytes { key -> (Bool, [UInt8]?) in
                switch try store.get(table, key) {
                case .found(let value): (true, [UInt8](value))
                case .absent: (true, nil)
                case .notResident: (false, nil)
                }
            }
            if found { return (value, wasResident) }
            wasResident = false
            try await store.prefetch(table, [key])
        }
    }

    func key(_ number: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(number).bigEndian) { [UInt8]($0) } }

    extension RocksDBStorage {
        func apply(_ build: (WriteBatch) -> Void) throws {
            let batch = WriteBatch()
            build(batch)
            try apply(batch)
        }
    }

    extension WriteBatch {
        func put(_ table: TableID, _ key: [UInt8], _ value: [UInt8]) {
            key.withUnsafeBytes { key in value.withUnsafeBytes { put(table, key: key, value: $0) } }
        }
        func delete(_ table: TableID, _ key: [UInt8]) { key.withUnsafeBytes { delete(table, key: $0) } }
    }
#endif
