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
    let watch: TopologyWatch
    private(set) var clusterTime: Document?
    private var pools: [Endpoint: ConnectionPool] = [:]

    /// One server and its connections.
    struct Server {
        let address: Endpoint
        let pool: ConnectionPool
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
        self.options = options
        sessions = SessionPool(runtime: runtime)
        watch = TopologyWatch(
            runtime: runtime, transport: transport, seeds: seeds, setName: setName, selector: selector,
            options: options)
        watch.onChange = { [unowned self] in topologyChanged() }
        watch.onForget = { [unowned self] in pools.removeValue(forKey: $0)?.close() }
        // What was pooled is as dead as the monitor's own connection. A server that is silent leaves operations waiting
        // for replies that never come: they are told now.
        watch.onFailure = { [unowned self] in pools[$0]?.clear(interruptingOperations: $1.kind == .timedOut) }
        watch.start()
    }

    /// What is known of the servers.
    public var topologyDescription: TopologyDescription { watch.description }

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
            guard watch.description.servers.contains(where: \.type.isDataBearing) else { break }
            // What fails here the server's own timeout puts right.
            _ = try? await endSessions(Array(batch))
        }
        shutDown()
    }

    deinit { shutDown() }

    private func shutDown() {
        guard !isClosed else { return }
        isClosed = true
        let known = watch.description.servers
        watch.close()
        for server in known { pools[server.address]?.close() }
        pools = [:]
    }

    private func endSessions(_ ids: [Document]) async throws {
        var request = CommandRequest(
            database: "admin", command: ["endSessions": .array(ids.map { .document($0) })], access: .read)
        request.preference = .primaryPreferred
        request.usesSession = false
        _ = try await execute(request, session: nil)
    }

    // MARK: Servers

    private func topologyChanged() {
        sessions.timeoutMinutes = watch.logicalSessionTimeoutMinutes
        onTopologyChange?(watch.description)
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
            guard await watch.waitForChange(until: deadline) else {
                throw ServerSelectionTimeout(message: "too many operations wait for a server")
            }
        }
    }

    /// The server that a read with this preference would go to now, as the selector says. Waits for a suitable one.
    /// - Throws: `ServerSelectionTimeout` when none is found in time.
    public func selectServer(_ preference: ReadPreference) async throws -> Endpoint {
        try await select(.read, preference, avoiding: [], deadline: runtime.now + options.serverSelectionTimeout)
            .address
    }

    /// The server of an address, for what belongs to one server (cursors).
    func server(_ address: Endpoint) -> Server? {
        guard !isClosed, watch.description[address] != nil else { return nil }
        if let pool = pools[address] { return Server(address: address, pool: pool) }
        let pool = ConnectionPool(address: address, runtime: runtime, transport: transport, options: options)
        pools[address] = pool
        return Server(address: address, pool: pool)
    }

    private func pick(
        _ access: ServerSelection.Operation, _ preference: ReadPreference, avoiding: [Endpoint]
    ) throws -> Server? {
        do {
            return try watch.pick(access, preference, avoiding: avoiding).flatMap { server($0) }
        } catch {
            throw ClientUsageError(message: error.description)
        }
    }

    private func checkWireVersions() throws {
        for server in watch.description.servers where server.type != .unknown && server.type != .possiblePrimary {
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
        let known = watch.description.servers.map { server in
            "\(server.address) is \(server.type.rawValue)" + (server.error.map { ": \($0)" } ?? "")
        }
        return ServerSelectionTimeout(
            message: "no \(wanted) within \(options.serverSelectionTimeout); \(known.joined(separator: "; "))")
    }

    // MARK: What operations tell

    func began(on address: Endpoint) { watch.began(on: address) }
    func ended(on address: Endpoint) { watch.ended(on: address) }

    func advance(clusterTime time: Document) { clusterTime = ClusterTime.newer(clusterTime, time) }

    /// An operation's connection failed. Errors of connections that a clear has already outdated say nothing new.
    func connectionFailed(_ error: NetworkError, server: Server, generation: Int) {
        guard generation == server.pool.generation, error.kind != .poolCleared else { return }
        // A slow answer is not a dead server.
        if error.kind == .timedOut { return }
        server.pool.clear()
        watch.connectionFailed(server.address, error.message)
    }

    /// A server answered that it is not, or no longer, what it was taken for.
    func stateChanged(_ error: CommandError, server: Server, generation: Int) {
        guard generation == server.pool.generation else { return }
        let version = error.reply.withView { TopologyVersion($0["topologyVersion"]) }
        guard watch.stateChanged(server.address, version: version, error.message) else { return }
        if error.code.isShutdown { server.pool.clear() }
    }
}

/// The wire versions that the client can speak: MongoDB 4.4 to 9.0.
enum WireVersions {
    static let oldest = 9
    static let newest = 29
}
