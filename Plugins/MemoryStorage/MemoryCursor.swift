import Core
internal import CTree

/// A walk over one table. Finds its tree anew in each call: the table may have been dropped, or made, since.
final class MemoryCursor: StorageCursor {
    private let storage: MemoryStorage
    private let table: TableID

    init(storage: MemoryStorage, table: TableID) {
        self.storage = storage
        self.table = table
    }

    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan {
        rows.removeAll()
        guard var view = storage.view(of: table) else { return .done }
        fill(rows, from: &view, bound, direction)
        return .done
    }
}

/// Rows that are fetched from C at a time: more than a usual cursor batch, small enough for the stack.
private let rowsPerFill = 128

/// Fills `rows` from a state of a tree.
func fill(_ rows: RowBuffer, from view: inout ctree_view, _ bound: StorageBound, _ direction: ScanDirection) {
    rows.removeAll()
    withUnsafeTemporaryAllocation(of: ctree_row.self, capacity: rowsPerFill) { scratch in
        guard let base = scratch.baseAddress else { return }
        var kind = CTREE_START
        var key = UnsafeRawBufferPointer(start: nil, count: 0)
        switch bound {
        case .start: break
        case .including(let bytes): (kind, key) = (CTREE_INCLUDING, bytes)
        case .behind(let bytes): (kind, key) = (CTREE_BEHIND, bytes)
        }
        while !rows.isFull {
            let wanted = min(rows.limit - rows.count, rowsPerFill)
            let filled = ctree_fill(&view, kind, key.baseAddress, key.count, direction == .backward, base, wanted)
            for row in scratch[..<filled] {
                rows.append(
                    key: UnsafeRawBufferPointer(start: row.key, count: Int(row.key_length)),
                    value: UnsafeRawBufferPointer(start: row.value, count: Int(row.value_length)))
            }
            guard filled == wanted, let last = rows.rows.last else { return }
            (kind, key) = (CTREE_BEHIND, last.key)
        }
    }
}
