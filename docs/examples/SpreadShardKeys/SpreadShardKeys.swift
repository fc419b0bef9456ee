import BSON
import Core

/// For keys that only grow, such as `{_id: 1}` or `{time: 1}`: puts each document into one of a few buckets, in order
/// inside each. Inserts go to all shards, and a range is still found, as a range in each bucket.
struct SpreadShardKeys: ShardKeyStrategy {
    var name: String { "spread" }
    static let buckets = PartOption("buckets", default: "8", help: "over how many places inserts are spread")

    var buckets: Int

    init(_ options: PartOptions) throws {
        let text = options.values["buckets"] ?? Self.buckets.defaultValue
        guard let buckets = Int(text), (2...256).contains(buckets) else {
            throw PartOptionError("spread.buckets must be a whole number from 2 to 256, not '\(text)'")
        }
        self.buckets = buckets
    }

    func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        guard pattern.hashedField == nil else {
            throw ServerError(.badValue, "The shard key strategy 'spread' keeps an order: no field can be 'hashed'")
        }
        let inOrder = pattern.fields.indices.map { ShardKeyComponent.ordered($0) }
        return ShardKeyLayout([.buckets(0, count: buckets, name: "bucket")] + inOrder)
    }

    func scatter(_ value: UnsafeRawBufferPointer, for component: ShardKeyComponent) -> UInt64 {
        value.reduce(0) { SplitMix64.mix($0 ^ UInt64($1)) }
    }

    func initialSplits(_ request: InitialChunkRequest) -> [Document] {
        request.evenSplits(0, parts: min(buckets, request.shardCount * request.chunksPerShard))
    }
}
