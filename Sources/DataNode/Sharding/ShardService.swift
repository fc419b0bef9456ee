internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication
internal import Sharding

/// A member of a shard: what the shard owns, and whether what routers believe of that is so.
final class ShardService: ClusterService {
    unowned let node: Node
    let ownerships: Ownerships
    private var configLink: SetLink?
    private var selfLink: SetLink?
    private var otherLinks: [SetConnection: SetLink] = [:]
    /// Collections that are being asked about.
    private let learning = SerialGate()

    // MARK: Migrations (`ShardService+Migrations`)

    private(set) lazy var deleter = RangeDeleter(self)
    let migratedSessions: MigratedSessions
    var donors: [MigrationID: DonorTask] = [:]
    var recipients: [MigrationID: RecipientTask] = [:]
    /// The term whose primary has found what earlier ones have left.
    var recoveredTerm: Int64?
    /// Since when this member is primary.
    var officeSince = Instant.zero
    /// When ranges that are still to be deleted were given up, of this term.
    var givenUpAt: [MigrationID: Instant] = [:]
    /// `orphanCleanupDelaySecs`.
    var orphanCleanupDelay = Limits.orphanCleanupDelay
    /// What routers have asked for and takes more than one slice; and collections whose next writes of that kind wait,
    /// because a range is to be closed.
    var longOperations: [UInt64: LongOperation] = [:]
    var nextLongOperation: UInt64 = 0
    var heldWrites: Set<CollectionUUID> = []
    let longWritesChanged: LoopSignal

    init(_ node: Node) {
        self.node = node
        ownerships = Ownerships(node)
        migratedSessions = MigratedSessions(node)
        longWritesChanged = LoopSignal(runtime: node.runtime)
        node.data.ownerships = ownerships
        node.data.sessions.migrated = migratedSessions
        orphanCleanupDelay = node.options.orphanCleanupDelay
    }

    /// Who the shard is; nil before it was added to a cluster.
    var identity: ShardIdentity? {
        guard let document = try? node.data.document(ShardIdentity.id, in: ShardIdentity.namespace) else { return nil }
        return try? ShardIdentity(document)
    }

    var clusterID: ObjectID? { identity?.clusterID }

    var introduction: ClusterIntroduction {
        let identity = identity
        return ClusterIntroduction(
            clusterID: identity?.clusterID, kind: .shard,
            name: identity?.shard.name ?? node.frontend.advertisedName)
    }

    func becamePrimary() { recoverMigrations() }

    func steppedDown() {
        interruptMigrations()
        ownerships.changed.fire()
    }

    func stop() {
        interruptMigrations()
        for link in [configLink, selfLink] + otherLinks.values.map({ $0 }) { link?.close() }
        configLink = nil
        selfLink = nil
        otherLinks = [:]
        ownerships.changed.fire()
    }

    // MARK: Others

    /// The config servers.
    /// - Throws: `ShardingStateNotInitialized` before the shard belongs to a cluster.
    func config() throws(ServerError) -> SetLink {
        guard let identity else {
            throw ServerError(
                ErrorCode(rawValue: 202), "this shard has not been added to a cluster yet: run addShard on a router")
        }
        if let configLink, configLink.setName == identity.config.setName { return configLink }
        let link = makeLink(identity.config)
        configLink = link
        return link
    }

    /// This shard's own set: a secondary asks its primary.
    func ownSet() -> SetLink {
        if let selfLink { return selfLink }
        let hosts = node.replication?.member.config?.members.map(\.host) ?? []
        let link = makeLink(SetConnection(setName: node.options.replicaSetName ?? "", hosts: hosts))
        selfLink = link
        return link
    }

    /// Another shard.
    func other(_ connection: SetConnection) -> SetLink {
        if let link = otherLinks[connection] { return link }
        let link = makeLink(connection)
        otherLinks[connection] = link
        return link
    }

    private func makeLink(_ connection: SetConnection) -> SetLink {
        SetLink(node, connection) { [unowned self] in introduction.append(to: $0) }
    }

    // MARK: Learning

    /// Finds out from the config servers where a collection is, and keeps what this shard owns of it. Returns when a
    /// majority has it, and this member too.
    func learn(_ namespace: Namespace) async throws {
        guard node.takesWrites else {
            let reply = try await ownSet().run { $0.append("_shardsvrLearn", string: namespace.fullName) }
            guard let time = reply["operationTime"]?.asTimestamp else { return }
            var concern = ReadConcern(.local)
            concern.afterClusterTime = time
            try await node.role.awaitReadConcern(
                concern, deadline: node.runtime.now + Limits.clusterCallPatience, on: nil)
            return
        }
        try await learning.run {
            guard let identity else { return _ = try config() }
            let reply = try await config().run {
                $0.append("_configsvrPlacement", string: namespace.fullName)
                $0.append("shard", string: identity.shard.name)
            }
            try await adopt(reply, namespace, identity)
        }
    }

    private func adopt(_ reply: Document, _ namespace: Namespace, _ identity: ShardIdentity) async throws {
        var changes = DocumentChanges()
        try adoptDatabase(reply["database"]?.asDocument, namespace.database, identity, &changes)
        let known = try await node.data.whenResident { try ownerships.collection(namespace) }
        if let document = reply["collection"]?.asDocument, let placement = reply["placement"]?.asDocument {
            let entry = try CollectionEntry(reading: document)
            let table = try OwnershipTable(entry, placement)
            if let known, known.collection.uuid == entry.uuid, known.table.version.epoch == table.version.epoch {
                // Of one incarnation a shard's ownership changes by its migrations only.
                if !known.collection.isConfirmed {
                    var collection = known.collection
                    collection.isConfirmed = true
                    changes.put(ShardedCollection.namespace, collection.document)
                }
            } else {
                if node.data.catalog.find(entry.uuid) == nil, !table.current.isEmpty,
                    let primary = reply["primary"]?.asString.flatMap({ SetConnection($0) })
                {
                    try await takeDefinition(of: entry, from: primary)
                }
                if let known { changes.append(forgetting(known)) }
                changes.append(try keeping(ShardedCollection(entry, isConfirmed: true), table, instead: nil))
            }
        } else if let known {
            changes.append(forgetting(known))
        }
        if changes.isEmpty { return try await node.awaitMajority(node.lastOpTime) }
        try await node.commit(changes)
    }

    private func adoptDatabase(
        _ document: Document?, _ name: String, _ identity: ShardIdentity, _ changes: inout DocumentChanges
    ) throws {
        let known = try ownerships.database(name)
        let entry = try document.map { document throws(ServerError) in try DatabaseEntry(reading: document) }
        if let entry, entry.primary == identity.shard {
            if known != entry.version { changes.put(OwnedDatabase.namespace, OwnedDatabase(entry).document) }
        } else if known != nil {
            changes.delete(OwnedDatabase.namespace, .string(name))
        }
    }

    /// What is written to own a part of a collection; `old` is what is stored of the same table.
    func keeping(
        _ collection: ShardedCollection?, _ table: OwnershipTable, instead old: OwnershipTable?
    ) throws -> DocumentChanges {
        var changes = DocumentChanges()
        if let collection { changes.put(ShardedCollection.namespace, collection.document) }
        let (write, delete) =
            old.map { table.changes(from: $0) } ?? (write: table.documents, delete: [])
        for id in delete { changes.delete(ShardedCollection.ownership, id) }
        for document in write { changes.put(ShardedCollection.ownership, document) }
        return changes
    }

    /// What is written to forget what was owned of a collection.
    func forgetting(_ owned: OwnedCollection) -> DocumentChanges {
        var changes = DocumentChanges()
        changes.delete(ShardedCollection.namespace, owned.collection.uuid.value)
        for document in owned.table.documents {
            if let id = document["_id"] { changes.delete(ShardedCollection.ownership, id) }
        }
        return changes
    }

    /// Makes a collection as it is on another shard, with that identity and its indexes.
    func takeDefinition(of entry: CollectionEntry, from other: SetConnection) async throws {
        try await takeDefinition(entry.name, entry.uuid, from: other)
    }

    /// The same, by name and identity.
    func takeDefinition(_ name: Namespace, _ uuid: CollectionUUID, from other: SetConnection) async throws {
        let reply = try await self.other(other).run { $0.append("_shardsvrDefinition", string: name.fullName) }
        guard reply["uuid"] == uuid.value else {
            throw ServerError(
                .namespaceNotFound, "\(other) has no collection \(name.fullName) of the UUID \(uuid)")
        }
        try await node.data.whenResident {
            if let old = node.data.catalog.find(name), old.uuid != uuid {
                guard old.count == 0 else {
                    throw ServerError(
                        .namespaceExists,
                        "\(name.fullName) is to be sharded here, and another collection of that name has documents")
                }
                _ = try node.data.dropCollection(name, try node.ownWriteContext())
            }
            if node.data.catalog.find(uuid) == nil {
                let command = Document { writer in
                    writer.append("create", string: name.collection)
                    for (key, value) in reply["options"]?.asDocument?.fields ?? [] { writer.append(key, value) }
                }
                try command.withView {
                    _ = try node.data.createCollection(name, $0, try node.ownWriteContext(), uuid: uuid)
                }
            }
            let indexes = (reply["indexes"]?.asArray ?? []).compactMap(\.asDocument)
                .filter { $0["name"]?.asString != "_id_" }
            for index in indexes where node.data.catalog.find(uuid)?.index(named: index["name"]?.asString ?? "") == nil
            {
                guard node.data.catalog.find(uuid)?.count == 0 else {
                    throw ServerError(
                        .indexNotFound,
                        "\(name.fullName) has documents here and lacks the index \(index["name"]?.asString ?? "")")
                }
                try index.withView {
                    _ = try node.data.createIndexes(name, [$0], try node.ownWriteContext())
                }
            }
        }
        try await node.awaitMajority(node.lastOpTime)
    }
}

extension OwnershipTable {
    /// What a shard owns as the config servers say it: `{major, ranges: [{min, max, from}]}`.
    init(_ entry: CollectionEntry, _ placement: Document) throws {
        guard let major = placement["major"]?.asInteger.flatMap({ UInt32(exactly: $0) }),
            let ranges = placement["ranges"]?.asArray
        else { throw ServerError(.failedToParse, "A placement needs major and ranges") }
        var byTime: [Timestamp: [KeyRange]] = [:]
        for range in ranges {
            guard let document = range.asDocument, let from = document["from"]?.asTimestamp else {
                throw ServerError(.failedToParse, "A range of a placement needs min, max and from")
            }
            byTime[from, default: []].append(try KeyRange(reading: document))
        }
        let version = PlacementVersion(entry.epoch, major: major, minor: 0)
        let first = entry.epoch.timestamp
        var documents = OwnershipTable(entry.uuid, version, owning: [], from: first).documents
        for (from, ranges) in byTime.sorted(by: { $0.key < $1.key }) {
            documents += OwnershipTable(entry.uuid, version, owning: ranges, from: from).documents.dropFirst()
        }
        try self.init(documents)
    }
}
