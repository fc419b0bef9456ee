public import BSON
public import Core

/// Everything of one node from a parsed operation down to storage: catalog, collections, indexes, the write path with
/// its oplog entries, session records, application of entries, and reads.
///
/// Synchronous: a call is one step, or one slice of an operation that the caller goes on with after it has let the loop
/// run. Knows nothing of sockets, and of replication only that a write is given a term and gets an optime. A step that
/// throws has changed nothing; `StorageNotResident` means: `prefetch`, then run the step again (`whenResident`).
public final class DataStore {
    public let runtime: any NodeRuntime
    public let versions: VersionStore
    public let oplog: Oplog
    public let catalog: Catalog
    public let sessions: SessionRecords
    /// What stages of pipelines spill.
    public let temporary: TemporaryTables
    public let durability: Durability
    /// Cluster time. Ticks with every write; the shell makes it follow peers and clients.
    public var clock = LogicalClock()
    /// Index builds in progress, by build id, oldest first.
    public internal(set) var indexBuilds: [IndexBuild] = []
    /// What was done for clients.
    public var work = WorkCounters()
    /// The operation that is at work, when somebody wants to know what it does.
    public internal(set) var observation: WorkObservation?
    /// What the slice that has ended last could not read.
    var missing: StorageNotResident?
    /// Whether a key is on its way into memory that nobody waits for.
    var isPrefetching = false
    /// Collections that are always in memory.
    var residentNamespaces: Set<Namespace> = []
    /// Whether documents that a rollback takes back are kept.
    public var keepsRolledBack = true
    /// What this shard owns of its collections; nil on every other node.
    public weak var ownerships: (any OwnershipSource)?
    /// Whether the operation that is at work came through a router: it reads what the shard owns, and nothing beside.
    public var isRouted = false
    /// Counts the changes of what a shard keeps about what it owns, whoever has made them.
    public internal(set) var ownershipChanges: UInt64 = 0
    /// The slice at work has met a range that is closed.
    var hasMetClosedRange = false
    /// Called after an entry was appended, in the same step: wakes tailing cursors and fetchers.
    public var onAppend: ((OpTime) -> Void)?

    /// Called after an insert into a capped collection: wakes tailing cursors where nothing is logged.
    public var onCappedInsert: (() -> Void)?

    /// Called after a database was dropped, here or by the entry of another member.
    public var onDatabaseDropped: ((String) -> Void)?

    /// Bytes of undo above the commit point beyond which writes are refused.
    let undoBytesMax: Int
    let scratch = WriteScratch()
    let indexChanges = IndexChanges()
    private var objectIDs: ObjectIDGenerator

    /// - Parameter undoBytesMax: nil for as much as the oplog or the history may take.
    public init(runtime: any NodeRuntime, versions: VersionStore, oplog: Oplog, undoBytesMax: Int? = nil) {
        self.undoBytesMax = undoBytesMax ?? max(oplog.bytesMax, Limits.historyBytesMax)
        self.runtime = runtime
        self.versions = versions
        self.oplog = oplog
        durability = Durability(versions, oplog, runtime)
        catalog = Catalog(versions: versions)
        temporary = TemporaryTables(versions)
        sessions = SessionRecords(
            versions: versions, forgetsStatements: runtime.hasMutant(.retryAppliedTwice))
        objectIDs = ObjectIDGenerator(runtime)
    }

    /// Loads what is in memory from the tables: after the engine was opened, and again after a rollback or an initial
    /// sync. Cursors and operations from before are invalid.
    public func load() throws {
        indexBuilds.removeAll()
        ownershipChanges &+= 1
        try temporary.reset()
        sessions.reload()
        try catalog.load()
        oplog.setCommitPoint(versions.committed.timestamp)
        if let last = oplog.last { clock.advance(toLogged: last.timestamp) }
        try restartIndexBuilds()
    }

    /// An `_id` for a document that has none.
    public func newObjectID() -> ObjectID { objectIDs.next(runtime.wallClock) }

    // MARK: Room

    /// Whether what waits for a majority takes half of the room that there is for it, or history all of its own:
    /// writers should be slowed down.
    public var isUnderPressure: Bool { isMajorityBehind || versions.historyPressure == .full }

    /// Whether what waits for a majority takes half of the room that there is for it.
    public var isMajorityBehind: Bool {
        oplog.uncommittedBytes > oplog.bytesMax / 2 || versions.undoBytes > undoBytesMax / 2
    }

    /// Whether what waits for a majority takes all of the room: a further write could not be undone.
    public var refusesWrites: Bool { oplog.isOverfull || versions.undoBytes > undoBytesMax }

    /// Whether an operation that runs in slices and has just written ends its slice, for the majority to catch up. One
    /// that is run to its end, with no `deadline`, does not.
    @inline(__always)
    public func endsSlice(_ context: WriteContext, _ deadline: Instant) -> Bool {
        context.isReplicated && deadline < .distantFuture && isMajorityBehind
    }

    /// The optime of the next write. Refuses one that could not be undone: while the commit point stands still, what is
    /// needed to go back to it may neither be dropped nor grow for ever.
    @inline(__always)
    func nextOpTime(_ context: WriteContext) throws -> OpTime {
        if context.isReplicated, !context.isNeededBySet, refusesWrites {
            throw ServerError(
                .exceededMemoryLimit,
                "too many writes wait for a majority of the set: no further one could be undone. Writes are taken "
                    + "again when enough members have caught up")
        }
        if !context.isNeededBySet, let refusal = versions.engine.writeRefusal { throw refusal }
        return OpTime(term: context.isReplicated ? context.term : -1, timestamp: try clock.tick(context.wall))
    }
}

/// Buffers that the write path uses again and again.
final class WriteScratch {
    let document = ByteBuffer(capacity: 4096)
    let image = ByteBuffer(capacity: 4096)
    let key = ByteBuffer(capacity: 256)
    let entry = ByteBuffer(capacity: 256)
    let difference = ByteBuffer(capacity: 1024)
}

/// Makes object ids: the wall clock's second, five bytes drawn at start, a counter.
struct ObjectIDGenerator {
    private let unique: UInt64
    private var counter: UInt32

    init(_ runtime: any NodeRuntime) {
        unique = runtime.randomNumber() & 0xFF_FFFF_FFFF
        counter = UInt32(truncatingIfNeeded: runtime.randomNumber()) & 0xFF_FFFF
    }

    mutating func next(_ wall: WallTime) -> ObjectID {
        counter = (counter + 1) & 0xFF_FFFF
        return ObjectID(
            high: UInt64(wall.seconds) << 32 | unique >> 8,
            low: UInt32(truncatingIfNeeded: unique & 0xFF) << 24 | counter)
    }
}
