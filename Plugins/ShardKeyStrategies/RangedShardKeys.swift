public import Core

/// Documents in the order of their shard key's values, as MongoDB's ranged sharding: neighbours stay together and
/// ranges are found on few shards; a key that only grows sends all inserts to one.
public struct RangedShardKeys: ShardKeyStrategy {
    public var name: String { "ranged" }

    /// A strategy without options.
    public init() {}

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        if let hashed = pattern.hashedField {
            throw ServerError(
                .badValue,
                "The shard key strategy 'ranged' keeps values in order: the field '\(pattern.fields[hashed].path)' "
                    + "cannot be 'hashed'")
        }
        return ShardKeyLayout(pattern.fields.indices.map { .ordered($0) })
    }
}
