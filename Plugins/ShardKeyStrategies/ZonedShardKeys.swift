public import BSON
public import Core

/// For keys whose leading fields say where a document belongs, such as `{region: 1, user: "hashed"}`: zones are ranges
/// of the leading fields, and inside each the hashed field spreads documents over the zone's shards.
///
/// Positions are those of `hashed`. What it adds are the first chunks: every zone whose lower bound has MinKey from the
/// hashed field on (`{region: "eu", user: MinKey}`) is cut at once into equal parts of the hashes of that prefix, for
/// each of its shards. MongoDB does that when `shardCollection` says `presplitHashedZones`. Zones that begin elsewhere,
/// and what is in no zone, stay one chunk each until there is data: nothing is known of it.
public struct ZonedShardKeys: ShardKeyStrategy {
    public var name: String { "zoned" }

    /// A strategy without options.
    public init() {}

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        try requireHashedField(pattern, name)
        guard let hashed = pattern.hashedField, hashed > 0 else {
            throw ServerError(
                .badValue,
                "The shard key strategy 'zoned' needs a field before the hashed one, that zones are ranges of")
        }
        return ShardKeyLayout(pattern.fields.indices.map { $0 == hashed ? .hashed($0) : .ordered($0) })
    }

    public func initialSplits(_ request: InitialChunkRequest) -> [Document] {
        guard let hashed = request.pattern.hashedField else { return [] }
        return request.zones.flatMap { zone -> [Document] in
            let lowest = zone.min.values
            guard lowest.count > hashed, lowest[hashed...].allSatisfy({ $0 == .minKey }) else { return [] }
            let prefix = Array(lowest[..<hashed])
            guard !prefix.contains(.minKey) else { return [] }
            return request.evenSplits(hashed, parts: zone.shardCount * request.chunksPerShard, behind: prefix)
        }
    }
}
