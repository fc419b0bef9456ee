internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Replication
internal import Sharding

/// A member of the config set: the authority for where data are. Its primary carries out the changes.
///
/// Each change of placement is one step with one entry, which a majority has before anybody is told. The primary takes
/// one change at a time, so each is decided on what the one before has left.
final class ConfigServer: ClusterService {
    unowned let node: Node
    /// Who changes the catalog.
    let gate = SerialGate()
    private var links: [ShardID: SetLink] = [:]
    /// Placements as this primary has read and changed them; of no use to anybody else.
    private var placements: [Namespace: Placement] = [:]
    /// The term that this member leads as far as its catalog is ready for changes.
    private(set) var readyTerm: Int64?
    /// The term in which what goes on for ever was begun.
    private var readyFor: Int64?
    private let becameReady: LoopSignal
    /// The decisions about migrations (`ConfigServer+Migrations`), those that this primary sees to, and their ends.
    var registry = MigrationRegistry()
    var followed: [MigrationID: Followed] = [:]
    let migrationEnded: LoopSignal
    private(set) lazy var balancer = ConfigBalancer(self)

    init(_ node: Node) {
        self.node = node
        migrationEnded = LoopSignal(runtime: node.runtime)
        becameReady = LoopSignal(runtime: node.runtime)
    }

    var clusterID: ObjectID? {
        guard let document = try? node.data.document(.int32(1), in: ClusterEntry.namespace) else { return nil }
        return (try? ClusterEntry(reading: document))?.clusterID
    }

    var introduction: ClusterIntroduction {
        ClusterIntroduction(clusterID: clusterID, kind: .config, name: node.frontend.advertisedName)
    }

    // MARK: Office

    func becamePrimary() {
        let term = node.role.term
        readyTerm = nil
        placements = [:]
        node.runtime.spawn("config server") { [self] in
            do { try await prepare(term) } catch {
                node.runtime.log.log(.warning, "sharding", "the catalog is not ready: \(error)")
                // Whoever leads next tries again; this one as long as it leads.
                await node.sleep(Limits.clusterRetryPause)
                if node.takesWrites, node.role.term == term, !node.isStopped { becamePrimary() }
            }
        }
    }

    func steppedDown() {
        readyTerm = nil
        placements = [:]
        followed = [:]
        migrationEnded.fire()
        becameReady.fire()
    }

    func stop() {
        for (_, link) in links.sorted(by: { $0.key < $1.key }) { link.close() }
        links = [:]
        becameReady.fire()
    }

    /// Makes what is not there yet, and waits until a majority has all that this primary has found.
    private func prepare(_ term: Int64) async throws {
        if clusterID == nil {
            var changes = DocumentChanges()
            changes.put(ClusterEntry.namespace, ClusterEntry(node.data.newObjectID()).document)
            try await node.commit(changes)
        }
        try await node.data.whenResident {
            for (namespace, keys) in ConfigServer.indexes {
                let specifications = keys.map { key in
                    Document { writer in
                        writer.append("key", key)
                        writer.append("name", string: key.keys.map { "\($0)_1" }.joined(separator: "_"))
                        if key.keys != ["uuid", "lastmod"] { writer.append("unique", bool: true) }
                    }
                }
                for specification in specifications {
                    _ = try specification.withView { view in
                        try node.data.createIndexes(namespace, [view], try node.ownWriteContext())
                    }
                }
            }
        }
        try await loadMigrations()
        try await node.awaitMajority(node.lastOpTime)
        guard node.takesWrites, node.role.term == term else { return }
        registry.onRecovered()
        let isFirst = readyFor != term
        readyFor = term
        readyTerm = term
        becameReady.fire()
        try await resumeMigrations()
        if isFirst {
            resumeCoordinators()
            balancer = ConfigBalancer(self)
            balancer.start()
        }
    }

    private static let indexes: [(Namespace, [Document])] = [
        (ChunkEntry.namespace, [["uuid": 1, "min": 1], ["uuid": 1, "lastmod": 1]]),
        (ZoneEntry.namespace, [["ns": 1, "min": 1]]),
    ]

    /// Returns when this primary may change the catalog.
    /// - Throws: `NotWritablePrimary`; `WriteConcernTimeout` when the set has no majority for so long.
    func awaitReady() async throws(ServerError) {
        let deadline = node.runtime.now + Limits.clusterMajorityWait
        while readyTerm == nil || readyTerm != node.role.term {
            try node.checkTakesWrites()
            guard node.runtime.now < deadline else {
                throw ServerError(
                    .writeConcernTimeout, "the config servers have no majority: their catalog cannot be changed now")
            }
            await becameReady.wait(until: deadline)
        }
    }

    // MARK: The catalog

    /// All documents of a kind.
    func entries<Entry: CatalogDocument>(_ kind: Entry.Type) async throws -> [Entry] {
        var entries: [Entry] = []
        for document in try await node.data.whenResident({ try node.data.documents(in: Entry.namespace) }) {
            entries.append(try Entry(reading: document))
        }
        return entries
    }

    /// The document of a kind with that `_id`.
    func entry<Entry: CatalogDocument>(_ kind: Entry.Type, _ id: Value) async throws -> Entry? {
        guard let document = try await node.data.whenResident({ try node.data.document(id, in: Entry.namespace) })
        else { return nil }
        return try Entry(reading: document)
    }

    /// Documents of the catalog that match, in slices of the loop.
    func find(_ namespace: Namespace, _ filter: Document, sort: Document? = nil) async throws -> [Document] {
        let request = try filter.withView { filter in
            guard let sort else { return try FindRequest(namespace, filter: filter) }
            return try sort.withView { try FindRequest(namespace, filter: filter, sort: $0) }
        }
        let cursor = try QueryCursor(node.data, request)
        defer { cursor.close() }
        var found: [Document] = []
        try await node.inSlices { end -> Void? in
            let buffer = ByteBuffer(capacity: 4096)
            var array = ArrayWriter(startingIn: buffer)
            let progress = try cursor.next(
                into: &array, maxDocuments: Limits.cloneBatchDocuments, maxBytes: Limits.cloneBatchBytes, deadline: end)
            array.finish()
            for element in DocumentView(base: UnsafeRawPointer(buffer.base)) {
                if let document = element.value.asDocument?.document { found.append(document) }
            }
            return progress == .exhausted ? () : nil
        }
        return found
    }

    /// The shards, in order of their names.
    func shards() async throws -> [ShardEntry] { try await entries(ShardEntry.self).sorted { $0.id < $1.id } }

    /// - Throws: `ShardNotFound`.
    func shard(_ id: ShardID) async throws -> ShardEntry {
        guard let entry = try await entry(ShardEntry.self, .string(id.name)) else {
            throw ServerError(.shardNotFound, "Shard \(id) not found")
        }
        return entry
    }

    /// The collection as it is sharded; nil when it is not.
    func collection(_ namespace: Namespace) async throws -> CollectionEntry? {
        try await entry(CollectionEntry.self, .string(namespace.fullName))
    }

    /// The space of a collection's keys.
    func space(of entry: CollectionEntry) throws -> ShardKeySpace {
        try node.shardKeySpace(
            entry.strategy, entry.strategyOptions, entry.key, fingerprint: entry.strategyFingerprint, entry.name)
    }

    /// Where a collection is.
    /// - Throws: `NamespaceNotSharded`.
    func placement(_ namespace: Namespace) async throws -> Placement {
        guard let entry = try await collection(namespace) else {
            throw ServerError(.namespaceNotSharded, "Namespace \(namespace.fullName) is not sharded")
        }
        if var placement = placements[namespace], placement.entry.epoch == entry.epoch {
            placement.entry = entry
            return placement
        }
        let documents = try await find(
            ChunkEntry.namespace, ["uuid": entry.uuid.value], sort: ["min": 1])
        let placement = try Placement(entry, try space(of: entry), documents.map { try ChunkEntry(reading: $0) })
        placements[namespace] = placement
        return placement
    }

    /// Remembers what was committed.
    func keep(_ placement: Placement) { placements[placement.entry.name] = placement }
    /// What is remembered may not be what is stored.
    func forget(_ namespace: Namespace) { placements[namespace] = nil }

    // MARK: Shards

    /// The connection for requests to a shard.
    func link(_ shard: ShardEntry) -> SetLink {
        if let link = links[shard.id], link.setName == shard.hosts.setName { return link }
        let link = makeLink(shard.hosts)
        links[shard.id]?.close()
        links[shard.id] = link
        return link
    }

    func makeLink(_ connection: SetConnection) -> SetLink {
        SetLink(node, connection) { [unowned self] in introduction.append(to: $0) }
    }

    func dropLink(_ shard: ShardID) { links.removeValue(forKey: shard)?.close() }

    /// The members of the config set as shards and routers find them.
    var ownConnection: SetConnection {
        let hosts = node.replication?.member.config?.members.map(\.host) ?? []
        return SetConnection(
            setName: node.options.replicaSetName ?? "",
            hosts: hosts.isEmpty ? [node.frontend.advertisedName] : hosts)
    }
}

extension Node {
    /// The space of keys as a stored collection says it.
    /// - Throws: `BadValue` for a strategy that this program does not have; `IncompatibleShardingMetadata` for one that
    ///   lays keys out in another way than when the collection was sharded.
    func shardKeySpace(
        _ strategy: String, _ options: Document, _ key: Document, fingerprint: Int64?, _ namespace: Namespace
    ) throws -> ShardKeySpace {
        let space: ShardKeySpace
        do { space = try ShardKeySpace(try shardKeyStrategies(strategy, options), pattern: key) } catch let error
            as ServerError
        { throw error } catch { throw ServerError(.badValue, "\(error)") }
        if let fingerprint, try space.fingerprint() != fingerprint {
            throw ServerError(
                .incompatibleShardingMetadata,
                "The shard key strategy '\(strategy)' of this program lays keys out in another way than the one by "
                    + "which \(namespace.fullName) was sharded")
        }
        return space
    }
}
