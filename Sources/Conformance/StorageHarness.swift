import Core

/// A row that owns its bytes.
struct Entry: Equatable {
    let key: [UInt8]
    let value: [UInt8]
}

/// An engine with arrays instead of pointers; keys that are not resident are prefetched and asked for again.
struct EngineUnderTest {
    let engine: any StorageEngine

    init(_ engine: any StorageEngine) { self.engine = engine }

    func apply(_ build: (WriteBatch) -> Void) throws {
        let batch = WriteBatch()
        build(batch)
        try engine.apply(batch)
    }

    func get(_ table: TableID, _ key: [UInt8]) async throws -> [UInt8]? {
        while true {
            let read = try key.withUnsafeBytes { bytes -> (value: [UInt8]?, isResident: Bool) in
                switch try engine.get(table, bytes) {
                case .found(let value): ([UInt8](value), true)
                case .absent: (nil, true)
                case .notResident: (nil, false)
                }
            }
            if read.isResident { return read.value }
            try await prefetch(table, key)
        }
    }

    func scan(
        _ table: TableID, from bound: (key: [UInt8], including: Bool)?, direction: ScanDirection, limit: Int
    ) async throws -> [Entry] {
        let cursor = try engine.makeCursor(table)
        var result: [Entry] = []
        var bound = bound
        while result.count < limit {
            let rows = RowBuffer(limit: limit - result.count)
            let scan: StorageScan
            if let bound {
                scan = try bound.key.withUnsafeBytes {
                    try cursor.read(
                        from: bound.including ? .including($0) : .behind($0), direction: direction, into: rows)
                }
            } else {
                scan = try cursor.read(from: .start, direction: direction, into: rows)
            }
            result += rows.rows.map { Entry(key: [UInt8]($0.key), value: [UInt8]($0.value)) }
            if let last = result.last { bound = (last.key, false) }
            switch scan {
            case .done: return result
            case .notResident: try await prefetch(table, bound?.key ?? [])
            }
        }
        return result
    }

    /// Runs a step, which changes nothing, until all that it reads is in memory.
    func whenResident<Answer>(_ step: () throws -> Answer) async throws -> Answer {
        while true {
            do { return try step() } catch let missing as StorageNotResident {
                try await prefetch(missing.table, missing.key)
            }
        }
    }

    private func prefetch(_ table: TableID, _ key: [UInt8]) async throws {
        guard let engine = engine as? any StoragePrefetching else {
            throw ConformanceViolation("an engine without StoragePrefetching answers notResident")
        }
        try await engine.prefetch(table, [key])
    }
}

extension WriteBatch {
    func put(_ table: TableID, _ key: [UInt8], _ value: [UInt8]) {
        key.withUnsafeBytes { key in value.withUnsafeBytes { put(table, key: key, value: $0) } }
    }
    func delete(_ table: TableID, key: [UInt8]) { key.withUnsafeBytes { delete(table, key: $0) } }
}
