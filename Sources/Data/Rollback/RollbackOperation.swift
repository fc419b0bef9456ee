import BSON
public import Core

/// Takes back everything behind a common point: keeps what is lost, undoes it, cuts the oplog and loads what is in
/// memory afresh. In slices; a member that stops in between goes on when it starts again.
///
/// Counts of documents need no deltas of their own: they are rebuilt from the storage engine's counters, which moved
/// with the tables.
public final class RollbackOperation {
    private enum Phase {
        case finding, keeping, undoing, done
    }

    private let store: DataStore
    private let archive: any RollbackArchive
    public private(set) var mark: RollbackMark
    private var phase = Phase.finding
    private var lost: LostDocuments
    /// Documents that were kept so far.
    public private(set) var keptCount = 0

    /// Begins a rollback: notes durably where it goes.
    /// - Throws: `InvariantViolation` when that is below the commit point: what a majority has must not be undone.
    public init(_ store: DataStore, to common: OpTime, rollbackID: Int32, archive: (any RollbackArchive)? = nil) throws
    {
        try Self.checkCommonPoint(common, commitPoint: store.versions.commitPoint)
        self.store = store
        self.archive = archive ?? store.makeRollbackArchive()
        mark = RollbackMark(common: common, rollbackID: rollbackID)
        lost = try LostDocuments(store, behind: common)
        store.durability.entriesTakenBack(behind: common)
        try mark.store(store.versions)
    }

    /// Goes on with a rollback that an earlier run has left unfinished.
    init(_ store: DataStore, resuming mark: RollbackMark, archive: (any RollbackArchive)? = nil) throws {
        self.store = store
        self.archive = archive ?? store.makeRollbackArchive()
        self.mark = mark
        lost = try LostDocuments(store, behind: mark.common)
        if mark.isArchived {
            phase = .undoing
        } else {
            try self.archive.discard(rollbackID: mark.rollbackID)
        }
    }

    /// - Throws: `InvariantViolation` with an explanation when a rollback would go below the commit point.
    public static func checkCommonPoint(_ common: OpTime, commitPoint: OpTime) throws {
        try invariant(
            common >= commitPoint,
            "a rollback to \(common) is refused: a majority of the set has everything up to \(commitPoint), which must "
                + "not be undone. The members' histories contradict each other; restore this member from a member that "
                + "is right, or start it without data")
    }

    /// Goes on until done or the slice is used up. After `StorageNotResident` it is called again.
    public func run(until deadline: Instant) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        while true {
            switch phase {
            case .finding:
                if case .yield = try lost.find(&clock, store.runtime) { return .yield }
                phase = .keeping
            case .keeping:
                if case .yield = try keep(&clock) { return .yield }
                try archive.finish(mark)
                mark.isArchived = true
                try mark.store(store.versions)
                phase = .undoing
            case .undoing:
                let limit = store.runtime.buggified("small rollback slice", Limits.rollbackKeysPerSlice, 1)
                guard try store.versions.undo(after: mark.common, limit: limit) else { return .yield }
                try finish()
                phase = .done
            case .done: return .done
            }
        }
    }

    private func keep(_ clock: inout SliceClock) throws -> WriteProgress {
        while keptCount < lost.records.count {
            let record = lost.records[keptCount]
            let bytes = try record.key.withUnsafeBytes { key in
                switch try store.versions.engine.get(record.collection.table, key) {
                case .found(let value): value
                case .absent: throw InvariantViolation("a document went away while it was being rolled back")
                case .notResident: throw StorageNotResident(record.collection.table, key)
                }
            }
            // Keeping it writes, and ends what the engine's pointers are good for.
            let document = try storedDocument(bytes).document
            try document.withView { view in
                try archive.keep(
                    LostDocument(
                        namespace: record.collection.namespace, uuid: record.collection.uuid, optime: record.optime,
                        document: view), in: mark)
            }
            keptCount += 1
            if clock.isOver(store.runtime) { return .yield }
        }
        return .done
    }

    private func finish() throws {
        try store.versions.truncateLog(after: mark.common.timestamp)
        // A flush may have seen them since the rollback began.
        store.durability.entriesTakenBack(behind: mark.common)
        try store.load()
        try store.catalog.forgetPendingDrops(after: mark.common.timestamp)
        try RollbackMark.clear(store.versions)
    }
}

extension DataStore {
    func makeRollbackArchive() -> any RollbackArchive {
        (versions.engine.raw as? any RollbackFileKeeping)?.makeRollbackArchive() ?? LocalRollbackCollection(self)
    }

    /// Finishes the rollback that an earlier run has left unfinished, loads everything, and returns where it went; nil
    /// when there was none. Called before anything else is read.
    public func resumeRollback(archive: (any RollbackArchive)? = nil) async throws -> RollbackMark? {
        guard let mark = try await whenResident({ try RollbackMark.load(versions) }) else { return nil }
        // What is lost is found by the catalog as it was; one that is half undone is not read at all.
        if !mark.isArchived { try await whenResident { try load() } }
        let operation = try await whenResident { try RollbackOperation(self, resuming: mark, archive: archive) }
        while case .yield = try await whenResident({ try operation.run(until: .distantFuture) }) {}
        return operation.mark
    }
}
