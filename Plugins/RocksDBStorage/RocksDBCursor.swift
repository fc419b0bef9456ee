import CRocks
import Core

/// A walk over one table.
final class RocksDBCursor: StorageCursor {
    private let storage: RocksDBStorage
    private let table: TableID
    /// Rows that are fetched at a time.
    private static let rowsPerFill = 128

    init(_ storage: RocksDBStorage, _ table: TableID) {
        self.storage = storage
        self.table = table
    }

    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan {
        rows.removeAll()
        let store = try storage.opened()
        storage.releaseSoon()
        var (kind, key) = (CROCKS_START, UnsafeRawBufferPointer(start: nil, count: 0))
        switch bound {
        case .start: break
        case .including(let bytes): (kind, key) = (CROCKS_INCLUDING, bytes)
        case .behind(let bytes): (kind, key) = (CROCKS_BEHIND, bytes)
        }
        let first = key
        // So many bytes are copied, and what comes then is left for the next read, as if it were not there.
        var budget = Limits.scannedBytesPerRead
        return try withUnsafeTemporaryAllocation(of: crocks_row.self, capacity: RocksDBCursor.rowsPerFill) { scratch in
            while !rows.isFull {
                let wanted = min(rows.limit - rows.count, scratch.count)
                var filled = 0
                let status = crocks_scan(
                    store, table.rawValue, kind, crocks_bytes(key), direction == .backward, scratch.baseAddress, wanted,
                    &budget, &filled, storage.readError)
                for row in scratch[..<filled] {
                    rows.append(key: UnsafeRawBufferPointer(row.key), value: UnsafeRawBufferPointer(row.value))
                }
                if status == CROCKS_NOT_RESIDENT {
                    if rows.count == 0 {
                        storage.misses.note(
                            table, first, direction == .forward ? CROCKS_FORWARD : CROCKS_BACKWARD)
                    }
                    return .notResident
                }
                guard status == CROCKS_OK else {
                    throw RocksDBFailure(status, storage.readError).error("reading", storage.layout.data)
                }
                guard filled == wanted, let last = rows.rows.last else { break }
                (kind, key) = (CROCKS_BEHIND, last.key)
            }
            return .done
        }
    }
}
