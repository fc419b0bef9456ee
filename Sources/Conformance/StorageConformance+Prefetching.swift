import Core

extension StorageConformance {
    /// An engine larger than memory keeps there what it was asked to: whole tables, and what was prefetched last, for
    /// the step that comes back for it.
    func checkPrefetching(_ engine: any StorageEngine) async throws {
        guard let paged = engine as? any StoragePrefetching else { return }
        let kept = TableID(rawValue: 30)
        let table = TableID(rawValue: 31)
        let keys = (0..<Limits.prefetchedKeysMin).map { number in
            withUnsafeBytes(of: UInt64(number).bigEndian) { [UInt8]($0) }
        }
        paged.keepResident(kept)
        let batch = WriteBatch()
        for key in keys {
            batch.put(kept, key, [1])
            batch.put(table, key, [2])
        }
        try paged.apply(batch)
        for key in keys {
            try expect(try isResident(paged, kept, key), "a key of a table that is kept in memory is not there")
            try await paged.prefetch(table, [key])
        }
        for key in keys where try !isResident(paged, table, key) {
            throw ConformanceViolation("one of the \(keys.count) keys that were prefetched last is not in memory")
        }
        try await checkScans(paged, table, keys)
    }

    /// A scan from a key that was prefetched meets a row; an empty key stands for the ends of the table.
    private func checkScans(_ paged: any StoragePrefetching, _ table: TableID, _ keys: [[UInt8]]) async throws {
        let cursor = try paged.makeCursor(table)
        let rows = RowBuffer(limit: 4)
        try await paged.prefetch(table, [[]])
        for direction in [ScanDirection.forward, .backward] {
            _ = try cursor.read(from: .start, direction: direction, into: rows)
            try expect(rows.count > 0, "the ends of a table were prefetched, and a scan finds nothing in memory")
        }
        for key in keys.dropLast() {
            try key.withUnsafeBytes { _ = try cursor.read(from: .behind($0), direction: .forward, into: rows) }
            try expect(rows.count > 0, "a scan behind a key that was prefetched finds nothing in memory")
        }
    }

    private func isResident(_ engine: any StorageEngine, _ table: TableID, _ key: [UInt8]) throws -> Bool {
        try key.withUnsafeBytes { key -> Bool in
            if case .notResident = try engine.get(table, key) { return false }
            return true
        }
    }
}
