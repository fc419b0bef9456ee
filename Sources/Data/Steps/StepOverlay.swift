import BSON
import Core
internal import CTree

/// What a step has written so far: it is not in the engine yet, but the step's own reads must see it. Values stay where
/// they are, in the step's batch; the tree holds their places.
final class StepOverlay {
    private let store: OpaquePointer
    private let tree: OpaquePointer
    private let composite = CompositeKey()
    @exclusivity(unchecked) private(set) var droppedTables: [TableID] = []

    init() {
        store = ctree_store_create()
        tree = ctree_make(store, 1)
    }

    deinit {
        ctree_store_destroy(store)
        composite.deallocate()
    }

    /// Where the batch holds a key's value; a negative length stands for a deleted key.
    private struct Place {
        var offset: Int
        var length: Int
    }

    @inline(__always) var isEmpty: Bool { ctree_current(tree).count == 0 && droppedTables.isEmpty }

    func removeAll() {
        if ctree_current(tree).count > 0 { ctree_clear(tree) }
        if !droppedTables.isEmpty { droppedTables.removeAll() }
    }

    @inline(__always)
    private func set(_ table: TableID, _ key: UnsafeRawBufferPointer, _ place: Place) {
        let composed = composite.make(table, key)
        var place = place
        ctree_put(tree, composed.baseAddress, composed.count, &place, MemoryLayout<Place>.size)
    }

    /// Notes a put whose value ends the batch.
    func put(_ table: TableID, _ key: UnsafeRawBufferPointer, valueLength: Int, in batch: WriteBatch) {
        set(table, key, Place(offset: batch.byteCount - valueLength, length: valueLength))
    }

    func delete(_ table: TableID, _ key: UnsafeRawBufferPointer) { set(table, key, Place(offset: 0, length: -1)) }

    func dropTable(_ table: TableID) {
        droppedTables.append(table)
        var row = ctree_row()
        while true {
            var view = ctree_current(tree)
            let prefix = composite.make(table, UnsafeRawBufferPointer(start: nil, count: 0))
            let filled = ctree_fill(&view, CTREE_INCLUDING, prefix.baseAddress, prefix.count, false, &row, 1)
            let key = UnsafeRawBufferPointer(start: row.key, count: Int(row.key_length))
            guard filled == 1, CompositeKey.table(of: key) == table.rawValue else { return }
            ctree_delete(tree, row.key, Int(row.key_length))
        }
    }

    private func override(_ row: ctree_row, in batch: WriteBatch) -> Override {
        let place = row.value.loadUnaligned(as: Place.self)
        let key = UnsafeRawBufferPointer(start: row.key + 4, count: Int(row.key_length) - 4)
        guard place.length >= 0 else { return Override(key: key, value: nil) }
        let value = UnsafeRawBufferPointer(start: batch.buffer.base + place.offset, count: place.length)
        return Override(key: key, value: value)
    }

    /// What the step made of `key`; nil when it did not touch it.
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer, in batch: WriteBatch) -> StorageRead? {
        let composed = composite.make(table, key)
        var view = ctree_current(tree)
        var row = ctree_row()
        if ctree_get(&view, composed.baseAddress, composed.count, &row) {
            return override(row, in: batch).value.map { .found($0) } ?? .absent
        }
        return !droppedTables.isEmpty && droppedTables.contains(table) ? .absent : nil
    }

    /// Whether the step has written the key, or emptied its table.
    func touches(_ table: TableID, _ key: UnsafeRawBufferPointer) -> Bool {
        contains(table, key) || droppedTables.contains(table)
    }

    /// Makes the overlay anew from a batch that was rewound.
    func rebuild(from batch: WriteBatch) {
        removeAll()
        batch.forEach { operation in
            switch operation.kind {
            case .put:
                let offset = operation.value.baseAddress.map { $0 - UnsafeRawPointer(batch.buffer.base) } ?? 0
                set(operation.table, operation.key, Place(offset: offset, length: operation.value.count))
            case .delete: delete(operation.table, operation.key)
            case .dropTable: dropTable(operation.table)
            }
        }
    }

    @inline(__always)
    func contains(_ table: TableID, _ key: UnsafeRawBufferPointer) -> Bool {
        var view = ctree_current(tree)
        guard view.count > 0 else { return false }
        let composed = composite.make(table, key)
        var row = ctree_row()
        return ctree_get(&view, composed.baseAddress, composed.count, &row)
    }

    /// The first key of the table that the step has touched, from `bound` on.
    func next(
        _ table: TableID, from bound: StorageBound, _ direction: ScanDirection, in batch: WriteBatch
    ) -> Override? {
        var kind = CTREE_INCLUDING
        let composed: UnsafeRawBufferPointer
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        switch bound {
        case .including(let key): composed = composite.make(table, key)
        case .behind(let key): (kind, composed) = (CTREE_BEHIND, composite.make(table, key))
        case .start where direction == .forward: composed = composite.make(table, empty)
        case .start:
            // Tables end where the next begins; the last number is never used.
            let after = TableID(rawValue: table.rawValue &+ 1)
            (kind, composed) = (CTREE_BEHIND, composite.make(after, empty))
        }
        var view = ctree_current(tree)
        var row = ctree_row()
        let backward = direction == .backward
        guard ctree_fill(&view, kind, composed.baseAddress, composed.count, backward, &row, 1) == 1 else { return nil }
        let found = UnsafeRawBufferPointer(start: row.key, count: Int(row.key_length))
        return CompositeKey.table(of: found) == table.rawValue ? override(row, in: batch) : nil
    }
}
