public import BSON
public import Core

/// A chunk as clients read it: a document of `config.chunks`. Its bounds are documents here, bytes in a `Chunk`.
///
///     {_id: ObjectId, uuid, min, max, shard, lastmod: Timestamp(major, minor), onCurrentShardSince: Timestamp,
///      history: [{validAfter, shard}, …], jumbo?: true}
public struct ChunkEntry: CatalogDocument {
    public static let collection = "chunks"
    /// Its number.
    public let id: ObjectID
    /// The collection.
    public let uuid: CollectionUUID
    /// The first key that may be in it, with a value for each component of the key.
    public let min: Document
    /// The first key behind it.
    public let max: Document
    /// Its owner.
    public let shard: ShardID
    /// When it last changed: major in the seconds, minor in the increment.
    public let lastmod: Timestamp
    /// Its owners, the present one first.
    public let history: [Ownership]
    /// It is too large to be moved and could not be split.
    public let isJumbo: Bool

    /// A chunk.
    public init(
        id: ObjectID, uuid: CollectionUUID, min: Document, max: Document, shard: ShardID, lastmod: Timestamp,
        history: [Ownership], isJumbo: Bool = false
    ) {
        self.id = id
        self.uuid = uuid
        self.min = min
        self.max = max
        self.shard = shard
        self.lastmod = lastmod
        self.history = history
        self.isJumbo = isJumbo
    }

    /// A chunk of an incarnation with bounds as they are shown.
    public init(_ chunk: Chunk, id: ObjectID, uuid: CollectionUUID, min: Document, max: Document) {
        self.init(
            id: id, uuid: uuid, min: min, max: max, shard: chunk.shard,
            lastmod: Timestamp(seconds: chunk.version.major, increment: chunk.version.minor), history: chunk.history,
            isJumbo: chunk.isJumbo)
    }

    /// The chunk with its bounds encoded.
    /// - Throws: `BadValue` when the bounds are none of the key.
    public func chunk(in space: ShardKeySpace, _ epoch: Epoch) throws(ServerError) -> Chunk {
        Chunk(
            try space.range(min, max), on: shard,
            PlacementVersion(epoch, major: lastmod.seconds, minor: lastmod.increment), isJumbo: isJumbo,
            history: history)
    }

    public var document: Document {
        Document { writer in
            writer.append("_id", objectID: id)
            writer.append("uuid", uuid)
            writer.append("min", min)
            writer.append("max", max)
            writer.append("shard", string: shard.name)
            writer.append("lastmod", timestamp: lastmod)
            writer.append("onCurrentShardSince", timestamp: history.first?.validAfter ?? .zero)
            writer.array("history") { array in
                for owner in history {
                    array.document {
                        $0.append("validAfter", timestamp: owner.validAfter)
                        $0.append("shard", string: owner.shard.name)
                    }
                }
            }
            if isJumbo { writer.append("jumbo", bool: true) }
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let id = view["_id"]?.asObjectID else { throw Self.malformed("_id") }
        guard let uuid = CollectionUUID(view["uuid"]) else { throw Self.malformed("uuid") }
        guard let min = view["min"]?.asDocument?.document else { throw Self.malformed("min") }
        guard let max = view["max"]?.asDocument?.document else { throw Self.malformed("max") }
        guard let shard = view.string("shard") else { throw Self.malformed("shard") }
        guard let lastmod = view["lastmod"]?.asTimestamp else { throw Self.malformed("lastmod") }
        var history: [Ownership] = []
        for element in view["history"]?.asArray ?? DocumentView.empty {
            guard let owner = element.value.asDocument, let since = owner["validAfter"]?.asTimestamp,
                let former = owner.string("shard")
            else { throw Self.malformed("history") }
            history.append(Ownership(validAfter: since, shard: ShardID(former)))
        }
        self.init(
            id: id, uuid: uuid, min: min, max: max, shard: ShardID(shard), lastmod: lastmod, history: history,
            isJumbo: view["jumbo"]?.isTruthy ?? false)
    }
}
