internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// What this shard owns of one collection, as of one change of it. An operation that holds it goes on with what was
/// owned when it began.
final class OwnedCollection: CollectionOwnership {
    let collection: ShardedCollection
    let space: ShardKeySpace
    let table: OwnershipTable
    /// This shard, for messages.
    let shard: ShardID
    private let position = ByteBuffer(capacity: 64)

    init(_ collection: ShardedCollection, _ space: ShardKeySpace, _ table: OwnershipTable, _ shard: ShardID) {
        self.collection = collection
        self.space = space
        self.table = table
        self.shard = shard
    }

    var namespace: Namespace { collection.name }

    private func key(of document: DocumentView) throws(ServerError) -> UnsafeRawBufferPointer {
        position.removeAll()
        try space.appendPosition(of: document, to: position)
        return position.bytes
    }

    func owns(_ document: DocumentView, at time: Timestamp?) -> Bool {
        guard let key = try? key(of: document) else { return false }
        guard let time else { return table.owns(key) }
        return table.owns(key, at: time)
    }

    func checkWrite(_ document: DocumentView) throws {
        switch table.admitsWrite(try key(of: document)) {
        case .admitted: return
        case .notOwned:
            let info = StaleConfigInfo(namespace, received: table.version, wanted: table.version, shard: shard)
            throw ServerError(
                .staleConfig, "The shard \(shard) does not own the document's shard key in \(namespace.fullName)",
                details: info.document)
        case .closed: throw RangeIsClosed()
        }
    }

    func checkUpdate(_ old: DocumentView, _ new: DocumentView, isMulti: Bool) throws {
        let before = [UInt8](try key(of: old))
        try checkWrite(old)
        let after: [UInt8]
        do throws(ServerError) { after = [UInt8](try key(of: new)) } catch {
            throw ServerError(
                error.code,
                "An update may not put an array into the shard key of \(namespace.fullName): \(error.message)")
        }
        guard before != after else { return }
        guard !isMulti else {
            throw ServerError(
                .invalidOptions, "Multi-update operations are not allowed when updating the shard key field.")
        }
        switch table.admitsWrite(after) {
        case .admitted: return
        case .closed: throw RangeIsClosed()
        case .notOwned:
            throw ServerError(
                .illegalOperation,
                "The update would move the document to another shard, because it changes the shard key of "
                    + "\(namespace.fullName): that needs a transaction over two shards, which is not supported yet")
        }
    }
}

/// Everything that this member's data say about what the shard owns: read anew when it was changed, by whomever.
final class Ownerships: OwnershipSource {
    private unowned let node: Node
    private var seen: UInt64?
    private var collections: [CollectionUUID: OwnedCollection] = [:]
    private var names: [Namespace: OwnedCollection] = [:]
    private var databases: [String: DatabaseVersion] = [:]
    private(set) var shard = ShardID("")
    /// Fires when something of it has changed.
    let changed: LoopSignal

    init(_ node: Node) {
        self.node = node
        changed = LoopSignal(runtime: node.runtime)
    }

    func ownership(of collection: CollectionUUID) throws -> (any CollectionOwnership)? {
        try refresh()
        return collections[collection]
    }

    func identity(of namespace: Namespace) throws -> CollectionUUID? {
        try refresh()
        return names[namespace]?.collection.uuid
    }

    func collection(_ namespace: Namespace) throws -> OwnedCollection? {
        try refresh()
        return names[namespace]
    }

    func collection(_ uuid: CollectionUUID) throws -> OwnedCollection? {
        try refresh()
        return collections[uuid]
    }

    func database(_ name: String) throws -> DatabaseVersion? {
        try refresh()
        return databases[name]
    }

    var all: [OwnedCollection] {
        get throws {
            try refresh()
            return collections.values.sorted { $0.collection.uuid < $1.collection.uuid }
        }
    }

    @inline(__always)
    private func refresh() throws {
        if seen != node.data.ownershipChanges { try read() }
    }

    /// Reads what has changed. Documents that do not make sense leave their collection out, and so all of it refused.
    private func read() throws {
        let changes = node.data.ownershipChanges
        var parts: [CollectionUUID: [Document]] = [:]
        for document in try node.data.documents(in: ShardedCollection.ownership) {
            let uuid = document.withView { CollectionUUID($0["_id"]?.asDocument?["c"]) }
            if let uuid { parts[uuid, default: []].append(document) }
        }
        if let identity = try node.data.document(ShardIdentity.id, in: ShardIdentity.namespace) {
            shard = try ShardIdentity(identity).shard
        }
        var found: [CollectionUUID: OwnedCollection] = [:]
        for document in try node.data.documents(in: ShardedCollection.namespace) {
            let collection = try ShardedCollection(document)
            guard let part = parts[collection.uuid] else { continue }
            let table = try OwnershipTable(part)
            if let old = collections[collection.uuid], old.collection == collection, old.table == table {
                found[collection.uuid] = old
                continue
            }
            let space = try node.shardKeySpace(
                collection.strategy, collection.strategyOptions, collection.key,
                fingerprint: collection.strategyFingerprint, collection.name)
            found[collection.uuid] = OwnedCollection(collection, space, table, shard)
        }
        collections = found
        names = Dictionary(found.values.map { ($0.namespace, $0) }, uniquingKeysWith: { a, _ in a })
        databases = [:]
        for document in try node.data.documents(in: OwnedDatabase.namespace) {
            let database = try OwnedDatabase(document)
            databases[database.name] = database.version
        }
        seen = changes
        changed.fire()
    }
}
