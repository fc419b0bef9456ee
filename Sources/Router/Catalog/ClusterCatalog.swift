package import BSON
package import Core
import Sharding

/// Finds a shard key strategy by name, with its options.
/// - Throws: `BadValue` for one that this program has not.
package typealias ShardKeyStrategies = (_ name: String, _ options: Document) throws(ServerError) -> any ShardKeyStrategy

/// What a router knows of its cluster, read from the config servers and kept until a shard says that it is outdated:
/// the shards, where databases are, where the ranges of sharded collections are.
final class ClusterCatalog {
    /// The config servers.
    let config: RemoteSet
    let host: RemoteHost
    private let strategies: ShardKeyStrategies
    /// Sets of their own for shards, and what `config.shards` says of them.
    private var sets: [ShardID: RemoteSet] = [:]
    private(set) var shards: [ShardEntry] = []
    private var hasShards = false
    private var databases: [String: DatabaseEntry] = [:]
    private var placements: [Namespace: Placement] = [:]
    private let work: SharedWork

    /// What is known of one collection.
    private enum Placement {
        case unsharded
        case sharded(RoutedCollection)
        /// A shard has said that it is outdated; the table that is to be refreshed, if there is one.
        case outdated(RoutedCollection?)
    }

    init(
        _ host: RemoteHost, strategies: @escaping ShardKeyStrategies, configSetName: String, configSeeds: [Endpoint]
    ) {
        self.host = host
        self.strategies = strategies
        work = SharedWork()
        config = RemoteSet(
            host, name: configSetName, seeds: configSeeds, title: "the config servers", isConfig: true)
    }

    func start(name: String) {
        host.introduction.name = name
        config.start()
    }

    func close() {
        config.close()
        for shard in sets.keys.sorted() { sets[shard]?.close() }
        sets = [:]
    }

    // MARK: Shards

    /// Reads the list of shards.
    func refreshShards() async throws(ServerError) {
        try await work.run("shards") { [self] () throws(ServerError) in try await readShards() }
    }

    private func readShards() async throws(ServerError) {
        if host.introduction.clusterID == nil, let version = try await read("version", ["_id": 1]).first {
            host.introduction.clusterID = try ClusterEntry(reading: version).clusterID
        }
        var entries: [ShardEntry] = []
        for document in try await read("shards", Document(), sort: ["_id": 1]) {
            entries.append(try ShardEntry(reading: document))
        }
        for entry in entries {
            host.clock.advance(topologyTime: entry.topologyTime)
            let title = "shard \(entry.id)"
            if let set = sets[entry.id], set.name == entry.hosts.setName { continue }
            sets[entry.id]?.close()
            let set = RemoteSet(
                host, name: entry.hosts.setName, seeds: entry.hosts.hosts.compactMap { Endpoint($0) }, title: title)
            set.start()
            sets[entry.id] = set
        }
        for shard in sets.keys.sorted() where !entries.contains(where: { $0.id == shard }) {
            sets.removeValue(forKey: shard)?.close()
        }
        shards = entries
        hasShards = true
    }

    /// A shard's set.
    /// - Throws: `ShardNotFound`.
    func shard(_ id: ShardID) async throws(ServerError) -> RemoteSet {
        if let set = sets[id] { return set }
        try await refreshShards()
        guard let set = sets[id] else { throw ServerError(.shardNotFound, "Shard \(id) not found") }
        return set
    }

    /// All shards in order of their names.
    func allShards() async throws(ServerError) -> [ShardID] {
        if !hasShards || shards.isEmpty { try await refreshShards() }
        return shards.map(\.id)
    }

    /// A shard that was seen before, for what belongs to one of its members.
    func knownShard(_ id: ShardID) -> RemoteSet? { sets[id] }

    // MARK: Databases

    /// Where a database is; nil when there is none.
    func database(_ name: String) async throws(ServerError) -> DatabaseEntry? {
        if let entry = databases[name] { return entry }
        return try await work.run("database \(name)") { [self] () throws(ServerError) in
            guard let document = try await read("databases", ["_id": .string(name)]).first else { return nil }
            let entry = try DatabaseEntry(reading: document)
            keep(entry)
            return entry
        }
    }

    /// The same; creates it when there is none.
    func databaseForWriting(_ name: String) async throws(ServerError) -> DatabaseEntry {
        if let entry = try await database(name) { return entry }
        let request = Document { CreateDatabaseRequest(name).encode(to: $0) }
        let reply = try await config.call(request, database: "admin", access: .write).checked()
        let created = try reply.body.withView { view in
            Result { () throws(ServerError) in try CreateDatabaseReply(view) }
        }.get()
        let entry = DatabaseEntry(
            name, primary: created.primary, uuid: CollectionUUID(host.runtime), version: created.version)
        keep(entry)
        return entry
    }

    private func keep(_ entry: DatabaseEntry) {
        if databases.count >= Limits.routerCachedNamesMax { databases = [:] }
        databases[entry.name] = entry
    }

    /// All databases as the config servers list them.
    func allDatabases() async throws(ServerError) -> [DatabaseEntry] {
        var entries: [DatabaseEntry] = []
        for document in try await read("databases", Document(), sort: ["_id": 1]) {
            entries.append(try DatabaseEntry(reading: document))
        }
        return entries
    }

    func forget(database name: String) {
        databases[name] = nil
        for namespace in placements.keys where namespace.database == name { forget(namespace) }
    }

    // MARK: Collections

    /// The ranges of a collection; nil when it is not sharded.
    func placement(of namespace: Namespace) async throws(ServerError) -> RoutedCollection? {
        switch placements[namespace] {
        case .unsharded: return nil
        case .sharded(let collection): return collection
        case .outdated(let known): return try await readPlacement(namespace, known)
        case nil: return try await readPlacement(namespace, nil)
        }
    }

    /// What is known without asking anybody; nil when nothing is.
    func knownPlacement(of namespace: Namespace) -> RoutedCollection?? {
        switch placements[namespace] {
        case .unsharded: .some(nil)
        case .sharded(let collection): .some(collection)
        case .outdated, nil: nil
        }
    }
    func knownDatabase(_ name: String) -> DatabaseEntry? { databases[name] }

    private func readPlacement(
        _ namespace: Namespace, _ known: RoutedCollection?
    ) async throws(ServerError) -> RoutedCollection? {
        try await work.run("collection \(namespace)") { [self] () throws(ServerError) in
            let collection = try await load(namespace, known)
            if placements.count >= Limits.routerCachedNamesMax { placements = [:] }
            placements[namespace] = collection.map { .sharded($0) } ?? .unsharded
            return collection
        }
    }

    private func load(_ namespace: Namespace, _ known: RoutedCollection?) async throws(ServerError) -> RoutedCollection?
    {
        guard let document = try await read("collections", ["_id": .string(namespace.fullName)]).first else {
            return nil
        }
        let entry = try CollectionEntry(reading: document)
        if let known, known.entry.epoch == entry.epoch {
            let version = Timestamp(seconds: known.table.version.major, increment: known.table.version.minor)
            let changed = try await readChunks(entry, ["$gte": .timestamp(version)], known.space)
            do throws(ServerError) {
                let table = try known.table.refreshed(changed, majors: entry.majors)
                return RoutedCollection(entry, known.space, table)
            } catch {
                // Changed while it was read: it is read whole.
                guard error.code == .incompatibleShardingMetadata || error.code == .staleEpoch else { throw error }
            }
        }
        let space = try ShardKeySpace(try strategies(entry.strategy, entry.strategyOptions), pattern: entry.key)
        let fingerprint = try space.fingerprint()
        guard entry.strategyFingerprint == 0 || entry.strategyFingerprint == fingerprint else {
            throw ServerError(
                .incompatibleShardingMetadata,
                "The shard key strategy '\(entry.strategy)' of \(namespace) is another here than when it was sharded")
        }
        let chunks = try await readChunks(entry, nil, space)
        return RoutedCollection(entry, space, try RoutingTable(namespace, chunks: chunks, majors: entry.majors))
    }

    private func readChunks(
        _ entry: CollectionEntry, _ version: Document?, _ space: ShardKeySpace
    ) async throws(ServerError) -> [Chunk] {
        var filter: Document = ["uuid": entry.uuid.value]
        if let version { filter.append("lastmod", .document(version)) }
        var chunks: [Chunk] = []
        for document in try await read("chunks", filter, sort: ["lastmod": 1]) {
            chunks.append(try ChunkEntry(reading: document).chunk(in: space, entry.epoch))
        }
        return chunks
    }

    /// A shard has refused a version. What is known is read again, unless it is newer already.
    func note(_ info: StaleConfigInfo) {
        switch placements[info.namespace] {
        case .sharded(let collection):
            if let wanted = info.wanted,
                collection.table.version(of: info.shard).relation(to: wanted) == .agrees
            {
                return
            }
            placements[info.namespace] = .outdated(collection)
        case .unsharded: placements[info.namespace] = .outdated(nil)
        case .outdated, nil: break
        }
    }

    func note(_ info: StaleDatabaseInfo) {
        guard let known = databases[info.database] else { return }
        if let wanted = info.wanted, known.version.relation(to: wanted) == .agrees { return }
        databases[info.database] = nil
    }

    func forget(_ namespace: Namespace) { placements[namespace] = nil }
    func forgetAll() {
        databases = [:]
        placements = [:]
    }

    // MARK: Reading the config servers

    /// Documents of the config servers that a majority has, and that are not older than what was seen of them.
    func read(_ collection: String, _ filter: Document, sort: Document? = nil) async throws(ServerError) -> [Document] {
        var concern: Document = ["level": "majority"]
        if host.clock.configTime != .zero { concern.append("afterClusterTime", .timestamp(host.clock.configTime)) }
        var command: Document = ["find": .string(collection), "filter": .document(filter)]
        if let sort { command.append("sort", .document(sort)) }
        command.append("batchSize", .int32(Int32(Limits.routerConfigBatchDocuments)))
        command.append("readConcern", .document(concern))
        command.append("maxTimeMS", .int64(Limits.routerConfigReadMax.wholeMilliseconds))
        var reply = try await config.call(command, database: "config", preference: .primaryPreferred).checked()
        var documents: [Document] = []
        while true {
            let id = reply.body.withView { view in
                let cursor = view["cursor"]?.asDocument
                for batch in [cursor?["firstBatch"], cursor?["nextBatch"]] {
                    for element in batch?.asArray ?? .empty {
                        if let document = element.value.asDocument { documents.append(document.document) }
                    }
                }
                return cursor?["id"]?.asInt64 ?? 0
            }
            if id == 0 { return documents }
            reply = try await config.call(
                ["getMore": .int64(id), "collection": .string(collection)], database: "config",
                preference: .primaryPreferred, endpoint: reply.endpoint
            ).checked()
        }
    }
}

/// A sharded collection as a router knows it.
final class RoutedCollection {
    let entry: CollectionEntry
    let space: ShardKeySpace
    let table: RoutingTable

    init(_ entry: CollectionEntry, _ space: ShardKeySpace, _ table: RoutingTable) {
        self.entry = entry
        self.space = space
        self.table = table
    }

    var namespace: Namespace { entry.name }
}
