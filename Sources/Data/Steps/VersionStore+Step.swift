import BSON
public import Core

/// Beginning and ending steps.
extension VersionStore {
    /// Begins a step. Who begins it ends it: by `commit` or `abort`.
    @inline(__always)
    func begin() -> WriteStep {
        let step = idleSteps.popLast() ?? WriteStep(self)
        step.isOpen = true
        openSteps.append(step)
        return step
    }

    /// Runs `body` in a step of its own, committed at `optime`, or undone when it throws. For writes that are not
    /// logged.
    @inline(__always)
    public func step<Answer>(at optime: OpTime?, _ body: (WriteStep) throws -> Answer) throws -> Answer {
        let step = begin()
        do {
            let answer = try body(step)
            try commit(step, at: optime)
            end(step)
            return answer
        } catch {
            abort(step)
            throw error
        }
    }

    /// Applies a step. `optime` is that of its oplog entry; nil when it wrote local tables only, or in a standalone.
    /// After an error nothing of it has happened, and it is still to be aborted; after success, to be ended.
    func commit(_ step: WriteStep, at optime: OpTime?) throws {
        try invariant(step.isOpen, "a step is committed that has ended")
        if let optime, keepsHistory {
            try invariant(
                optime.timestamp >= lastOptime.timestamp && optime.term >= lastOptime.term,
                "a step at \(optime) comes behind one at \(lastOptime)")
        }
        guard !step.before.isEmpty else {
            try applyBatch(of: step)
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
        let before = step.before
        let records = try appendUndo(optime, before, to: step.batch)
        try applyBatch(of: step)
        undoLog.append(optime, sequences: records, bytes: before.byteCount)
        lastOptime = optime
        before.forEach {
            history.note($0.table, $0.key, before: $0.kind == .put ? $0.value : nil, until: optime.timestamp)
        }
        advanceCommitPoint()
        pruneHistory()
    }

    /// Forgets a step: nothing of it has happened.
    func abort(_ step: WriteStep) { close(step, takingBack: true) }

    /// Lets go of a step that was committed.
    @inline(__always)
    func end(_ step: WriteStep) { close(step, takingBack: false) }

    @inline(__always)
    private func close(_ step: WriteStep, takingBack: Bool) {
        guard step.isOpen else { return }
        if openSteps.count == 1 { openSteps.removeLast() } else { openSteps.removeAll { $0 === step } }
        step.reset(takingBack: takingBack)
        if idleSteps.count < VersionStore.idleStepsMax { idleSteps.append(step) }
    }

    private static let idleStepsMax = 4

    /// First writer wins: a key that another open step has written is taken until that one ends.
    func checkClaim(_ table: TableID, _ key: UnsafeRawBufferPointer, by step: WriteStep) throws(ServerError) {
        for other in openSteps where other !== step && other.overlay.touches(table, key) {
            throw ServerError(
                .writeConflict, "Write conflict: another operation has written the same key and has not ended yet")
        }
    }

    private func applyBatch(of step: WriteStep) throws {
        let pruned = appendPrunedUndo(to: step.batch)
        guard !step.batch.isEmpty || step.batch.changesLog else { return }
        for table in step.overlay.droppedTables { cursorDropped(table) }
        try engine.apply(step.batch)
        for _ in 0..<pruned { undoLog.removeFirst() }
    }
}
