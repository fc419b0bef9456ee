public import BSON
public import Core

/// One field of the shard key by its MD5-based hash, the others in order: MongoDB's hashed sharding. A value lands
/// where it does in MongoDB. Keys that only grow are spread; only equality is found on one shard.
public struct HashedShardKeys: ShardKeyStrategy {
    public var name: String { "hashed" }

    /// A strategy without options.
    public init() {}

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        try requireHashedField(pattern, name)
        return ShardKeyLayout(pattern.fields.indices.map { pattern.fields[$0].isHashed ? .hashed($0) : .ordered($0) })
    }

    public func initialSplits(_ request: InitialChunkRequest) -> [Document] { evenSplitsOfFirst(request) }
}

/// The shape of `hashed` with XXH3 in place of MD5: a faster hash, and other places than in MongoDB.
/// No index has its keys in this order, so a range that moves is found by looking at every document of the shard.
public struct XXHashShardKeys: ShardKeyStrategy {
    public var name: String { "xxhash" }

    /// A strategy without options.
    public init() {}

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        try requireHashedField(pattern, name)
        return ShardKeyLayout(
            pattern.fields.indices.map { pattern.fields[$0].isHashed ? .scattered($0) : .ordered($0) })
    }

    public func scatter(_ value: UnsafeRawBufferPointer, for component: ShardKeyComponent) -> UInt64 {
        xxh3(value)
    }

    public func initialSplits(_ request: InitialChunkRequest) -> [Document] { evenSplitsOfFirst(request) }
}

/// As the key pattern says, as in MongoDB: `hashed` for a key with a hashed field, `ranged` for one without.
public struct MongoDBShardKeys: ShardKeyStrategy {
    public var name: String { "mongodb" }

    /// A strategy without options.
    public init() {}

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        pattern.hashedField == nil
            ? try RangedShardKeys().layout(of: pattern) : try HashedShardKeys().layout(of: pattern)
    }

    public func initialSplits(_ request: InitialChunkRequest) -> [Document] { evenSplitsOfFirst(request) }
}

func requireHashedField(_ pattern: ShardKeyPattern, _ name: String) throws(ServerError) {
    guard pattern.hashedField == nil else { return }
    throw ServerError(
        .badValue,
        "The shard key strategy '\(name)' needs a field that is 'hashed', of "
            + pattern.fields.map(\.path).joined(separator: ", ")
    )
}

/// When hashes come first, each shard can have an equal part of them before there is a document; behind an ordered
/// component there is nothing that can be known to be equal.
func evenSplitsOfFirst(_ request: InitialChunkRequest) -> [Document] {
    guard request.layout.components.first?.isNumber == true else { return [] }
    return request.evenSplits(0, parts: request.shardCount * request.chunksPerShard)
}
