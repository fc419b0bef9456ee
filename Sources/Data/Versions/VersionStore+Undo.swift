import BSON
public import Core

/// The undo table: written with each step, pruned as the commit point moves, applied by rollback.
extension VersionStore {
    /// Undoes the steps behind `optime`, newest first, in one batch of about `limit` keys. Returns true when nothing is
    /// left to undo; until then it is called again, also after a restart. Open snapshots behind `optime` are closed.
    ///
    /// Undoing what is committed is a violation: such a rollback must not happen.
    public func undo(after optime: OpTime, limit: Int) throws -> Bool {
        try invariant(openSteps.isEmpty, "undo inside a step")
        try invariant(
            optime.timestamp >= commitPoint.timestamp,
            "a rollback to \(optime) is below the commit point \(commitPoint)")
        dropSnapshots(after: optime.timestamp)
        let batch = upkeep
        defer { batch.removeAll() }
        let rows = RowBuffer(limit: 16)
        var undone: [(optime: OpTime, record: UnsafeRawBufferPointer)] = []
        var images = 0
        var bound = StorageBound.start
        var isDone = false
        while !isDone, images < limit {
            let scan = try engine.read(cursor(.undo), from: bound, direction: .backward, into: rows)
            for row in rows.rows where !isDone && images < limit {
                let step = try UndoRecord.parseKey(row.key).optime
                isDone = step.timestamp <= optime.timestamp
                if isDone { break }
                images += try appendImages(row.value)
                batch.delete(.undo, key: row.key)
                undone.append((step, row.value))
                bound = .behind(row.key)
            }
            if case .notResident = scan {
                if undone.isEmpty { throw StorageNotResident(.undo, from: bound) }
                break
            }
            if !rows.isFull, images < limit { isDone = true }
        }
        // History first: the rows' pointers end with the batch.
        for (step, record) in undone {
            var offset = 0
            while let image = try UndoRecord.image(in: record, at: offset) {
                history.remove(image.table, image.key, at: step.timestamp)
                offset = image.end
            }
            undoLog.removeLast(bytes: record.count)
        }
        if !batch.isEmpty { try engine.apply(batch) }
        if isDone { lastOptime = min(lastOptime, optime) }
        return isDone
    }

    /// Removes the oplog entries behind `timestamp`, which have been undone.
    func truncateLog(after timestamp: Timestamp) throws {
        defer { upkeep.removeAll() }
        upkeep.truncateLog(after: timestamp)
        try engine.apply(upkeep)
    }

    private func appendImages(_ record: UnsafeRawBufferPointer) throws -> Int {
        var offset = 0
        var count = 0
        while let image = try UndoRecord.image(in: record, at: offset) {
            if let value = image.value {
                upkeep.put(image.table, key: image.key, value: value)
            } else {
                upkeep.delete(image.table, key: image.key)
            }
            offset = image.end
            count += 1
        }
        return count
    }

    /// Removes undo records that the commit point has passed, in one batch of at most `limit` steps. True when none is
    /// left. Steps do it in passing; this is for a member that has nothing to write.
    public func pruneUndo(limit: Int) throws -> Bool {
        defer { upkeep.removeAll() }
        let pruned = appendPrunedUndo(most: limit, to: upkeep)
        guard pruned > 0 else { return true }
        try engine.apply(upkeep)
        for _ in 0..<pruned { undoLog.removeFirst() }
        return undoLog.dueCount == 0
    }

    /// Adds the deletes of undo records that are due to the batch, when there are enough; returns how many steps they
    /// are.
    func appendPrunedUndo(to batch: WriteBatch) -> Int {
        guard undoLog.dueCount >= Limits.undoPruneBatchMin else { return 0 }
        return appendPrunedUndo(most: Limits.undoPrunedPerStepMax, to: batch)
    }

    private func appendPrunedUndo(most: Int, to batch: WriteBatch) -> Int {
        let count = min(undoLog.dueCount, most)
        guard count > 0 else { return 0 }
        for index in 0..<count {
            let step = undoLog.due(index)
            for sequence in step.first..<step.end {
                batch.delete(.undo, key: UndoRecord.makeKey(step.optime, sequence, in: keyBuffer))
            }
        }
        appendFloor(undoLog.due(count - 1).optime, to: batch)
        return count
    }

    /// Notes in the batch that undo at or before `optime` may be missing, and what is committed.
    func appendFloor(_ optime: OpTime, to batch: WriteBatch) {
        undoFloor = optime
        notedCommitPoint = committed
        let value = UndoRecord.makeFloor(optime, committed: committed, in: keyBuffer)
        value.withUnsafeBytes { batch.put(.undo, key: UndoRecord.floorKey(in: keyBuffer), value: $0) }
    }

    /// Adds undo records with what a step's keys were `before` it to its batch, and returns their sequence numbers.
    func appendUndo(_ optime: OpTime, _ before: WriteBatch, to batch: WriteBatch) throws -> Range<UInt32> {
        let images = before.buffer.bytes
        let first = undoLog.nextSequence(for: optime)
        var sequence = first
        var start = 0
        var offset = 0
        while let image = try UndoRecord.image(in: images, at: offset) {
            if image.end - start > Limits.undoRecordBytesMax, offset > start {
                appendRecord(optime, &sequence, images[start..<offset], to: batch)
                start = offset
            }
            offset = image.end
        }
        appendRecord(optime, &sequence, images[start..<offset], to: batch)
        return first..<sequence
    }

    private func appendRecord(
        _ optime: OpTime, _ sequence: inout UInt32, _ images: Slice<UnsafeRawBufferPointer>, to batch: WriteBatch
    ) {
        let key = UndoRecord.makeKey(optime, sequence, in: keyBuffer)
        batch.put(.undo, key: key, value: UnsafeRawBufferPointer(rebasing: images))
        sequence += 1
    }

    /// Rebuilds history and the undo log from the undo table.
    func loadUndo() async throws {
        history.removeAll()
        undoLog.removeAll()
        let rows = RowBuffer(limit: 64)
        var last: [UInt8] = []
        var isDone = false
        while !isDone {
            let scan = try last.withUnsafeBytes { key in
                try engine.read(
                    cursor(.undo), from: key.isEmpty ? .start : .behind(key), direction: .forward, into: rows)
            }
            for row in rows.rows { try loadRecord(row) }
            if let row = rows.rows.last { last = [UInt8](row.key) }
            switch scan {
            case .done: isDone = !rows.isFull
            case .notResident:
                guard engine.raw is any StoragePrefetching else {
                    throw ServerError(.internalError, "the storage engine has keys that it cannot bring into memory")
                }
                try await engine.prefetch(.undo, [last])
            }
        }
    }

    private func loadRecord(_ row: RowBuffer.Row) throws {
        let (optime, sequence) = try UndoRecord.parseKey(row.key)
        if optime.timestamp == .zero {
            let (floor, committed) = try UndoRecord.parseFloor(row.value)
            raiseOldestReadable(to: floor.timestamp)
            lastOptime = max(lastOptime, floor)
            restore(floor: floor, committed: committed)
            return
        }
        var offset = 0
        while let image = try UndoRecord.image(in: row.value, at: offset) {
            history.note(image.table, image.key, before: image.value, until: optime.timestamp)
            offset = image.end
        }
        undoLog.append(optime, sequences: sequence..<(sequence + 1), bytes: row.value.count)
        lastOptime = max(lastOptime, optime)
    }
}
