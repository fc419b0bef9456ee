import BSON
import Core
import MemoryStorage

/// Tables and log as plain collections: what is on a simulated disk for certain.
struct DiskImage {
    /// A batch, copied.
    struct Change {
        private let operations: [(kind: WriteBatch.Kind, table: TableID, key: [UInt8], value: [UInt8])]
        private let entries: [(optime: OpTime, bytes: [UInt8])]
        private let truncatesAfter: Timestamp?
        private let truncatesThrough: Timestamp?

        /// - Parameter keepsLog: whether the engine keeps the log itself; in one of tables the entries are rows.
        init(_ batch: WriteBatch, keepsLog: Bool) {
            var operations: [(kind: WriteBatch.Kind, table: TableID, key: [UInt8], value: [UInt8])] = []
            batch.forEach { operations.append(($0.kind, $0.table, [UInt8]($0.key), [UInt8]($0.value))) }
            self.operations = operations
            var entries: [(optime: OpTime, bytes: [UInt8])] = []
            if keepsLog { batch.forEachEntry { entries.append(($0, [UInt8]($1))) } }
            self.entries = entries
            truncatesAfter = keepsLog ? batch.truncatesAfter : nil
            truncatesThrough = keepsLog ? batch.truncatesThrough : nil
        }

        fileprivate func apply(to image: inout DiskImage) {
            for operation in operations {
                switch operation.kind {
                case .put:
                    image.everSeen.insert(operation.table)
                    image.tables[operation.table, default: [:]][operation.key] = operation.value
                case .delete: image.tables[operation.table]?[operation.key] = nil
                case .dropTable: image.tables[operation.table] = nil
                }
            }
            if let through = truncatesThrough { image.log.removeAll { $0.optime.timestamp <= through } }
            if let after = truncatesAfter {
                while let last = image.log.last, last.optime.timestamp > after { image.log.removeLast() }
            }
            image.log += entries
        }
    }

    private var tables: [TableID: [[UInt8]: [UInt8]]] = [:]
    /// All that ever were.
    private var everSeen: Set<TableID> = []
    private var log: [(optime: OpTime, bytes: [UInt8])] = []

    mutating func apply(_ change: Change) { change.apply(to: &self) }

    /// Fills an engine that has just been opened.
    func restore(to engine: MemoryStorage) throws {
        let batch = WriteBatch()
        for (table, rows) in tables.sorted(by: { $0.key < $1.key }) {
            for (key, value) in rows.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                key.withUnsafeBytes { key in value.withUnsafeBytes { batch.put(table, key: key, value: $0) } }
            }
        }
        for (optime, bytes) in log { bytes.withUnsafeBytes { batch.appendEntry($0, optime: optime) } }
        if !batch.isEmpty { try engine.apply(batch) }
    }

    /// In what an engine holds something else; nil in nothing. It may still have entries that were dropped in front.
    func difference(from engine: any StorageEngine) throws -> String? {
        for table in everSeen.sorted() {
            var rows: [[UInt8]: [UInt8]] = [:]
            let buffer = RowBuffer(limit: 256)
            let cursor = try engine.makeCursor(table)
            var last: [UInt8]?
            repeat {
                if let last {
                    _ = try last.withUnsafeBytes {
                        try cursor.read(from: .behind($0), direction: .forward, into: buffer)
                    }
                } else {
                    _ = try cursor.read(from: .start, direction: .forward, into: buffer)
                }
                for row in buffer.rows { rows[[UInt8](row.key)] = [UInt8](row.value) }
                last = buffer.rows.last.map { [UInt8]($0.key) }
            } while buffer.isFull
            let expected = tables[table] ?? [:]
            guard rows != expected else { continue }
            let lacking = expected.keys.count { rows[$0] == nil }
            let strange = rows.keys.count { expected[$0] == nil }
            return
                "of \(expected.count) rows of table \(table.rawValue) \(lacking) are not there, \(strange) should not "
                + "be, and others differ"
        }
        var entries: [[UInt8]] = []
        try engine.log?.read(from: .zero, inclusive: true, direction: .forward) {
            entries.append([UInt8]($0))
            return true
        }
        guard entries.suffix(log.count) != log.map(\.bytes)[...] else { return nil }
        return "the oplog has \(entries.count) entries, and should have \(log.count)"
    }

    /// Whether the oplog has that entry, or had it and has dropped it in front.
    func holds(_ optime: OpTime) -> Bool {
        if let first = log.first {
            if optime < first.optime { return true }
            var (low, high) = (0, log.count)
            while low < high {
                let middle = (low + high) / 2
                if log[middle].optime.timestamp < optime.timestamp { low = middle + 1 } else { high = middle }
            }
            return low < log.count && log[low].optime == optime
        }
        let key = withUnsafeBytes(of: optime.timestamp.rawValue.bigEndian) { [UInt8]($0) }
        guard let rows = tables[.oplog] else { return optime.isNull }
        // A row's term is not looked at: no two entries of one time are compared here.
        return rows[key] != nil || !rows.keys.contains { $0.lexicographicallyPrecedes(key) }
    }
}
