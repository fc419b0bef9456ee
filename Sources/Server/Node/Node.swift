internal import BSON
public import Core
internal import Data
internal import Wire

/// One node: what listens on one address, keeps data and answers commands; a standalone, or a member of a replica set.
///
/// Confined to its runtime's loop. Everything it reaches is handed over when it is made: the same object serves PyMongo
/// over sockets and runs under the simulator's virtual time.
public final class Node {
    public let runtime: any NodeRuntime
    public let transport: any Transport
    public let options: NodeOptions
    let engine: any StorageEngine

    private(set) var commands = CommandTable()
    let sessions = SessionRegistry()
    let topology: TopologyState
    private(set) var role: any NodeRole
    private let electionPolicy: (any ElectionPolicy)?
    let data: DataStore
    let cursors: CursorRegistry
    let failPoints = FailPoints()
    private(set) lazy var profiler = Profiler(self)
    var flowControl = FlowControl()
    private(set) lazy var ttl = TTLMonitor(self)
    /// An index build was committed or aborted.
    let indexBuildEnded: LoopSignal
    /// Something was written: tailing cursors look again.
    let dataAppended: LoopSignal
    var counters = NodeCounters()
    /// Where replies go that nobody waits for.
    let scratch = ByteBuffer(capacity: 1024)
    let startedAt: Instant
    let startedAtWall: WallTime

    private var listener: (any Listener)?
    private var connections: [UInt64: ClientConnection] = [:]
    private(set) var isShuttingDown = false
    private(set) var isStopped = false
    /// Called when something that `hello` shows has changed.
    public var onTopologyChange: (() -> Void)?
    /// Called when a client's `shutdown` was accepted: whoever holds the node ends it, and what it runs in.
    public var onStopRequest: (() -> Void)?
    private var innerConnections: UInt64 = 0
    var lastOperationID: Int32 = 0
    /// Called when the node has stopped itself: a promise was broken.
    public var onFailure: ((any Error) -> Void)?

    /// - Parameter electionPolicy: needed for a member of a replica set.
    public init(
        runtime: any NodeRuntime, transport: any Transport, engine: any StorageEngine,
        electionPolicy: (any ElectionPolicy)? = nil, options: NodeOptions
    ) {
        self.electionPolicy = electionPolicy
        self.runtime = runtime
        self.transport = transport
        self.options = options
        self.engine = engine
        startedAt = runtime.now
        startedAtWall = runtime.wallClock
        topology = TopologyState(runtime: runtime)
        indexBuildEnded = LoopSignal(runtime: runtime)
        dataAppended = LoopSignal(runtime: runtime)
        cursors = CursorRegistry(runtime: runtime)
        let versions = VersionStore(
            engine: engine, keepsHistory: options.replicaSetName != nil, historyWindow: Limits.historyWindow)
        let oplog = Oplog(versions, bytesMax: options.oplogBytesMax ?? Limits.oplogBytesVolatileDefault)
        oplog.pinnedBytesMax = runtime.buggified("little is kept for initial syncs", Limits.oplogPinnedBytesMax, 8192)
        data = DataStore(runtime: runtime, versions: versions, oplog: oplog)
        role = StandaloneRole()
        CommandSet.addAll(to: &commands)
    }

    /// Opens the storage and starts to listen.
    /// - Throws: `TransportError` when the address cannot be had; what the storage engine throws.
    public func start() async throws {
        try await data.versions.open()
        if let resumed = try await data.resumeRollback() {
            runtime.log.log(.warning, "replication", "finished the rollback to \(resumed.common) of an earlier run")
        } else {
            try data.load()
            if try data.hasUnfinishedInitialSync() { try data.startInitialSync() }
        }
        data.onDatabaseDropped = { [unowned self] in profiler.forget($0) }
        let listener = try transport.listen(on: options.endpoint) { [unowned self] connection in accept(connection) }
        self.listener = listener
        if let setName = options.replicaSetName {
            guard let electionPolicy else {
                throw ServerError(.badValue, "a member of a replica set needs an election policy")
            }
            let member = ReplicaSetRole(
                node: self, setName: setName, policy: electionPolicy, local: try ReplicationLocalState(self))
            role = member
            member.start()
        } else {
            data.onAppend = nil
            data.onCappedInsert = { [unowned self] in dataAppended.fire() }
        }
        ttl.start()
        runtime.log.log(.info, "node", "listening on \(listener.endpoint)")
    }

    /// Where the node listens, once started.
    public var endpoint: Endpoint { listener?.endpoint ?? options.endpoint }
    /// The name under which others reach it.
    var advertisedName: String {
        Endpoint(host: options.advertisedHost ?? options.endpoint.host, port: endpoint.port).description
    }

    /// The last entry of the oplog; null when there is none.
    var lastOpTime: OpTime { data.oplog.last ?? .null }
    /// Numbers the program's own connections apart from those of a transport.
    func nextInnerConnection() -> UInt64 {
        innerConnections += 1
        return 1 << 63 | innerConnections
    }

    var connectionCount: Int { connections.count }
    /// The accepted connections, oldest first.
    var clientConnections: [ClientConnection] { connections.sorted { $0.key < $1.key }.map(\.value) }

    private func accept(_ connection: any Connection) -> (any ConnectionDelegate)? {
        guard !isShuttingDown, connections.count < Limits.incomingConnectionsMax else { return nil }
        let client = ClientConnection(node: self, connection: connection)
        connections[connection.id] = client
        counters.connectionsCreated += 1
        return client
    }

    func connectionDidClose(_ connection: ClientConnection, reason: CloseReason) {
        connections[connection.id] = nil
        if let waiter = connection.heldFor { (role as? ReplicaSetRole)?.abandonWaiter(waiter) }
    }

    /// Ends what is running and closes everything. Requests in flight are answered that the node is shutting down.
    /// - Parameter handingOver: a primary first sees another member take its place, if one can; not worth waiting for
    ///   when the whole set stops.
    public func stop(handingOver: Bool = true) async {
        guard !isStopped, !isShuttingDown else { return }
        if handingOver, let role = role as? ReplicaSetRole { await role.handOver() }
        isShuttingDown = true
        ttl.stop()
        (role as? ReplicaSetRole)?.shutdown()
        topology.bump()
        isStopped = true
        dataAppended.fire()
        listener?.close()
        for (_, connection) in connections.sorted(by: { $0.key < $1.key }) {
            connection.connection.close(graceful: true)
        }
        await data.versions.close()
    }

    /// Stops this member because a promise was broken: it must not go on with what it holds.
    func fail(_ error: any Error) {
        guard !isStopped else { return }
        runtime.log.log(.error, "node", "stopping: \(error)")
        isShuttingDown = true
        ttl.stop()
        isStopped = true
        (role as? ReplicaSetRole)?.shutdown()
        listener?.close()
        for (_, connection) in connections.sorted(by: { $0.key < $1.key }) {
            connection.connection.close(graceful: false)
        }
        onFailure?(error)
    }
}

/// What `serverStatus` counts.
struct NodeCounters {
    var requests: UInt64 = 0
    var malformedMessages: UInt64 = 0
    var connectionsCreated: UInt64 = 0
    var insert: Int64 = 0
    var query: Int64 = 0
    var update: Int64 = 0
    var delete: Int64 = 0
    var getMore: Int64 = 0
    var command: Int64 = 0
    /// Bytes of messages as they are handled, and as they travelled.
    var bytesIn = 0
    var bytesOut = 0
    var physicalBytesIn = 0
    var compressionSaved = 0
    /// Commands that have failed.
    var failures: Int64 = 0
    var latencies = LatencyCounters()
    var writeConcerns = WriteConcernCounters()
    var applied = AppliedCounters()
    var replication = ReplicationCounters()
}

extension ObjectID {
    /// A new id from the node's clock and generator.
    init(runtime: any NodeRuntime) {
        let random = runtime.randomNumber()
        self.init(
            high: UInt64(runtime.wallClock.seconds) << 32 | random >> 32, low: UInt32(truncatingIfNeeded: random))
    }
}
