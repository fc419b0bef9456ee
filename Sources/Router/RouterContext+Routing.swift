import BSON
import Core
import Frontend
import Sharding
import Wire

/// Where the data of a command is.
enum Destination {
    /// A database of the config servers.
    case config
    /// A collection that is not sharded: on the primary shard of its database.
    case unsharded(DatabaseEntry)
    case sharded(RoutedCollection)
    /// There is no such database: any shard says what there is in a collection that does not exist.
    case nowhere
}

/// Finding out where a command goes, and sending it there.
extension RouterContext {
    /// Where a collection is.
    /// - Throws: `ShardNotFound` when there is no shard yet.
    func destination(
        _ namespace: Namespace, _ kind: CollectionRule.Kind
    ) async throws(ServerError) -> Destination {
        switch namespace.database {
        case "admin", "config": return .config
        case "local":
            throw ServerError(
                .illegalOperation, "the database 'local' is each member's own: connect to the member itself")
        default: break
        }
        let known =
            kind == .create
            ? try await catalog.databaseForWriting(namespace.database) : try await catalog.database(namespace.database)
        guard let known else { return .nowhere }
        if let collection = try await catalog.placement(of: namespace) { return .sharded(collection) }
        return .unsharded(known)
    }

    /// Runs `body`, which routes the command and sends it; again, with newer tables, when a shard refuses what it was
    /// routed by. A shard that refuses so has done nothing.
    /// - Throws: the last refusal, which names the collection and both versions, when it does not end.
    func routed(_ body: () async throws(ServerError) -> Void) async throws(ServerError) {
        var attempts = 0
        while true {
            do throws(ServerError) { return try await body() } catch {
                attempts += 1
                guard attempts <= Limits.routerStaleRetriesMax, try await noteStale(error) else { throw error }
                router.counters.staleRetries += 1
                reply.restart()
                isRelayed = false
                try await pauseBeforeRetry(attempts)
            }
        }
    }

    /// The first times at once; then the cluster is given the time to agree.
    func pauseBeforeRetry(_ attempts: Int) async throws(ServerError) {
        if attempts > 2 {
            pause()
            await runtime.sleep(for: Limits.routerStalePause * (1 << min(attempts - 3, 6)))
            resume()
        }
        try checkDeadline()
    }

    /// Whether an error says that the router's tables are outdated, which are read again from then on.
    func noteStale(_ error: ServerError) async throws(ServerError) -> Bool {
        switch error.code {
        case .staleConfig:
            guard let info = try staleInfo(error, { view throws(ServerError) in try StaleConfigInfo(view) }) else {
                return false
            }
            catalog.note(info)
        case .staleDbVersion:
            guard let info = try staleInfo(error, { view throws(ServerError) in try StaleDatabaseInfo(view) }) else {
                return false
            }
            catalog.note(info)
        case .shardNotFound:
            // What was read before the shard was taken away.
            guard !catalog.shards.isEmpty else { return false }
            catalog.forget(database: database)
        default: return false
        }
        return true
    }

    private func staleInfo<Info>(
        _ error: ServerError, _ read: (DocumentView) throws(ServerError) -> Info
    ) throws(ServerError) -> Info? {
        guard let details = error.details else { return nil }
        return try details.withView { view in Result { () throws(ServerError) in try read(view) } }.get()
    }

    /// Sends a request to a shard.
    /// - Throws: a refusal of what it was routed by; other errors of the shard are replies.
    func send(_ request: RemoteRequest, to shard: ShardID) async throws(ServerError) -> RemoteReply {
        try await send(request, to: try await catalog.shard(shard))
    }

    func send(_ request: RemoteRequest, to set: RemoteSet) async throws(ServerError) -> RemoteReply {
        pause()
        defer { resume() }
        let reply = try await set.call(request)
        if let code = reply.code, code == .staleConfig || code == .staleDbVersion, let error = reply.error {
            throw error
        }
        return reply
    }

    /// The set and the versions of what is not sharded.
    func target(of destination: Destination) async throws(ServerError) -> (set: RemoteSet, versions: RoutedRequest) {
        switch destination {
        case .config: return (catalog.config, RoutedRequest())
        case .unsharded(let database):
            return (
                try await catalog.shard(database.primary),
                RoutedRequest(placement: .unsharded, database: database.version)
            )
        case .sharded(let collection):
            let entry = try await catalog.database(collection.namespace.database)
            guard let entry else {
                throw ServerError(.namespaceNotFound, "database \(collection.namespace.database) not found")
            }
            return (try await catalog.shard(entry.primary), RoutedRequest())
        case .nowhere:
            guard let first = try await catalog.allShards().first else {
                throw ServerError(.shardNotFound, "No shards found: add one with addShard")
            }
            return (try await catalog.shard(first), RoutedRequest())
        }
    }

    /// Passes the whole command on to where data that is not sharded are.
    func forwardWhole(
        to destination: Destination, _ access: ServerSelection.Operation
    ) async throws(ServerError) {
        let (set, versions) = try await target(of: destination)
        let request = try forwarded(versions, access: access)
        router.counters.targeted += 1
        let reply = try await send(request, to: set)
        try relay(reply) { id throws(ServerError) in
            try keepCursor(RemoteCursor(id, of: set, reply.endpoint, router), awaitsData: awaitsData)
        }
    }

    /// Whether a `getMore` of the cursor that the command opens may be held at the member.
    private var awaitsData: Bool { body["awaitData"]?.isTruthy ?? false }

    /// For `serverStatus`.
    func count() {
        switch KeyView(command.name) {
        case "insert": router.counters.insert += 1
        case "find": router.counters.query += 1
        case "update": router.counters.update += 1
        case "delete": router.counters.delete += 1
        case "getMore": router.counters.getMore += 1
        default: router.counters.command += 1
        }
    }
}
