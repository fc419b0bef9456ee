import BSON
import Core
internal import CTree

/// A key whose value at the read's time is not the engine's.
struct Override {
    let key: UnsafeRawBufferPointer
    /// nil: there was no such key.
    let value: UnsafeRawBufferPointer?
}

/// The previous values of keys, in memory, ordered by (table, key, time): an entry at time t holds what the key was
/// until t. So the value at time T is that of the key's first entry behind T, or the engine's when there is none.
///
/// Keys of one table must be prefix-free, or the times behind them would mix with longer keys: record ids are 8 bytes,
/// index keys end themselves, catalogue keys end with a zero byte. Bounds of scans are free.
final class VersionHistory {
    private let store: OpaquePointer
    private let tree: OpaquePointer
    private let composite = CompositeKey()
    private let value = ByteBuffer(capacity: 4096)
    @exclusivity(unchecked) private var queue = HistoryQueue()
    /// The latest time of an entry ever made: reads at or behind it need no history.
    @exclusivity(unchecked) private(set) var newest = Timestamp.zero
    @exclusivity(unchecked) private(set) var addedSincePrune = 0

    init() {
        store = ctree_store_create()
        tree = ctree_make(store, 1)
    }

    deinit {
        ctree_store_destroy(store)
        composite.deallocate()
        queue.removeAll()
    }

    var count: Int { Int(ctree_current(tree).count) }

    /// Keys and values, what the tree needs to hold them, and the queue.
    var byteCount: Int {
        let view = ctree_current(tree)
        return Int(view.bytes) + Int(view.count) * 40 + queue.byteCount
    }

    func removeAll() {
        ctree_clear(tree)
        queue.removeAll()
        newest = .zero
        addedSincePrune = 0
    }

    /// Notes that `key` was `before` until `time`. The first note for a time counts.
    func note(_ table: TableID, _ key: UnsafeRawBufferPointer, before: UnsafeRawBufferPointer?, until time: Timestamp) {
        value.removeAll(keeping: 1 << 20)
        if let before {
            value.append(byte: 1)
            value.append(before)
        } else {
            value.append(byte: 0)
        }
        let composed = composite.make(table, key, time.rawValue)
        guard ctree_insert(tree, composed.baseAddress, composed.count, value.base, value.count) else { return }
        queue.append(composed)
        addedSincePrune += 1
        if time > newest { newest = time }
    }

    /// Forgets what `note` noted: the write is being undone.
    func remove(_ table: TableID, _ key: UnsafeRawBufferPointer, at time: Timestamp) {
        let composed = composite.make(table, key, time.rawValue)
        ctree_delete(tree, composed.baseAddress, composed.count)
    }

    /// Forgets entries at or before `time`, oldest first and at most `limit`. True when none is left.
    @discardableResult
    func prune(through time: Timestamp, limit: Int) -> Bool {
        addedSincePrune = 0
        for _ in 0..<limit {
            guard let first = queue.first else { return true }
            let at = first.loadUnaligned(fromByteOffset: first.count - 8, as: UInt64.self)
            guard UInt64(bigEndian: at) <= time.rawValue else { return true }
            ctree_delete(tree, first.baseAddress, first.count)
            queue.removeFirst()
        }
        return false
    }

    // MARK: Reading

    @inline(__always)
    private func row(_ kind: ctree_bound, _ bound: UnsafeRawBufferPointer, backward: Bool = false) -> ctree_row? {
        var view = ctree_current(tree)
        var row = ctree_row()
        let filled = ctree_fill(&view, kind, bound.baseAddress, bound.count, backward, &row, 1)
        return filled == 1 ? row : nil
    }

    /// The entry's key without table and time, when it is one of `table`.
    @inline(__always)
    private func key(of row: ctree_row?, in table: TableID) -> UnsafeRawBufferPointer? {
        guard let row else { return nil }
        let whole = UnsafeRawBufferPointer(start: row.key, count: Int(row.key_length))
        guard CompositeKey.table(of: whole) == table.rawValue else { return nil }
        return UnsafeRawBufferPointer(start: row.key + 4, count: whole.count - 12)
    }

    /// What `key` was at `time`, when that is not what it is now.
    func value(_ table: TableID, _ key: UnsafeRawBufferPointer, at time: Timestamp) -> Override? {
        guard time.rawValue < .max else { return nil }
        let found = row(CTREE_INCLUDING, composite.make(table, key, time.rawValue + 1))
        guard let found, let foundKey = self.key(of: found, in: table), compareKeys(foundKey, key) == 0 else {
            return nil
        }
        let isPresent = found.value.load(as: UInt8.self) != 0
        let value = UnsafeRawBufferPointer(start: found.value + 1, count: Int(found.value_length) - 1)
        return Override(key: foundKey, value: isPresent ? value : nil)
    }

    /// The first key from `bound` on that was something else at `time` than it is now. Not looked for behind `end`:
    /// most of a long history may be of keys that have not changed since `time`.
    func next(
        _ table: TableID, from bound: StorageBound, to end: UnsafeRawBufferPointer?, _ direction: ScanDirection,
        at time: Timestamp
    ) -> Override? {
        var candidate = direction == .forward ? first(table, bound) : last(table, bound)
        while let key = candidate {
            if let end, direction == .forward ? compareKeys(key, end) > 0 : compareKeys(key, end) < 0 { return nil }
            if let found = value(table, key, at: time) { return found }
            candidate = direction == .forward ? behind(table, key) : before(table, key)
        }
        return nil
    }

    /// The next key that has entries, upwards. `key` has entries.
    private func behind(_ table: TableID, _ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        self.key(of: row(CTREE_BEHIND, composite.make(table, key, .max)), in: table)
    }

    /// The next key that has entries, downwards.
    private func before(_ table: TableID, _ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        self.key(of: row(CTREE_BEHIND, composite.make(table, key), backward: true), in: table)
    }

    private func first(_ table: TableID, _ bound: StorageBound) -> UnsafeRawBufferPointer? {
        let start: UnsafeRawBufferPointer
        switch bound {
        case .start: start = UnsafeRawBufferPointer(start: nil, count: 0)
        case .including(let key), .behind(let key): start = key
        }
        guard let found = key(of: row(CTREE_INCLUDING, composite.make(table, start)), in: table) else { return nil }
        let order = compareKeys(found, start)
        // Below: a key that the bound begins with, whose times happen to lie behind the rest of the bound.
        if order < 0 { return behind(table, found) }
        if case .behind = bound, order == 0 { return behind(table, found) }
        return found
    }

    private func last(_ table: TableID, _ bound: StorageBound) -> UnsafeRawBufferPointer? {
        switch bound {
        case .start:
            // Tables end where the next begins; the last number is never used.
            let end = composite.make(
                TableID(rawValue: table.rawValue &+ 1), UnsafeRawBufferPointer(start: nil, count: 0))
            return key(of: row(CTREE_BEHIND, end, backward: true), in: table)
        case .behind(let bound): return last(table, bound, including: false)
        case .including(let bound): return last(table, bound, including: true)
        }
    }

    private func last(_ table: TableID, _ bound: UnsafeRawBufferPointer, including: Bool) -> UnsafeRawBufferPointer? {
        if let found = key(of: row(CTREE_INCLUDING, composite.make(table, bound)), in: table) {
            let order = compareKeys(found, bound)
            // The entries of the bound's own key, and of a key that the bound begins with, may lie behind the bound.
            if order < 0 || (order == 0 && including) { return found }
        }
        return before(table, bound)
    }
}
