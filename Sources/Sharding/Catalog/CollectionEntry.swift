public import BSON
public import Core

/// A sharded collection: a document of `config.collections`.
///
///     {_id: "db.coll", uuid, key, unique, lastmodEpoch: ObjectId, lastmod: Date, timestamp: Timestamp,
///      shardVersions: [{shard, major}, …], noBalance?, defaultCollation?, maxChunkSizeBytes?, allowMigrations?: false,
///      strategy?, strategyOptions?, strategyFingerprint}
///
/// `shardVersions` has the major version of each shard that has, or had, chunks: a split gives chunks a new version
/// and the shard keeps its own, so it cannot be told from the chunks. Who reads the collection first and its chunks
/// behind it has versions that are too old, never too new for the chunks that they come with.
public struct CollectionEntry: CatalogDocument {
    public static let collection = "collections"
    /// The collection's name.
    public let name: Namespace
    /// The same on all shards.
    public let uuid: CollectionUUID
    /// The key pattern as `shardCollection` was given it.
    public let key: Document
    /// Whether the key is unique.
    public let isUnique: Bool
    /// For clients of old: another for each incarnation.
    public let lastmodEpoch: ObjectID
    /// The incarnation.
    public let epoch: Epoch
    /// When it was last changed, in milliseconds of the wall clock.
    public var lastmod: Int64
    /// The major version of each shard that has, or had, chunks.
    public var majors: [ShardID: UInt32]
    /// The name of the strategy that lays out its keys.
    public let strategy: String
    /// The strategy's options.
    public let strategyOptions: Document
    /// What the strategy made of a fixed sample when the collection was sharded.
    public let strategyFingerprint: Int64
    /// The balancer leaves it alone.
    public var isNotBalanced = false
    /// A collation of its own.
    public var defaultCollation: Document?
    /// A chunk size of its own.
    public var maxChunkSizeBytes: Int64?
    /// Whether ranges may move; a change of the definition forbids it for a time.
    public var allowsMigrations = true

    /// MongoDB's strategy.
    public static let defaultStrategy = "mongodb"

    /// A collection that was sharded just now.
    public init(
        _ name: Namespace, uuid: CollectionUUID, key: Document, isUnique: Bool, lastmodEpoch: ObjectID, epoch: Epoch,
        lastmod: Int64, majors: [ShardID: UInt32], strategy: String = CollectionEntry.defaultStrategy,
        strategyOptions: Document = Document(), strategyFingerprint: Int64 = 0
    ) {
        self.name = name
        self.uuid = uuid
        self.key = key
        self.isUnique = isUnique
        self.lastmodEpoch = lastmodEpoch
        self.epoch = epoch
        self.lastmod = lastmod
        self.majors = majors
        self.strategy = strategy
        self.strategyOptions = strategyOptions
        self.strategyFingerprint = strategyFingerprint
    }

    /// The version of a shard's part; `0|0` for one that never had a chunk.
    public func version(of shard: ShardID) -> PlacementVersion {
        PlacementVersion(epoch, major: majors[shard] ?? 0, minor: 0)
    }

    public var document: Document {
        Document { writer in
            writer.append("_id", string: name.fullName)
            writer.append("uuid", uuid)
            writer.append("key", key)
            writer.append("unique", bool: isUnique)
            writer.append("lastmodEpoch", objectID: lastmodEpoch)
            writer.append("lastmod", dateTime: lastmod)
            writer.append("timestamp", timestamp: epoch.timestamp)
            writer.array("shardVersions") { array in
                for (shard, major) in majors.sorted(by: { $0.key < $1.key }) {
                    array.document {
                        $0.append("shard", string: shard.name)
                        $0.append("major", int64: Int64(major))
                    }
                }
            }
            if isNotBalanced { writer.append("noBalance", bool: true) }
            if let defaultCollation { writer.append("defaultCollation", defaultCollation) }
            if let maxChunkSizeBytes { writer.append("maxChunkSizeBytes", int64: maxChunkSizeBytes) }
            if !allowsMigrations { writer.append("allowMigrations", bool: false) }
            if strategy != CollectionEntry.defaultStrategy { writer.append("strategy", string: strategy) }
            if !strategyOptions.isEmpty { writer.append("strategyOptions", strategyOptions) }
            writer.append("strategyFingerprint", int64: strategyFingerprint)
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let full = view.string("_id"), let name = Namespace(fullName: full) else { throw Self.malformed("_id") }
        guard let uuid = CollectionUUID(view["uuid"]) else { throw Self.malformed("uuid") }
        guard let key = view["key"]?.asDocument?.document else { throw Self.malformed("key") }
        guard let lastmodEpoch = view["lastmodEpoch"]?.asObjectID else { throw Self.malformed("lastmodEpoch") }
        guard let timestamp = view["timestamp"]?.asTimestamp, timestamp != .zero else {
            throw Self.malformed("timestamp")
        }
        guard let versions = view["shardVersions"]?.asArray else { throw Self.malformed("shardVersions") }
        var majors: [ShardID: UInt32] = [:]
        for element in versions {
            guard let version = element.value.asDocument, let shard = version.string("shard"),
                let major = version["major"]?.asInteger.flatMap({ UInt32(exactly: $0) })
            else { throw Self.malformed("shardVersions") }
            majors[ShardID(shard)] = major
        }
        self.init(
            name, uuid: uuid, key: key, isUnique: view["unique"]?.isTruthy ?? false, lastmodEpoch: lastmodEpoch,
            epoch: Epoch(timestamp), lastmod: view["lastmod"]?.asDateTime ?? 0, majors: majors,
            strategy: view.string("strategy") ?? CollectionEntry.defaultStrategy,
            strategyOptions: view["strategyOptions"]?.asDocument?.document ?? Document(),
            strategyFingerprint: view["strategyFingerprint"]?.asInteger ?? 0)
        isNotBalanced = view["noBalance"]?.isTruthy ?? false
        defaultCollation = view["defaultCollation"]?.asDocument?.document
        maxChunkSizeBytes = view["maxChunkSizeBytes"]?.asInteger
        allowsMigrations = view["allowMigrations"].map(\.isTruthy) ?? true
    }
}
