public import BSON

/// One part of a position in the space of shard keys: where it comes from, and how it is ordered. Positions are the
/// concatenation of the encoded components, so the first component decides first.
public struct ShardKeyComponent: Sendable, Hashable {
    /// For whoever carries it out. More kinds may be added.
    public enum Kind: Sendable, Hashable {
        /// The field's value, in MongoDB's order of values.
        case ordered
        /// The hash of MongoDB's hashed indexes (`HashedKey`), as a 64-bit integer.
        case hashed
        /// The strategy's own number for the value, as a 64-bit integer.
        case scattered
        /// The strategy's own number for the value, modulo `count`.
        case buckets(count: Int)
    }

    /// How it is ordered.
    public let kind: Kind
    /// The place of the field in the pattern that it comes from.
    public let field: Int
    /// Its name in the bounds of chunks; nil for the field's path.
    public let name: String?

    /// The value of a field as it is: ranges of values are ranges of positions.
    public static func ordered(_ field: Int, name: String? = nil) -> ShardKeyComponent {
        ShardKeyComponent(kind: .ordered, field: field, name: name)
    }
    /// MongoDB's hash of a field: only equality is targeted.
    public static func hashed(_ field: Int, name: String? = nil) -> ShardKeyComponent {
        ShardKeyComponent(kind: .hashed, field: field, name: name)
    }
    /// What the strategy's `scatter` answers for a field: only equality is targeted.
    public static func scattered(_ field: Int, name: String? = nil) -> ShardKeyComponent {
        ShardKeyComponent(kind: .scattered, field: field, name: name)
    }
    /// What `scatter` answers, modulo a small number. Because all buckets can be named, a range of a later component is
    /// still targeted: as that range in each bucket.
    public static func buckets(_ field: Int, count: Int, name: String? = nil) -> ShardKeyComponent {
        ShardKeyComponent(kind: .buckets(count: count), field: field, name: name)
    }

    /// Whether its values in the bounds of chunks are integers.
    public var isNumber: Bool { kind != .ordered }
    /// Whether `scatter` is asked for it.
    var asksStrategy: Bool {
        switch kind {
        case .ordered, .hashed: false
        case .scattered, .buckets: true
        }
    }
}

/// What positions are made of, for one key pattern.
public struct ShardKeyLayout: Sendable, Hashable {
    /// In order of weight.
    public let components: [ShardKeyComponent]
    /// A layout of components.
    public init(_ components: [ShardKeyComponent]) { self.components = components }
}

/// What a strategy is told when a collection is sharded that has no documents yet.
public struct InitialChunkRequest: Sendable {
    /// A range of keys that belongs on some of the shards only.
    public struct Zone: Sendable {
        /// The zone's name.
        public let name: String
        /// The bounds of the range, with a value for each component.
        public let min: Document
        /// The first bound behind it.
        public let max: Document
        /// How many shards are in the zone.
        public let shardCount: Int

        /// A range of a zone.
        public init(name: String, min: Document, max: Document, shardCount: Int) {
            self.name = name
            self.min = min
            self.max = max
            self.shardCount = shardCount
        }
    }

    /// The fields of the key.
    public let pattern: ShardKeyPattern
    /// What positions are made of.
    public let layout: ShardKeyLayout
    /// How many shards there are.
    public let shardCount: Int
    /// How many chunks each of them should have.
    public let chunksPerShard: Int
    /// The zones of the collection, ascending.
    public let zones: [Zone]

    /// A request; made by `ShardKeySpace`.
    public init(
        pattern: ShardKeyPattern, layout: ShardKeyLayout, shardCount: Int, chunksPerShard: Int, zones: [Zone] = []
    ) {
        self.pattern = pattern
        self.layout = layout
        self.shardCount = shardCount
        self.chunksPerShard = chunksPerShard
        self.zones = zones
    }

    /// Bounds that cut the numbers of one component into equal parts, those of a component of hashes where MongoDB
    /// cuts them (as the manual's examples of `sh.status()` show).
    /// - Parameters:
    ///   - component: its place in the layout; one that is a number.
    ///   - parts: how many parts, so one bound less.
    ///   - prefix: the values of the components before it; those behind it are MinKey.
    public func evenSplits(_ component: Int, parts: Int, behind prefix: [Value] = []) -> [Document] {
        guard layout.components.indices.contains(component), prefix.count == component else { return [] }
        return numbers(layout.components[component].kind, parts: parts).map { number in
            Document { writer in
                for (place, part) in layout.components.enumerated() {
                    let value = place < component ? prefix[place] : place == component ? .int64(number) : .minKey
                    writer.append(part.name ?? pattern.fields[part.field].path, value)
                }
            }
        }
    }

    private func numbers(_ kind: ShardKeyComponent.Kind, parts: Int) -> [Int64] {
        let parts = min(parts, Limits.initialChunksMax)
        guard parts > 1 else { return [] }
        switch kind {
        case .ordered: return []
        case .buckets(let count):
            let parts = min(parts, count)
            return (1..<max(parts, 1)).map { Int64($0) * Int64(count) / Int64(parts) }
        case .hashed, .scattered:
            // Symmetric around zero, which is a bound of an even number of parts.
            let width = Int64.max / Int64(parts) * 2
            let first = parts.isMultiple(of: 2) ? 0 : width / 2
            let positive = (0..<(parts / 2)).map { first + Int64($0) * width }
            return positive.reversed().filter { $0 > 0 }.map { -$0 } + positive
        }
    }
}
