import BSON
public import Core

/// Writes that take effect together, or not at all: one engine batch, with the oplog entry that describes it.
///
/// Functions that write take the step that they add to, and never commit it: who began a step commits it
/// (`DataStore.step`, `VersionStore.step`). What a step has written is seen by reads at its `point` and by nobody else;
/// a statement of several that fails rewinds to the mark where it began.
///
/// Several steps may be open at the same time. Keys are claimed by their first writer: a write to a key that another
/// open step has written fails with `WriteConflict` (112) at once, so a step's before-images stay true until it ends,
/// and steps commit in any order. Unique index keys and catalog records are keys like others. Definitions
/// (`onRewind`) show in memory at once, so a step that holds some ends before the loop runs on.
///
/// Steps are pooled by their store: a step that has ended is another one soon, and must not be kept.
public final class WriteStep {
    /// How what was done in memory is taken back.
    enum WayBack {
        case session(SessionRecord, SessionRecord.State)
        case call(() -> Void)
    }

    /// What a statement adds to a collection's counters, once the step is committed.
    struct CountChange {
        let collection: Collection
        let documents: Int
        let bytes: Int
    }

    // The hot path goes around exclusivity checks: a step is confined to one loop and holds no access over a call.
    /// The store owns its steps, and outlives them.
    unowned(unsafe) let store: VersionStore
    @exclusivity(unchecked) var isOpen = false
    /// The optime of its entry, drawn when the first replicated write needs it; an applied entry brings its own.
    @exclusivity(unchecked) public internal(set) var optime: OpTime?

    let batch: WriteBatch
    /// What the step's keys were before it: operations that restore them.
    let before = WriteBatch()
    let overlay = StepOverlay()
    /// Writes the entry into the batch.
    let entry: StepEntry
    @exclusivity(unchecked) private(set) var countChanges: [CountChange] = []
    @exclusivity(unchecked) private var waysBack: [WayBack] = []

    init(_ store: VersionStore) {
        self.store = store
        batch = WriteBatch()
        entry = StepEntry(of: batch)
    }

    /// The state that the step sees: the latest one, with its own writes.
    public var point: ReadPoint { .within(StepReference(self)) }

    // MARK: Writing

    /// Sets a key. Pointers into what reads returned may be passed.
    /// - Throws: `WriteConflict` (112) when another open step has written the key.
    public func put(
        _ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) throws {
        try checkWrite(table, key)
        guard value.count <= Limits.storageValueBytesMax else {
            throw ServerError(.bsonObjectTooLarge, "a stored value of \(value.count) bytes is too large")
        }
        let (key, value) = reserve(key: key, value: value)
        if kind == .replicated, store.keepsHistory { _ = try remember(table, key, isDelete: false) }
        batch.put(table, key: key, value: value)
        overlay.put(table, key, valueLength: value.count, in: batch)
    }

    /// Removes a key; nothing happens when it is not there.
    /// - Throws: `WriteConflict` (112) when another open step has written the key.
    public func delete(_ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer) throws {
        try checkWrite(table, key)
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let (key, _) = reserve(key: key, value: empty)
        if kind == .replicated, store.keepsHistory, try !remember(table, key, isDelete: true) { return }
        batch.delete(table, key: key)
        overlay.delete(table, key)
    }

    /// Empties a table for good: a local one, or one whose drop is majority-committed. It leaves no versions.
    public func dropTable(_ table: TableID) {
        batch.dropTable(table)
        overlay.dropTable(table)
    }

    @inline(__always)
    private func checkWrite(_ table: TableID, _ key: UnsafeRawBufferPointer) throws {
        try invariant(isOpen, "a write to a step that has ended")
        guard key.count > 0, key.count <= Limits.storageKeyBytesMax else {
            throw ServerError(.keyTooLong, "a key of \(key.count) bytes cannot be stored")
        }
        try invariant(table != .undo && table != .oplog, "undo and oplog are written by commits only")
        if store.openSteps.count > 1 { try store.checkClaim(table, key, by: self) }
    }

    /// Keeps what a key is before the step's first write to it. False when it is not there, and a delete has nothing to
    /// do.
    @inline(__always)
    private func remember(_ table: TableID, _ key: UnsafeRawBufferPointer, isDelete: Bool) throws -> Bool {
        if overlay.contains(table, key) { return true }
        let read: StorageRead =
            overlay.droppedTables.isEmpty || !overlay.droppedTables.contains(table)
            ? try store.engine.get(table, key) : .absent
        switch read {
        case .found(let value): before.put(table, key: key, value: value)
        case .absent where isDelete: return false
        case .absent: before.delete(table, key: key)
        case .notResident: throw StorageNotResident(table, key)
        }
        return true
    }

    /// Makes room in the batch first, so that a key or value that was read out of it stays where it is while it is
    /// copied.
    @inline(__always)
    private func reserve(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) -> (UnsafeRawBufferPointer, UnsafeRawBufferPointer) {
        let buffer = batch.buffer
        let needed = WriteBatch.operationBytes(key: key.count, value: value.count)
        guard buffer.count + needed > buffer.capacity else { return (key, value) }
        let old = UnsafeRawPointer(buffer.base)
        let keyOffset = offset(of: key, in: old, count: buffer.count)
        let valueOffset = offset(of: value, in: old, count: buffer.count)
        buffer.reserve(needed)
        let moved = UnsafeRawPointer(buffer.base)
        return (
            keyOffset.map { UnsafeRawBufferPointer(start: moved + $0, count: key.count) } ?? key,
            valueOffset.map { UnsafeRawBufferPointer(start: moved + $0, count: value.count) } ?? value
        )
    }

    private func offset(of bytes: UnsafeRawBufferPointer, in base: UnsafeRawPointer, count: Int) -> Int? {
        guard let start = bytes.baseAddress, start >= base, start < base + count else { return nil }
        return start - base
    }

    // MARK: What goes with it in memory

    /// Adds to the counters of a collection when the step is committed.
    @inline(__always)
    func count(_ collection: Collection, documents: Int, bytes: Int) {
        countChanges.append(CountChange(collection: collection, documents: documents, bytes: bytes))
    }

    /// How many documents the collection has as the step sees it.
    func documentCount(of collection: Collection) -> Int {
        countChanges.reduce(collection.count) { $1.collection === collection ? $0 + $1.documents : $0 }
    }

    /// Notes how to take back what was done in memory for the step: called, the last first, when the step is rewound to
    /// before this or does not come to its end.
    func onRewind(_ call: @escaping () -> Void) { waysBack.append(.call(call)) }

    /// The same for a session's record, which is about to change.
    @inline(__always)
    func keep(_ session: SessionRecord) { waysBack.append(.session(session, session.state)) }

    // MARK: Marks

    /// A place to rewind to.
    public struct Mark {
        fileprivate let batch: WriteBatch.Mark
        fileprivate let before: WriteBatch.Mark
        fileprivate let entry: StepEntry.Mark
        fileprivate let countChanges: Int
        fileprivate let waysBack: Int
    }

    /// Where the step is: what a statement keeps before it begins.
    public var mark: Mark {
        Mark(
            batch: batch.mark, before: before.mark, entry: entry.mark, countChanges: countChanges.count,
            waysBack: waysBack.count)
    }

    /// Takes back everything that was added since `mark`.
    public func rewind(to mark: Mark) {
        takeBack(to: mark.waysBack)
        countChanges.removeLast(countChanges.count - mark.countChanges)
        entry.rewind(to: mark.entry)
        before.rewind(to: mark.before)
        batch.rewind(to: mark.batch)
        overlay.rebuild(from: batch)
    }

    private func takeBack(to count: Int) {
        while waysBack.count > count {
            switch waysBack.removeLast() {
            case .session(let session, let saved): session.state = saved
            case .call(let call): call()
            }
        }
    }

    /// Empties the step, for the next that is begun.
    func reset(takingBack: Bool) {
        if takingBack { takeBack(to: 0) }
        isOpen = false
        optime = nil
        batch.removeAll()
        before.removeAll()
        overlay.removeAll()
        entry.removeAll()
        if !countChanges.isEmpty { countChanges.removeAll(keepingCapacity: countChanges.count < 1024) }
        if !waysBack.isEmpty { waysBack.removeAll(keepingCapacity: waysBack.count < 1024) }
    }
}

/// Names an open step in a `ReadPoint`, without counting references to it.
public struct StepReference: @unchecked Sendable {
    // Read within the step only, on the loop that it is confined to.
    unowned(unsafe) let step: WriteStep

    init(_ step: WriteStep) { self.step = step }
}
