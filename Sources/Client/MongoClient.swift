import BSON
public import Core

/// A client of a replica set, a router or a single server, over any `Transport` and under any `NodeRuntime`.
///
/// Confined to its runtime's loop, like a node. It watches the servers, selects one for each operation, keeps
/// connections and sessions, and retries once what may be retried.
///
///     let client = MongoClient(runtime: runtime, transport: transport, seeds: [Endpoint("a:27017")!], setName: "rs0")
///     try await client["shop"]["orders"].insertOne(["item": "tea"])
public final class MongoClient {
    /// On whose loop it lives.
    public let runtime: any NodeRuntime
    /// How it behaves.
    public let options: ClientOptions
    /// Called after each change of what is known of the servers.
    public var onTopologyChange: ((TopologyDescription) -> Void)?
    /// Whether `close` was called; nothing can be done with it any more.
    public private(set) var isClosed = false

    let transport: any Transport
    let sessions: SessionPool
    var selector: any ReadSelector
    private(set) var topology: Topology
    private(set) var clusterTime: Document?
    private var servers: [Endpoint: Server] = [:]
    private var statistics: [Endpoint: MemberStatistics] = [:]
    private var waiters: [OneShot<Void>] = []

    /// The pool and monitor of one server.
    struct Server {
        let address: Endpoint
        let pool: ConnectionPool
        let monitor: ServerMonitor
    }

    /// Starts to watch the seeds at once.
    /// - Parameters:
    ///   - runtime: on whose loop the client lives.
    ///   - transport: how it reaches servers.
    ///   - seeds: some members' addresses; the others are found through them.
    ///   - setName: the set's name; nil takes whatever the seeds turn out to be.
    ///   - selector: picks among the servers that an operation may go to.
    ///   - options: how it behaves.
    public init(
        runtime: any NodeRuntime, transport: any Transport, seeds: [Endpoint], setName: String? = nil,
        selector: any ReadSelector, options: ClientOptions = ClientOptions()
    ) {
        self.runtime = runtime
        self.transport = transport
        self.selector = selector
        self.options = options
        sessions = SessionPool(runtime: runtime)
        topology = Topology(
            seeds: seeds, setName: setName, isDirect: options.directConnection,
            heartbeatInterval: options.heartbeatInterval)
        for server in topology.description.servers { watch(server.address) }
    }

    /// What is known of the servers.
    public var topologyDescription: TopologyDescription { topology.description }

    /// A database by name; it need not exist yet.
    public func database(_ name: String) -> MongoDatabase { MongoDatabase(client: self, name: name) }
    /// The same.
    public subscript(name: String) -> MongoDatabase { database(name) }

    /// Starts a session. End it with `end()`.
    public func startSession(causallyConsistent: Bool = true) -> ClientSession {
        ClientSession(pool: sessions, isImplicit: false, isCausallyConsistent: causallyConsistent)
    }

    /// Ends the sessions at the server, as far as one can be reached at once, and closes all connections.
    public func close() async {
        guard !isClosed else { return }
        let ids = sessions.drain()
        var start = 0
        while start < ids.count {
            let batch = ids[start..<min(start + Limits.endSessionsBatchMax, ids.count)]
            start += Limits.endSessionsBatchMax
            guard topology.description.servers.contains(where: \.type.isDataBearing) else { break }
            // What fails here the server's own timeout puts right.
            _ = try? await endSessions(Array(batch))
        }
        shutDown()
    }

    deinit { shutDown() }

    private func shutDown() {
        guard !isClosed else { return }
        isClosed = true
        // In the topology's order: what is closed first is seen first by the servers.
        for server in topology.description.servers {
            servers[server.address]?.monitor.stop()
            servers[server.address]?.pool.close()
        }
        servers = [:]
        wakeWaiters()
    }

    private func endSessions(_ ids: [Document]) async throws {
        var request = CommandRequest(
            database: "admin", command: ["endSessions": .array(ids.map { .document($0) })], access: .read)
        request.preference = .primaryPreferred
        request.usesSession = false
        _ = try await execute(request, session: nil)
    }

    // MARK: Servers

    private func watch(_ address: Endpoint) {
        guard servers[address] == nil, !isClosed else { return }
        let pool = ConnectionPool(address: address, runtime: runtime, transport: transport, options: options)
        let monitor = ServerMonitor(
            address: address, runtime: runtime, transport: transport, options: options,
            report: { [weak self] in self?.take($0, failure: $1) },
            reportRoundTrip: { [weak self] in self?.topology.setRoundTripTime($0, of: address) })
        servers[address] = Server(address: address, pool: pool, monitor: monitor)
        monitor.start()
    }

    private func take(_ description: ServerDescription, failure: NetworkError?) {
        guard !isClosed else { return }
        let directives = topology.take(description)
        // What was pooled is as dead as the monitor's own connection. A server that is silent leaves operations waiting
        // for replies that never come: they are told now.
        if let failure {
            servers[description.address]?.pool.clear(interruptingOperations: failure.kind == .timedOut)
        }
        for directive in directives {
            switch directive {
            case .watch(let address): watch(address)
            case .forget(let address):
                let server = servers.removeValue(forKey: address)
                statistics[address] = nil
                server?.monitor.stop()
                server?.pool.close()
            case .ignored: return
            case .stalePrimary(let address): servers[address]?.monitor.requestCheck()
            }
        }
        topologyChanged()
    }

    private func topologyChanged() {
        sessions.timeoutMinutes = topology.logicalSessionTimeoutMinutes
        onTopologyChange?(topology.description)
        wakeWaiters()
    }

    private func wakeWaiters() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resolve(()) }
    }

    // MARK: Selection

    /// Selects a server, waiting for one until `deadline`.
    func select(
        _ access: ServerSelection.Operation, _ preference: ReadPreference, avoiding: [Endpoint], deadline: Instant
    ) async throws -> Server {
        while true {
            if isClosed { throw ClientUsageError(message: "the client is closed") }
            try checkWireVersions()
            if let server = try pick(access, preference, avoiding: avoiding) { return server }
            guard runtime.now < deadline else { throw selectionTimeout(access, preference) }
            guard waiters.count < Limits.clientSelectionWaitersMax else {
                throw ServerSelectionTimeout(message: "too many operations wait for a server")
            }
            for server in topology.description.servers { servers[server.address]?.monitor.requestCheck() }
            let waiter = OneShot<Void>()
            waiters.append(waiter)
            await waiter.wait(runtime, until: deadline, else: ())
            waiters.removeAll { $0 === waiter }
        }
    }

    /// The server that a read with this preference would go to now, as the selector says. Waits for a suitable one.
    /// - Throws: `ServerSelectionTimeout` when none is found in time.
    public func selectServer(_ preference: ReadPreference) async throws -> Endpoint {
        try await select(.read, preference, avoiding: [], deadline: runtime.now + options.serverSelectionTimeout)
            .address
    }

    /// The server of an address, for what belongs to one server (cursors).
    func server(_ address: Endpoint) -> Server? { servers[address] }

    private func pick(
        _ access: ServerSelection.Operation, _ preference: ReadPreference, avoiding: [Endpoint]
    ) throws -> Server? {
        let description = topology.description
        let suitable: [ServerDescription]
        do {
            suitable = try ServerSelection.suitable(description, access, preference, avoiding: avoiding)
        } catch {
            throw ClientUsageError(message: error.description)
        }
        guard !suitable.isEmpty else { return nil }
        let request = ReadSelectionRequest(
            topology: description, preference: preference, suitable: suitable,
            localThreshold: options.localThreshold, statistics: statistics)
        guard let address = selector.select(request, random: { self.runtime.random(below: $0) }) else { return nil }
        // A selector may choose badly, but not what the read preference forbids.
        return suitable.contains { $0.address == address } ? servers[address] : nil
    }

    private func checkWireVersions() throws {
        for server in topology.description.servers where server.type != .unknown && server.type != .possiblePrimary {
            if server.maxWireVersion < WireVersions.oldest || server.minWireVersion > WireVersions.newest {
                throw ClientUsageError(
                    message: "\(server.address) speaks wire versions \(server.minWireVersion) to "
                        + "\(server.maxWireVersion), this client \(WireVersions.oldest) to \(WireVersions.newest)")
            }
        }
    }

    private func selectionTimeout(
        _ access: ServerSelection.Operation, _ preference: ReadPreference
    ) -> ServerSelectionTimeout {
        let wanted = access == .write ? "server for writes" : "server for reads (\(preference.mode))"
        let known = topology.description.servers.map { server in
            "\(server.address) is \(server.type.rawValue)" + (server.error.map { ": \($0)" } ?? "")
        }
        return ServerSelectionTimeout(
            message: "no \(wanted) within \(options.serverSelectionTimeout); \(known.joined(separator: "; "))")
    }

    // MARK: What operations tell

    func began(on address: Endpoint) { statistics[address, default: MemberStatistics()].operationsInFlight += 1 }
    func ended(on address: Endpoint) { statistics[address]?.operationsInFlight -= 1 }

    func advance(clusterTime time: Document) { clusterTime = ClusterTime.newer(clusterTime, time) }

    /// An operation's connection failed. Errors of connections that a clear has already outdated say nothing new.
    func connectionFailed(_ error: NetworkError, server: Server, generation: Int) {
        guard generation == server.pool.generation, error.kind != .poolCleared else { return }
        // A slow answer is not a dead server.
        if error.kind == .timedOut { return }
        _ = topology.markUnknown(server.address, version: nil, error: error.message)
        server.pool.clear()
        server.monitor.cancelCheck()
        topologyChanged()
    }

    /// A server answered that it is not, or no longer, what it was taken for.
    func stateChanged(_ error: CommandError, server: Server, generation: Int) {
        guard generation == server.pool.generation else { return }
        let version = error.reply.withView { TopologyVersion($0["topologyVersion"]) }
        guard topology.markUnknown(server.address, version: version, error: error.message) else { return }
        if error.code.isShutdown { server.pool.clear() }
        server.monitor.requestCheck()
        topologyChanged()
    }
}

/// The wire versions that the client can speak: MongoDB 4.4 to 9.0.
enum WireVersions {
    static let oldest = 9
    static let newest = 29
}
