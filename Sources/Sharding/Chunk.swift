public import BSON
public import Core

/// A shard's name, the `_id` in `config.shards`. Not the name of its replica set.
public struct ShardID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// As it was given to `addShard`.
    public let name: String
    /// A shard of a name.
    public init(_ name: String) { self.name = name }
    public static func < (a: ShardID, b: ShardID) -> Bool { a.name < b.name }
    public var description: String { name }
}

/// Who owned a range from a time on.
public struct Ownership: Hashable, Sendable {
    /// Reads at this time and later, up to the next entry, go to the shard.
    public let validAfter: Timestamp
    /// The owner.
    public let shard: ShardID

    /// An owner from a time on.
    public init(validAfter: Timestamp, shard: ShardID) {
        self.validAfter = validAfter
        self.shard = shard
    }
}

/// A range of keys with its owner: one document of `config.chunks`, its bounds encoded.
public struct Chunk: Hashable, Sendable {
    /// The keys in it.
    public var range: KeyRange
    /// Its owner.
    public var shard: ShardID
    /// When it last changed: moves, splits and merges.
    public var version: PlacementVersion
    /// It is too large to be moved and could not be split.
    public var isJumbo: Bool
    /// Its owners, the present one first, for as long as anybody may read the past.
    public var history: [Ownership]

    /// A chunk.
    public init(
        _ range: KeyRange, on shard: ShardID, _ version: PlacementVersion, isJumbo: Bool = false,
        history: [Ownership] = []
    ) {
        self.range = range
        self.shard = shard
        self.version = version
        self.isJumbo = isJumbo
        self.history = history
    }
}

/// Encoded keys as error messages show them: the bounds' documents are not at hand where a table is checked.
func shown(_ key: [UInt8]?) -> String {
    guard let key else { return "the end" }
    guard !key.isEmpty else { return "the beginning" }
    let digits = Array("0123456789abcdef".utf8)
    let text = key.prefix(24).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return "0x" + String(decoding: text, as: UTF8.self) + (key.count > 24 ? "…" : "")
}
