import BSON
public import Core

/// Everything of one node from a parsed operation down to storage: catalog, collections, indexes, the write path with
/// its oplog entries, session records, application of entries, and reads.
///
/// Synchronous: a call is one step, or one slice of an operation that the caller goes on with after it has let the loop
/// run. Knows nothing of sockets, and of replication only that a write is given a term and gets an optime. A step that
/// throws has changed nothing; `StorageNotResident` means: `prefetch`, then run the step again.
public final class DataStore {
    public let runtime: any NodeRuntime
    public let versions: VersionStore
    public let oplog: Oplog
    public let catalog: Catalog
    public let sessions: SessionRecords
    /// Cluster time. Ticks with every write; the shell makes it follow peers and clients.
    public var clock = LogicalClock()
    /// Index builds in progress, by build id, oldest first.
    public internal(set) var indexBuilds: [IndexBuild] = []
    /// Called after an entry was appended, in the same step: wakes tailing cursors and fetchers.
    public var onAppend: ((OpTime) -> Void)?

    /// Called after an insert into a capped collection: wakes tailing cursors where nothing is logged.
    public var onCappedInsert: (() -> Void)?

    let entries = OplogEntryWriter()
    let scratch = WriteScratch()
    let indexChanges = IndexChanges()
    private var objectIDs: ObjectIDGenerator

    public init(runtime: any NodeRuntime, versions: VersionStore, oplog: Oplog) {
        self.runtime = runtime
        self.versions = versions
        self.oplog = oplog
        catalog = Catalog(versions: versions)
        sessions = SessionRecords(
            versions: versions, forgetsStatements: runtime.hasMutant(.retryAppliedTwice))
        objectIDs = ObjectIDGenerator(runtime)
    }

    /// Loads what is in memory from the tables: after the engine was opened, and again after a rollback or an initial
    /// sync. Cursors and operations from before are invalid.
    public func load() throws {
        indexBuilds.removeAll()
        sessions.reload()
        try catalog.load()
        if let last = oplog.last { clock.advance(toLogged: last.timestamp) }
        try restartIndexBuilds()
    }

    /// Brings a key that a step missed into memory.
    public func prefetch(_ missing: StorageNotResident) async throws {
        if let engine = versions.engine as? any StoragePrefetching {
            try await engine.prefetch(missing.table, [missing.key])
        }
    }

    func newObjectID() -> ObjectID { objectIDs.next(runtime.wallClock) }

    // MARK: Steps

    /// The optime of the next write.
    @inline(__always)
    func nextOpTime(_ context: WriteContext) throws -> OpTime {
        if context.isReplicated, oplog.isOverfull, !context.isNeededBySet {
            throw ServerError(
                .exceededMemoryLimit,
                "the oplog is full of writes that no majority has: they can neither be dropped nor undone beyond it")
        }
        return OpTime(term: context.isReplicated ? context.term : -1, timestamp: try clock.tick(context.wall))
    }

    /// Commits the open batch and appends its entry. Nothing suspends between the two.
    @inline(__always)
    func commit(at optime: OpTime?, entry: UnsafeRawBufferPointer?) throws {
        // Without history a step has no time: an initial sync applies entries to data that may be newer.
        try versions.commit(at: versions.keepsHistory ? optime : nil)
        if let entry, let optime { try append(entry, optime: optime) }
    }

    @inline(__always)
    func append(_ entry: UnsafeRawBufferPointer, optime: OpTime) throws {
        try oplog.append(entry, optime: optime)
        onAppend?(optime)
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
