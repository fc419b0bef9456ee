public import BSON
public import Core

/// Versions above a storage engine: reads at earlier times, undo for rollback, and steps that take effect as a whole.
///
/// The engine holds the latest state. For every key of a replicated table that a step writes, the store keeps what the
/// key was before: in the undo table, in the same engine batch, so that a rollback can restore it; and in memory
/// (`VersionHistory`), so that reads at a time can see it. Both are pruned as the commit point moves; history also
/// waits for open snapshots.
///
/// Contract:
/// - Writes happen in steps (`WriteStep`), each of them one engine batch. What a step has written is seen by reads at
///   its `point`, and by nobody else; pointers that those return are valid until the step's next write.
/// - Keys of one replicated table are prefix-free (record ids are 8 bytes, index keys end themselves, catalogue keys
///   end with a zero byte), and a table's number is never used again.
/// - Timestamps of steps never fall.
/// - An error of the engine stops the member. `StorageNotResident` does not: the step is undone, the key prefetched,
///   and the operation started again.
public final class VersionStore {
    // The hot path goes around exclusivity checks: the store is confined to one loop and holds no access over a call.
    public let engine: GuardedEngine
    /// Whether writes keep what they replace. Off for a standalone, and while an initial sync clones.
    @exclusivity(unchecked) public private(set) var keepsHistory: Bool
    /// Reads before this time fail with `SnapshotTooOld`.
    @exclusivity(unchecked) public private(set) var oldestReadable = Timestamp.zero
    /// The optime of the last step.
    @exclusivity(unchecked) public internal(set) var lastOptime = OpTime.null
    /// What can no longer be rolled back, as far as the store has it.
    @exclusivity(unchecked) public private(set) var commitPoint = OpTime.null
    /// The commit point that was told; a secondary may learn of one that is ahead of its own data.
    @exclusivity(unchecked) private var knownCommitPoint = OpTime.null
    /// Of these, what a majority was said to have; the others count because there is no way back beyond a clone.
    @exclusivity(unchecked) private var toldCommitPoint = OpTime.null
    /// What a restart would find of it.
    @exclusivity(unchecked) var notedCommitPoint = OpTime.null
    /// Undo at or before it may be missing.
    @exclusivity(unchecked) var undoFloor = OpTime.null

    let history = VersionHistory()
    @exclusivity(unchecked) var undoLog = UndoLog()
    @exclusivity(unchecked) private var snapshots = SnapshotList()
    private let historyBytesMax: Int
    /// Timestamps that far below the last step stay readable.
    private let historyWindow: UInt64

    /// The steps that are open, in the order of their beginning, and some that have ended, to be begun again.
    @exclusivity(unchecked) var openSteps: [WriteStep] = []
    @exclusivity(unchecked) var idleSteps: [WriteStep] = []
    /// The store's own writes outside of steps.
    let upkeep = WriteBatch()

    let keyBuffer = ByteBuffer(capacity: 64)
    let mergeRows = RowBuffer(limit: 128)
    private var cursors: [TableID: any StorageCursor] = [:]
    @exclusivity(unchecked) private var lastCursor: (table: TableID, cursor: any StorageCursor)?

    /// - Parameter historyWindow: how long states are kept that no snapshot holds, in whole seconds.
    public init(
        engine: any StorageEngine, keepsHistory: Bool, historyBytesMax: Int = Limits.historyBytesMax,
        historyWindow: Duration = .zero
    ) {
        self.historyWindow = UInt64(clamping: historyWindow.components.seconds) << 32
        self.engine = GuardedEngine(engine)
        self.keepsHistory = keepsHistory
        self.historyBytesMax = historyBytesMax
    }

    /// Opens the engine and, when history is kept, rebuilds it from the undo table.
    public func open() async throws {
        try await engine.open()
        for table in DataTables.resident { engine.keepResident(table) }
        guard keepsHistory else { return }
        try await loadUndo()
        advanceCommitPoint()
        engine.log.setCommitPoint(committed.timestamp)
    }

    /// Flushes and closes the engine.
    public func close() async {
        for step in openSteps { abort(step) }
        try? noteCommitPoint()
        history.removeAll()
        undoLog.removeAll()
        snapshots = SnapshotList()
        cursors.removeAll()
        lastCursor = nil
        await engine.close()
    }

    /// Makes everything that was committed durable, and with it what is known of the commit point.
    public func flush() async throws {
        try noteCommitPoint()
        try await engine.flush(upTo: engine.appliedMark)
    }
    public var appliedMark: UInt64 { engine.appliedMark }
    public var durableMark: UInt64 { engine.durableMark }

    /// Switches history on or off, with no step open. Reads before `optime` are not possible afterwards, and neither is
    /// a rollback beyond it: its data is taken as common to all.
    public func setKeepsHistory(_ keeps: Bool, since optime: OpTime) throws {
        try invariant(openSteps.isEmpty, "history is switched inside a step")
        keepsHistory = keeps
        history.removeAll()
        snapshots.removeAll()
        undoLog.removeAll()
        // Not the later of the two: data that are thrown away take their commit point with them.
        toldCommitPoint = .null
        commitPoint = optime
        knownCommitPoint = optime
        defer { upkeep.removeAll() }
        upkeep.dropTable(.undo)
        cursorDropped(.undo)
        appendFloor(optime, to: upkeep)
        try engine.apply(upkeep)
        lastOptime = optime
        oldestReadable = optime.timestamp
    }

    /// A cursor of the engine, kept for later scans of the table.
    func cursor(_ table: TableID) throws -> any StorageCursor {
        if let lastCursor, lastCursor.table == table { return lastCursor.cursor }
        let cursor = try cursors[table] ?? engine.makeCursor(table)
        cursors[table] = cursor
        lastCursor = (table, cursor)
        return cursor
    }

    func cursorDropped(_ table: TableID) {
        cursors[table] = nil
        lastCursor = nil
    }
}

// MARK: Points in time

extension VersionStore {
    /// Tells the store what can no longer be rolled back. History at or before it goes, unless a snapshot needs it;
    /// undo records go with later steps, or with `pruneUndo`. Looks at a bounded number of records. A commit point
    /// ahead of the last step takes effect as steps reach it.
    public func setCommitPoint(_ optime: OpTime) {
        toldCommitPoint = max(toldCommitPoint, optime)
        guard knownCommitPoint < optime else { return }
        knownCommitPoint = optime
        if advanceCommitPoint() { pruneHistory() }
    }

    /// What a majority is known to have, as far as the store has it. Not more than `commitPoint`, which a clone raises,
    /// too.
    public var committed: OpTime { min(toldCommitPoint, lastOptime) }

    /// What an earlier run has noted; takes effect with `advanceCommitPoint`, when all undo is read.
    func restore(floor: OpTime, committed: OpTime) {
        undoFloor = floor
        notedCommitPoint = committed
        toldCommitPoint = committed
        knownCommitPoint = max(floor, committed)
    }

    /// Lets a restart find what is committed now. Where pruned undo is deleted it is noted anyway.
    private func noteCommitPoint() throws {
        guard keepsHistory, engine.raw.survivesRestart, notedCommitPoint < committed else { return }
        defer { upkeep.removeAll() }
        appendFloor(undoFloor, to: upkeep)
        try engine.apply(upkeep)
    }

    /// Moves the commit point as far as the store's data reaches.
    @discardableResult
    func advanceCommitPoint() -> Bool {
        let reached = min(knownCommitPoint, lastOptime)
        guard commitPoint < reached else { return false }
        commitPoint = reached
        undoLog.commit(through: reached)
        return true
    }

    /// Keeps the state at `timestamp` readable until the token is closed, unless history runs out of memory.
    public func openSnapshot(at timestamp: Timestamp) throws -> SnapshotToken {
        try checkReadable(timestamp)
        return snapshots.open(at: timestamp)
    }

    /// Gives a snapshot back. Closing twice does nothing.
    public func closeSnapshot(_ token: SnapshotToken) { snapshots.close(token) }

    /// Whether a snapshot can still be read: under memory pressure the oldest are closed.
    public func isSnapshotOpen(_ token: SnapshotToken) -> Bool { snapshots.contains(token) }
    public var openSnapshotCount: Int { snapshots.count }

    func checkReadable(_ timestamp: Timestamp) throws {
        guard timestamp < oldestReadable else { return }
        throw ServerError(
            .snapshotTooOld, "cannot read at \(timestamp): the oldest state that is kept is that of \(oldestReadable)")
    }

    /// Bytes of previous values in memory, with what it takes to find them.
    public var historyBytes: Int { history.byteCount }
    /// Bytes of undo records above the commit point.
    public var undoBytes: Int { undoLog.openBytes }

    /// How full the memory for history is. At `full` the primary slows its writers.
    public var historyPressure: HistoryPressure {
        let bytes = historyBytes
        return bytes > historyBytesMax ? .full : bytes > historyBytesMax / 2 ? .half : .none
    }

    func raiseOldestReadable(to timestamp: Timestamp) {
        if timestamp > oldestReadable { oldestReadable = timestamp }
    }

    func dropSnapshots(after timestamp: Timestamp) { snapshots.removeAll(after: timestamp) }

    /// Prunes below the commit point and the oldest snapshot; under pressure beyond the commit point.
    func pruneHistory() {
        var bound = commitPoint.timestamp
        let pressure = historyPressure
        if pressure != .none {
            let window = UInt64(Limits.historyUnderPressureMax.components.seconds) << 32
            let (cutoff, underflow) = history.newest.rawValue.subtractingReportingOverflow(window)
            if !underflow { bound = max(bound, Timestamp(rawValue: cutoff)) }
        } else if historyWindow > 0 {
            let (cutoff, underflow) = lastOptime.timestamp.rawValue.subtractingReportingOverflow(historyWindow)
            bound = underflow ? .zero : min(bound, Timestamp(rawValue: cutoff))
        }
        // One a call: what the next holds may be enough.
        if pressure == .full { snapshots.closeOldest() }
        if let oldest = snapshots.oldest { bound = min(bound, oldest) }
        raiseOldestReadable(to: bound)
        history.prune(
            through: oldestReadable, limit: max(2 * history.addedSincePrune, Limits.historyPrunedPerCallMin))
    }
}
