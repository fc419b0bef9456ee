public import BSON
public import Core
internal import Data
internal import Frontend
internal import Replication
internal import Sharding

/// One data node: keeps data and answers commands behind a frontend; a standalone, or a member of a replica set.
///
/// Confined to its runtime's loop. Everything it reaches is handed over when it is made: the same object serves PyMongo
/// over sockets and runs under the simulator's virtual time.
public final class Node {
    public let runtime: any NodeRuntime
    public let transport: any Transport
    public let options: NodeOptions
    let engine: any StorageEngine

    /// Where clients and members reach it.
    let frontend: Frontend
    private(set) var role: any NodeRole = StandaloneRole()
    /// The role of a member of a replica set, once started; nil for a standalone.
    private(set) var replication: ReplicaSetRole?
    private let electionPolicy: (any ElectionPolicy)?
    private let syncSourceSelector: (any SyncSourceSelecting)?
    let data: DataStore
    /// What it is in a sharded cluster: at most one of them.
    private(set) var shard: ShardService?
    private(set) var configServer: ConfigServer?
    var cluster: (any ClusterService)? { shard ?? configServer }
    let shardKeyStrategies: ShardKeyStrategyLookup
    let profiler = Profiler()
    var flowControl = FlowControl()
    /// That of `fsync` with `lock: true`.
    let lock: FsyncLock
    private(set) lazy var ttl = TTLMonitor(self)
    private(set) lazy var sessionReaper = SessionReaper(self)
    /// An index build was committed or aborted.
    let indexBuildEnded: LoopSignal
    /// Something was written: tailing cursors look again.
    let dataAppended: LoopSignal
    var counters = NodeCounters()
    let startedAt: Instant
    let startedAtWall: WallTime

    var isShuttingDown: Bool { frontend.isShuttingDown }
    var isStopped: Bool { frontend.isStopped }
    /// Called when something that `hello` shows has changed.
    public var onTopologyChange: (() -> Void)?
    /// Called when a client's `shutdown` was accepted: whoever holds the node ends it, and what it runs in.
    public var onStopRequest: (() -> Void)?
    /// Called when the node has stopped itself: a promise was broken.
    public var onFailure: ((any Error) -> Void)?

    /// - Parameters:
    ///   - electionPolicy: needed for a member of a replica set.
    ///   - syncSourceSelector: picks whom the member copies; nil for the nearest, as MongoDB does.
    ///   - shardKeyStrategies: finds strategies for the collections of a sharded cluster.
    public init(
        runtime: any NodeRuntime, transport: any Transport, engine: any StorageEngine,
        electionPolicy: (any ElectionPolicy)? = nil, syncSourceSelector: (any SyncSourceSelecting)? = nil,
        shardKeyStrategies: @escaping ShardKeyStrategyLookup = { name, _ in
            throw ServerError(.badValue, "no shard key strategy '\(name)' is registered")
        },
        options: NodeOptions
    ) {
        self.shardKeyStrategies = shardKeyStrategies
        self.electionPolicy = electionPolicy
        self.syncSourceSelector = syncSourceSelector
        self.runtime = runtime
        self.transport = transport
        self.options = options
        self.engine = engine
        startedAt = runtime.now
        startedAtWall = runtime.wallClock
        frontend = Frontend(
            runtime: runtime, transport: transport,
            settings: FrontendSettings(
                endpoint: options.endpoint, advertisedHost: options.advertisedHost,
                enableTestCommands: options.enableTestCommands),
            own: FrontendCommands.connections)
        indexBuildEnded = LoopSignal(runtime: runtime)
        lock = FsyncLock(runtime)
        dataAppended = LoopSignal(runtime: runtime)
        let versions = VersionStore(
            engine: engine, keepsHistory: options.replicaSetName != nil, historyWindow: Limits.historyWindow)
        let oplog = Oplog(versions, bytesMax: options.oplogBytesMax ?? Limits.oplogBytesVolatileDefault)
        // In this order no number at all is 0.
        let hours = min(max(0, options.oplogMinRetentionHours), Double(Limits.oplogRetentionHoursMax))
        oplog.retention = Int64(hours * 3600)
        oplog.pinnedBytesMax = runtime.buggified("little is kept for initial syncs", Limits.oplogPinnedBytesMax, 8192)
        data = DataStore(runtime: runtime, versions: versions, oplog: oplog)
        data.keepsRolledBack = options.createRollbackDataFiles
        data.durability.onFailure = { [unowned self] in fail($0) }
        frontend.service = self
        profiler.node = self
        switch options.clusterRole {
        case .shard: shard = ShardService(self)
        case .config: configServer = ConfigServer(self)
        case nil: break
        }
        for command in FrontendCommands.information.map(Command.init) + CommandSet.all(options.clusterRole) {
            frontend.commands.add(command) { DataCommand($0, as: $1, of: self) }
        }
        frontend.failPoints.onChange = { [unowned self] in replication?.syncSource.goOn() }
    }

    /// Opens the storage and starts to listen.
    /// - Throws: `TransportError` when the address cannot be had; what the storage engine throws.
    public func start() async throws {
        try await data.versions.open()
        if let resumed = try await data.resumeRollback() {
            runtime.log.log(.warning, "replication", "finished the rollback to \(resumed.common) of an earlier run")
        } else {
            try await data.whenResident {
                try data.load()
                if try data.hasUnfinishedInitialSync() { try data.startInitialSync() }
            }
        }
        try await data.keepResident(Node.residentNamespaces)
        if !options.isInspection {
            try ReplicationLocalState.checkOwner(
                data, setName: options.replicaSetName, startsNewSet: options.startsNewSet)
        }
        let local =
            options.replicaSetName == nil ? nil : try await data.whenResident { try ReplicationLocalState(self) }
        // Before anybody is told of it.
        try await data.durability.settle()
        data.onDatabaseDropped = { [unowned self] in profiler.forget($0) }
        try frontend.listen()
        guard options.clusterRole == nil || options.replicaSetName != nil else {
            throw ServerError(.badValue, "a node of a sharded cluster is a member of a replica set: it needs its name")
        }
        if let setName = options.replicaSetName, let local {
            try local.noteName(self)
            guard let electionPolicy else {
                throw ServerError(.badValue, "a member of a replica set needs an election policy")
            }
            let member = ReplicaSetRole(
                node: self, setName: setName, policy: electionPolicy, syncSourceSelector: syncSourceSelector,
                local: local)
            role = member
            replication = member
            member.start()
        } else {
            try await data.whenResident {
                try FeatureCompatibility.create(
                    self, WriteContext(term: -1, wall: runtime.wallClock, isReplicated: false))
            }
            data.onAppend = nil
            data.onCappedInsert = { [unowned self] in dataAppended.fire() }
        }
        if !options.isInspection { periodicPasses.forEach { $0.start() } }
        (runtime.log as? any RecentLogLines)?.endStartup()
        runtime.log.log(.info, "node", "listening on \(frontend.endpoint)")
    }

    private var periodicPasses: [PeriodicPass] { [ttl.periodic, sessionReaper.periodic] }

    /// Small collections that it reads and writes when it cannot wait for the storage.
    private static let residentNamespaces = ReplicationLocalState.namespaces.union([
        FeatureCompatibility.namespace, DefaultConcernCommands.namespace, ShardedCollection.namespace,
        ShardedCollection.ownership, OwnedDatabase.namespace, ClusterEntry.namespace,
    ])

    /// Where the node listens, once started.
    public var endpoint: Endpoint { frontend.endpoint }
    /// Whether this node may write to a database of its own accord.
    func isWritable(_ database: String) -> Bool {
        var database = database
        return database.withUTF8 { bytes in (try? role.checkWritable(UnsafeRawBufferPointer(bytes))) != nil }
    }

    /// The last entry of the oplog; null when there is none.
    var lastOpTime: OpTime { data.oplog.last ?? .null }

    /// Runs one command as a client of this node would, without a connection: for the program that holds the node.
    /// - Parameter database: the command's `$db`.
    /// - Returns: the reply, with `ok: 0` when the command failed.
    public func run(_ command: Document, database: String = "admin") async -> Document {
        await frontend.run(command, database: database)
    }

    /// Ends what is running and closes everything. Requests in flight are answered that the node is shutting down.
    /// - Parameter handingOver: a primary first sees another member take its place, if one can; not worth waiting for
    ///   when the whole set stops.
    public func stop(handingOver: Bool = true) async {
        guard !isStopped, !isShuttingDown else { return }
        if handingOver { await replication?.handOver() }
        frontend.isShuttingDown = true
        lock.wakeWaiters()
        periodicPasses.forEach { $0.stop() }
        cluster?.stop()
        replication?.shutdown()
        frontend.topology.bump()
        frontend.isStopped = true
        dataAppended.fire()
        frontend.close(graceful: true)
        try? replication?.local.endRun(data)
        await data.versions.close()
    }

    /// Stops this member because a promise was broken: it must not go on with what it holds.
    package func fail(_ error: any Error) {
        guard !isStopped else { return }
        runtime.log.log(.error, "node", "stopping: \(error)")
        frontend.isShuttingDown = true
        lock.wakeWaiters()
        periodicPasses.forEach { $0.stop() }
        frontend.isStopped = true
        cluster?.stop()
        replication?.shutdown()
        frontend.close(graceful: false)
        onFailure?(error)
    }
}

/// What `serverStatus` counts beside what the frontend does.
struct NodeCounters {
    var insert: Int64 = 0
    var query: Int64 = 0
    var update: Int64 = 0
    var delete: Int64 = 0
    var getMore: Int64 = 0
    var command: Int64 = 0
    var latencies = LatencyCounters()
    var writeConcerns = WriteConcernCounters()
    var applied = AppliedCounters()
    var replication = ReplicationCounters()
}
