import BSON
public import Core

/// Takes back everything behind a common point: keeps what is lost, undoes it, cuts the oplog and loads what is in
/// memory afresh. In slices; a member that stops in between goes on when it starts again.
///
/// Counts of documents need no deltas of their own: they are rebuilt from the storage engine's counters, which moved
/// with the tables.
public final class RollbackOperation {
    private enum Phase {
        case finding, keeping, closing, undoing, done
    }

    private let store: DataStore
    private let archive: any RollbackArchive
    public private(set) var mark: RollbackMark
    private var phase = Phase.finding
    private var lost: LostDocuments
    /// Whether the mark is known to be on the disk: before it is, nothing is written that it names.
    private var isMarkDurable = false
    /// The collection and the document that are kept next.
    private var next = (group: 0, record: 0)
    /// Documents that were kept so far.
    public private(set) var keptCount = 0
    /// Where they are found, for people.
    public var place: String { archive.place }

    /// Begins a rollback: notes durably where it goes.
    /// - Throws: `InvariantViolation` when that is below the commit point: what a majority has must not be undone.
    public convenience init(_ store: DataStore, to common: OpTime, rollbackID: Int32) throws {
        try self.init(store, to: common, rollbackID: rollbackID, archive: store.makeRollbackArchive())
    }

    init(_ store: DataStore, to common: OpTime, rollbackID: Int32, archive: any RollbackArchive) throws {
        try Self.checkCommonPoint(common, commitPoint: store.versions.commitPoint)
        self.store = store
        self.archive = archive
        mark = RollbackMark(common: common, rollbackID: rollbackID, began: store.runtime.wallClock)
        lost = try LostDocuments(store, behind: common)
        store.durability.entriesTakenBack(behind: common)
        try mark.store(store.versions)
    }

    /// Goes on with a rollback that an earlier run has left unfinished.
    init(_ store: DataStore, resuming mark: RollbackMark) throws {
        self.store = store
        archive = store.makeRollbackArchive()
        self.mark = mark
        lost = try LostDocuments(store, behind: mark.common)
        if mark.isArchived {
            phase = .undoing
        } else {
            try archive.discard(rollbackID: mark.rollbackID)
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

    /// Goes on until done or the slice is used up, or until `settle` has to come first, which it always may between two
    /// slices. After `StorageNotResident` it is called again.
    public func run(until deadline: Instant) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        while true {
            switch phase {
            case .finding:
                if case .yield = try lost.find(&clock, store.runtime) { return .yield }
                phase = .keeping
            case .keeping:
                if case .yield = try keep(&clock) { return .yield }
                if archive.isOnDisk {
                    phase = .closing
                    return .yield
                }
                try noteArchived()
            case .closing: return .yield
            case .undoing:
                let limit = store.runtime.buggified("small rollback slice", Limits.rollbackKeysPerSlice, 1)
                guard try store.versions.undo(after: mark.common, limit: limit) else { return .yield }
                try finish()
                phase = .done
            case .done: return .done
            }
        }
    }

    /// What has to be on the disk before the next slice: the documents that were kept, all of them before the step
    /// which says that they are. While the disk is full it waits for room.
    /// - Parameter isCancelled: nobody waits for it any more.
    public func settle(isCancelled: () -> Bool = { false }) async throws {
        guard archive.isOnDisk, phase == .closing || archive.isFull else { return }
        // A rollback that begins again must be this one, or it would keep the documents twice.
        if !isMarkDurable { try await store.durability.flush() }
        isMarkDurable = true
        var isTold = false
        while !isCancelled() {
            do {
                try await archive.write(isLast: phase == .closing)
                if phase == .closing { try noteArchived() }
                return
            } catch let error as DiskError where error.kind == .full {
                if !isTold {
                    store.runtime.log.log(.error, "replication", "the rollback waits for room on the disk: \(error)")
                }
                isTold = true
                await store.runtime.sleep(for: Limits.diskFullRetry)
            }
        }
    }

    private func noteArchived() throws {
        try archive.finish(mark)
        mark.isArchived = true
        try mark.store(store.versions)
        phase = .undoing
    }

    private func keep(_ clock: inout SliceClock) throws -> WriteProgress {
        while next.group < lost.groups.count {
            let group = lost.groups[next.group]
            guard next.record < group.records.count else {
                next = (next.group + 1, 0)
                continue
            }
            if archive.isFull { return .yield }
            try keep(group.records[next.record], of: group.collection)
            next.record += 1
            keptCount += 1
            if clock.isOver(store.runtime) { return .yield }
        }
        return .done
    }

    private func keep(_ record: LostDocuments.Record, of collection: Collection) throws {
        let bytes = try record.key.withUnsafeBytes { key in
            switch try store.versions.engine.get(collection.table, key) {
            case .found(let value): value
            case .absent: throw InvariantViolation("a document went away while it was being rolled back")
            case .notResident: throw StorageNotResident(collection.table, key)
            }
        }
        // Keeping it may write, and ends what the engine's pointers are good for.
        let document = try storedDocument(bytes).document
        try document.withView { view in
            try archive.keep(
                LostDocument(
                    namespace: collection.namespace, uuid: collection.uuid, optime: record.optime, document: view),
                in: mark)
        }
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
        guard keepsRolledBack else { return NoRollbackArchive() }
        guard let directory = versions.engine.raw.directory else { return LocalRollbackCollection(self) }
        return RollbackFiles(directory, runtime)
    }

    /// Finishes the rollback that an earlier run has left unfinished, loads everything, and returns where it went; nil
    /// when there was none. Called before anything else is read.
    public func resumeRollback() async throws -> RollbackMark? {
        guard let mark = try await whenResident({ try RollbackMark.load(versions) }) else { return nil }
        // What is lost is found by the catalog as it was; one that is half undone is not read at all.
        if !mark.isArchived { try await whenResident { try load() } }
        let operation = try await whenResident { try RollbackOperation(self, resuming: mark) }
        while case .yield = try await whenResident({ try operation.run(until: .distantFuture) }) {
            try await operation.settle()
        }
        return operation.mark
    }
}
