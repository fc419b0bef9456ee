public import Core

/// The chunks of one collection with their sizes, as the balancer looks at them: by shard and zone, so that a decision
/// does not walk over all of them.
public struct CollectionLoad: Sendable {
    /// One chunk.
    public struct Part: Sendable, Hashable {
        /// The place of its shard.
        public fileprivate(set) var shard: Int
        /// The place of its zone in `zones`; nil for none.
        public let zone: Int?
        /// Its data.
        public fileprivate(set) var bytes: Int64
        /// It cannot be moved.
        public let isJumbo: Bool
        /// Where it is in the list of its shard and zone.
        fileprivate var place = 0

        /// A chunk on a shard.
        public init(shard: Int, zone: Int? = nil, bytes: Int64, isJumbo: Bool = false) {
            self.shard = shard
            self.zone = zone
            self.bytes = max(bytes, 0)
            self.isJumbo = isJumbo
        }
    }

    /// The collection.
    public let namespace: Namespace
    /// The size from which on its chunks are too large.
    public let chunkSize: Int64
    /// Whether it is to be balanced at all; draining and zones do not ask.
    public let isBalanced: Bool
    /// The names of its zones.
    public let zones: [String]
    /// All chunks, in no order that matters; a move names one by its place.
    public private(set) var parts: [Part]
    /// By shard, its data of the collection.
    public private(set) var bytes: [Int64]
    /// By shard, then by zone (none first): the chunks that can be moved.
    private var movable: [[[Int]]]
    /// By shard, the jumbo chunks.
    public private(set) var jumboCount: [Int]

    /// - Parameters:
    ///   - parts: the chunks, each on one of the shards and in one of the zones or none; others are left out.
    ///   - shardCount: how many shards there are.
    public init(
        _ namespace: Namespace, chunkSize: Int64, isBalanced: Bool = true, zones: [String] = [], parts: [Part],
        shardCount: Int
    ) {
        self.namespace = namespace
        self.chunkSize = max(chunkSize, 1)
        self.isBalanced = isBalanced
        self.zones = zones
        self.parts = parts
        bytes = Array(repeating: 0, count: shardCount)
        jumboCount = bytes.map { _ in 0 }
        movable = bytes.map { _ in Array(repeating: [], count: zones.count + 1) }
        for index in parts.indices where bytes.indices.contains(parts[index].shard) { add(index) }
    }

    private mutating func add(_ index: Int) {
        let part = parts[index]
        bytes[part.shard] = bytes[part.shard].addingReportingOverflow(part.bytes).partialValue
        if part.isJumbo {
            jumboCount[part.shard] += 1
        } else {
            let zone = slot(part)
            parts[index].place = movable[part.shard][zone].count
            movable[part.shard][zone].append(index)
        }
    }

    private func slot(_ part: Part) -> Int { part.zone.map { zones.indices.contains($0) ? $0 + 1 : 0 } ?? 0 }

    /// How many chunks of a zone (nil: of none) on a shard can be moved.
    public func movableCount(_ shard: Int, zone: Int?) -> Int { movable[shard][(zone ?? -1) + 1].count }

    /// A chunk of a zone on a shard that is not larger than `most`: what moves. The largest of a few, so that a
    /// decision costs the same however many there are; only when they are all too large every chunk is looked at.
    public func candidate(_ shard: Int, zone: Int?, upTo most: Int64) -> Int? {
        let all = movable[shard][(zone ?? -1) + 1]
        return all.suffix(Limits.balancerCandidatesMax).filter { parts[$0].bytes <= most }
            .max { (parts[$0].bytes, $1) < (parts[$1].bytes, $0) } ?? all.first { parts[$0].bytes <= most }
    }

    /// A chunk has moved.
    public mutating func move(_ index: Int, to shard: Int) {
        let part = parts[index]
        guard !part.isJumbo, bytes.indices.contains(shard), bytes.indices.contains(part.shard) else { return }
        let zone = slot(part)
        bytes[part.shard] -= part.bytes
        if let last = movable[part.shard][zone].popLast(), last != index {
            movable[part.shard][zone][part.place] = last
            parts[last].place = part.place
        }
        parts[index].shard = shard
        add(index)
    }

    /// A chunk was split in two halves; the second is a new one behind all others.
    public mutating func split(_ index: Int) {
        let part = parts[index]
        guard bytes.indices.contains(part.shard) else { return }
        let half = part.bytes / 2
        resize(index, to: part.bytes - half)
        parts.append(Part(shard: part.shard, zone: part.zone, bytes: half))
        add(parts.count - 1)
    }

    /// A chunk has grown or shrunk.
    public mutating func resize(_ index: Int, to bytes: Int64) {
        let part = parts[index]
        guard self.bytes.indices.contains(part.shard) else { return }
        self.bytes[part.shard] += max(bytes, 0) - part.bytes
        parts[index].bytes = max(bytes, 0)
    }
}
