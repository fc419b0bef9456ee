import BSON
public import Core

/// Writing. A step is one engine batch: it takes effect as a whole, or not at all.
extension VersionStore {
    /// Starts a step. Starting one inside another makes its commit fail.
    public func begin() {
        if isStepOpen { stepFault = "a step begins inside a step" }
        isStepOpen = true
    }

    /// Sets a key. Pointers into what reads returned may be passed.
    public func put(
        _ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) throws {
        try checkWrite(key)
        guard value.count <= Limits.storageValueBytesMax else {
            throw ServerError(.bsonObjectTooLarge, "a stored value of \(value.count) bytes is too large")
        }
        try invariant(table != .undo, "the undo table is written by steps only")
        let (key, value) = reserve(key: key, value: value)
        if kind == .replicated, keepsHistory { _ = try remember(table, key, isDelete: false) }
        batch.put(table, key: key, value: value)
        overlay.put(table, key, valueLength: value.count, in: batch)
    }

    /// Removes a key; nothing happens when it is not there.
    public func delete(_ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer) throws {
        try checkWrite(key)
        try invariant(table != .undo, "the undo table is written by steps only")
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let (key, _) = reserve(key: key, value: empty)
        if kind == .replicated, keepsHistory, try !remember(table, key, isDelete: true) { return }
        batch.delete(table, key: key)
        overlay.delete(table, key)
    }

    /// Empties a table for good: a local one, or one whose drop is majority-committed. It leaves no versions.
    public func dropTable(_ table: TableID, _ kind: TableKind) {
        if !isStepOpen { stepFault = "a table is dropped outside of a step" }
        batch.dropTable(table)
        overlay.dropTable(table)
    }

    /// Applies the step. `optime` is that of its oplog entry; nil when it wrote local tables only, or in a standalone.
    /// After an error nothing of it has happened, and the step is closed.
    public func commit(at optime: OpTime?) throws {
        defer { abort() }
        if let stepFault { try invariant(false, stepFault) }
        try invariant(isStepOpen, "commit without a step")
        if let optime, keepsHistory {
            try invariant(
                optime.timestamp >= lastOptime.timestamp && optime.term >= lastOptime.term,
                "a step at \(optime) comes behind one at \(lastOptime)")
        }
        guard !before.isEmpty else {
            try applyBatch()
            if let optime { lastOptime = optime }
            if advanceCommitPoint() { pruneHistory() }
            return
        }
        guard let optime else {
            return try invariant(false, "a step with replicated writes has no optime")
        }
        try invariant(
            optime.timestamp > commitPoint.timestamp, "a step at \(optime) is not above the commit point \(commitPoint)"
        )
        let records = try appendUndo(optime)
        try applyBatch()
        undoLog.append(optime, sequences: records, bytes: before.byteCount)
        lastOptime = optime
        before.forEach {
            history.note($0.table, $0.key, before: $0.kind == .put ? $0.value : nil, until: optime.timestamp)
        }
        advanceCommitPoint()
        pruneHistory()
    }

    /// Forgets the step.
    public func abort() {
        guard isStepOpen || stepFault != nil else { return }
        isStepOpen = false
        stepFault = nil
        batch.removeAll()
        before.removeAll()
        overlay.removeAll()
    }

    private func applyBatch() throws {
        let pruned = appendPrunedUndo()
        guard !batch.isEmpty else { return }
        for table in overlay.droppedTables { cursorDropped(table) }
        try engine.apply(batch)
        for _ in 0..<pruned { undoLog.removeFirst() }
    }

    @inline(__always)
    private func checkWrite(_ key: UnsafeRawBufferPointer) throws {
        try invariant(isStepOpen, "a write outside of a step")
        guard key.count > 0, key.count <= Limits.storageKeyBytesMax else {
            throw ServerError(.keyTooLong, "a key of \(key.count) bytes cannot be stored")
        }
    }

    /// Keeps what a key is before the step's first write to it. False when it is not there, and a delete has nothing to
    /// do.
    @inline(__always)
    private func remember(_ table: TableID, _ key: UnsafeRawBufferPointer, isDelete: Bool) throws -> Bool {
        if overlay.contains(table, key) { return true }
        switch try engine.get(table, key) {
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
}
