internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Who a shard is: the document that `addShard` leaves in `admin.system.version`.
///
///     {_id: "shardIdentity", shardName, clusterId, configsvrConnectionString}
struct ShardIdentity: Hashable {
    static let namespace = Namespace("admin", "system.version")
    static let id = Value.string("shardIdentity")

    let shard: ShardID
    let clusterID: ObjectID
    let config: SetConnection

    var document: Document {
        Document { writer in
            writer.append("_id", ShardIdentity.id)
            writer.append("shardName", string: shard.name)
            writer.append("clusterId", objectID: clusterID)
            writer.append("configsvrConnectionString", string: config.description)
        }
    }

    /// Reads it from the stored document or from the command that brings it.
    init(_ document: Document) throws(ServerError) {
        guard let name = document["shardName"]?.asString, let cluster = document["clusterId"]?.asObjectID,
            let config = document["configsvrConnectionString"]?.asString.flatMap({ SetConnection($0) })
        else {
            throw ServerError(
                .failedToParse, "A shard's identity needs shardName, clusterId and configsvrConnectionString")
        }
        shard = ShardID(name)
        clusterID = cluster
        self.config = config
    }
}

/// A sharded collection as a shard knows it beside what it owns of it: a document of `config.shard.collections`.
///
///     {_id: UUID, ns, key, unique, strategy, strategyOptions, strategyFingerprint, confirmed}
struct ShardedCollection: Hashable {
    static let namespace = Namespace("config", "shard.collections")
    /// The documents of `OwnershipTable`.
    static let ownership = Namespace("config", "shard.ownership")

    let uuid: CollectionUUID
    let name: Namespace
    let key: Document
    let isUnique: Bool
    let strategy: String
    let strategyOptions: Document
    let strategyFingerprint: Int64
    /// Whether the config servers are known to have the collection; what only was announced may never come.
    var isConfirmed: Bool

    init(_ entry: CollectionEntry, isConfirmed: Bool) {
        uuid = entry.uuid
        name = entry.name
        key = entry.key
        isUnique = entry.isUnique
        strategy = entry.strategy
        strategyOptions = entry.strategyOptions
        strategyFingerprint = entry.strategyFingerprint
        self.isConfirmed = isConfirmed
    }

    var document: Document {
        Document { writer in
            writer.append("_id", uuid)
            writer.append("ns", string: name.fullName)
            writer.append("key", key)
            writer.append("unique", bool: isUnique)
            writer.append("strategy", string: strategy)
            writer.append("strategyOptions", strategyOptions)
            writer.append("strategyFingerprint", int64: strategyFingerprint)
            writer.append("confirmed", bool: isConfirmed)
        }
    }

    init(_ document: Document) throws(ServerError) {
        guard let uuid = document.withView({ CollectionUUID($0["_id"]) }),
            let name = document["ns"]?.asString.flatMap({ Namespace(fullName: $0) }),
            let key = document["key"]?.asDocument, let strategy = document["strategy"]?.asString
        else { throw ServerError(.failedToParse, "A document of \(ShardedCollection.namespace) is not whole") }
        self.uuid = uuid
        self.name = name
        self.key = key
        self.strategy = strategy
        isUnique = document["unique"]?.asBool ?? false
        strategyOptions = document["strategyOptions"]?.asDocument ?? Document()
        strategyFingerprint = document["strategyFingerprint"]?.asInteger ?? 0
        isConfirmed = document["confirmed"]?.asBool ?? true
    }
}

/// A database of which this shard has what is not sharded: a document of `config.shard.databases`.
///
///     {_id: name, version: {timestamp, lastMod}}
struct OwnedDatabase: Hashable {
    static let namespace = Namespace("config", "shard.databases")
    let name: String
    let version: DatabaseVersion

    var document: Document {
        Document { writer in
            writer.append("_id", string: name)
            writer.append("version", version.document)
        }
    }

    init(_ entry: DatabaseEntry) {
        name = entry.name
        version = entry.version
    }

    init(_ document: Document) throws(ServerError) {
        guard let name = document["_id"]?.asString, let version = document["version"]?.asDocument else {
            throw ServerError(.failedToParse, "A document of \(OwnedDatabase.namespace) is not whole")
        }
        self.name = name
        self.version = try version.withView { view in
            Result { () throws(ServerError) in try DatabaseVersion(view) }
        }.get()
    }
}
