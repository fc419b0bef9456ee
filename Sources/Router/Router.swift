public import BSON
public import Core
internal import Client
package import Frontend
internal import Sharding

/// One router of a sharded cluster: clients talk to it as to a single server, and it sends what they ask to the shards
/// that have the data.
///
/// It keeps nothing: what it knows of the cluster it reads from the config servers, and reads again when a shard says
/// that it has changed. Confined to its runtime's loop.
public final class Router {
    public let runtime: any NodeRuntime
    public let transport: any Transport
    public let options: RouterOptions

    /// Where clients reach it.
    let frontend: Frontend
    let catalog: ClusterCatalog
    let clock = ClusterClock()
    let startedAt: Instant
    let startedAtWall: WallTime
    var counters = RouterCounters()
    /// Called when a client's `shutdown` was accepted: whoever holds the router ends it, and what it runs in.
    public var onStopRequest: (() -> Void)?
    /// Called when the router has stopped itself: a promise was broken.
    public var onFailure: ((any Error) -> Void)?
    private var pinging: TimerToken?

    /// - Parameters:
    ///   - commands: what the shards answer, as they declare it: the router checks requests against the same.
    ///   - makeSelector: picks among the members of a set that a read preference allows; one for each set.
    ///   - strategies: a shard key strategy by name, with its options.
    package init(
        runtime: any NodeRuntime, transport: any Transport, commands: [CommandDeclaration],
        makeSelector: @escaping () -> any ReadSelector, strategies: @escaping ShardKeyStrategies,
        options: RouterOptions
    ) {
        self.runtime = runtime
        self.transport = transport
        self.options = options
        startedAt = runtime.now
        startedAtWall = runtime.wallClock
        frontend = Frontend(
            runtime: runtime, transport: transport,
            settings: FrontendSettings(
                endpoint: options.endpoint, advertisedHost: options.advertisedHost,
                enableTestCommands: options.enableTestCommands))
        catalog = ClusterCatalog(
            RemoteHost(runtime: runtime, transport: transport, clock: clock, makeSelector: makeSelector),
            strategies: strategies, configSetName: options.configSetName, configSeeds: options.configSeeds)
        frontend.service = self
        for command in RouterCommands.table(of: commands) {
            frontend.commands.add(command) { RouterCommand($0, as: $1, of: self) }
        }
    }

    /// Starts to listen, and to watch the config servers.
    /// - Throws: `TransportError` when the address cannot be had.
    public func start() throws {
        try frontend.listen()
        catalog.start(name: frontend.advertisedName)
        schedulePing(after: .zero)
        (runtime.log as? any RecentLogLines)?.endStartup()
        runtime.log.log(.info, "router", "listening on \(frontend.endpoint)")
    }

    /// Where the router listens, once started.
    public var endpoint: Endpoint { frontend.endpoint }

    /// Runs one command as a client would, without a connection: for the program that holds the router.
    public func run(_ command: Document, database: String = "admin") async -> Document {
        await frontend.run(command, database: database)
    }

    /// Ends what is running and closes everything.
    public func stop() { end(graceful: true) }

    private func end(graceful: Bool) {
        guard !frontend.isStopped else { return }
        if let pinging { runtime.cancel(pinging) }
        frontend.isShuttingDown = true
        frontend.topology.bump()
        frontend.cursors.closeAll()
        frontend.close(graceful: graceful)
        catalog.close()
    }

    package func fail(_ error: any Error) {
        guard !frontend.isStopped else { return }
        runtime.log.log(.error, "router", "stopping: \(error)")
        end(graceful: false)
        onFailure?(error)
    }

    // MARK: Signs of life

    /// Tells the config servers every few seconds that it is there (`config.mongos`), and looks at the list of shards.
    private func schedulePing(after delay: Duration) {
        pinging = runtime.schedule(after: delay) { [weak self] in
            guard let self, !frontend.isStopped else { return }
            runtime.spawn("router ping") { [self] in
                await ping()
                schedulePing(after: Limits.routerPingInterval)
            }
        }
    }

    private func ping() async {
        let up = (runtime.now - startedAt).wholeMilliseconds / 1000
        let name = frontend.advertisedName
        let entry: Document = [
            "q": ["_id": .string(name)],
            "u": [
                "$set": [
                    "ping": .dateTime(runtime.wallClock.milliseconds), "up": .int64(up), "waiting": true,
                    "mongoVersion": .string(ServerVersion.mongoDB), "advisoryHostFQDNs": .array([]),
                ], "$setOnInsert": ["created": .dateTime(runtime.wallClock.milliseconds)],
            ], "upsert": true,
        ]
        do throws(ServerError) {
            try await catalog.refreshShards()
            _ = try await catalog.config.call(
                ["update": "mongos", "updates": .array([.document(entry)])], database: "config", access: .write,
                deadline: runtime.now + Limits.routerPingInterval
            ).checked()
        } catch {
            runtime.log.log(.debug, "router", "the config servers were not told that it is there: \(error)")
        }
    }
}

/// What a router counts for `serverStatus`.
struct RouterCounters {
    var insert: Int64 = 0
    var query: Int64 = 0
    var update: Int64 = 0
    var delete: Int64 = 0
    var getMore: Int64 = 0
    var command: Int64 = 0
    /// Requests that were sent again because a shard refused their version.
    var staleRetries: Int64 = 0
    /// Operations by the number of shards that they went to.
    var targeted: Int64 = 0
    var scattered: Int64 = 0
}

/// The newest times that the router has seen: of the cluster, of the config servers, and of the list of shards.
final class ClusterClock {
    private(set) var time = Timestamp.zero
    private(set) var configTime = Timestamp.zero
    private(set) var topologyTime = Timestamp.zero

    /// Follows a time that a client has seen. One too far ahead of the wall clock is refused: taking it could use up
    /// the timestamps that are left.
    func advance(to seen: Timestamp, wall: WallTime) throws(ServerError) {
        guard seen > time else { return }
        let limit = Int64(wall.seconds) + Limits.clusterTimeDriftMax.components.seconds
        guard Int64(seen.seconds) <= limit, seen.seconds <= UInt32(clamping: Int32.max) else {
            throw ServerError(
                .clusterTimeFailsRateLimiter,
                "New cluster time, \(seen.seconds), is too far from this node's wall clock time, \(wall.seconds).")
        }
        time = seen
    }

    /// Follows what a reply of a member says.
    func take(_ reply: DocumentView, isConfig: Bool) {
        if let seen = reply["$clusterTime"]?.asDocument?["clusterTime"]?.asTimestamp, seen > time { time = seen }
        if let seen = reply["$configTime"]?.asTimestamp { configTime = max(configTime, seen) }
        if let seen = reply["$topologyTime"]?.asTimestamp { topologyTime = max(topologyTime, seen) }
        if isConfig, let seen = reply["operationTime"]?.asTimestamp { configTime = max(configTime, seen) }
    }

    /// The list of shards was read, and last changed then.
    func advance(topologyTime seen: Timestamp) { topologyTime = max(topologyTime, seen) }
}
