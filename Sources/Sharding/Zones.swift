public import Core

/// A range of keys of one collection that belongs on the shards of a zone: one document of `config.tags`.
public struct ZoneRange: Hashable, Sendable {
    /// The keys.
    public let range: KeyRange
    /// The zone's name.
    public let zone: String

    /// A range of a zone.
    public init(_ range: KeyRange, zone: String) {
        self.range = range
        self.zone = zone
    }
}

/// The zones of one collection: ranges that do not overlap, ascending.
public struct Zones: Hashable, Sendable {
    /// The ranges.
    public private(set) var ranges: [ZoneRange] = []
    /// The collection, for messages.
    public let namespace: Namespace

    /// No zones.
    public init(_ namespace: Namespace) { self.namespace = namespace }

    /// Zones that are stored.
    /// - Throws: as `assign`.
    public init(_ namespace: Namespace, _ ranges: [ZoneRange]) throws(ServerError) {
        self.namespace = namespace
        for range in ranges { try assign(range) }
    }

    /// Gives a range to a zone. One that the zone has already is no change.
    /// - Throws: `RangeOverlapConflict` when some of its keys are in another zone's range, `BadValue` when it is empty.
    public mutating func assign(_ new: ZoneRange) throws(ServerError) {
        guard !new.range.isEmpty else {
            throw ServerError(.badValue, "A range of the zone '\(new.zone)' must have a min that is less than its max")
        }
        if ranges.contains(new) { return }
        if let other = ranges.first(where: { $0.range.overlaps(new.range) }) {
            throw ServerError(
                .rangeOverlapConflict,
                "The range of \(namespace.fullName) from \(shown(new.range.lower)) to \(shown(new.range.upper)) for "
                    + "the zone '\(new.zone)' overlaps with the range from \(shown(other.range.lower)) to "
                    + "\(shown(other.range.upper)) of the zone '\(other.zone)'")
        }
        ranges.append(new)
        ranges.sort { $0.range.lower.lexicographicallyPrecedes($1.range.lower) }
    }

    /// Takes a range out of its zone; one that is not exactly a zone's range is no change, as in MongoDB.
    public mutating func remove(_ range: KeyRange) { ranges.removeAll { $0.range == range } }

    /// Where a chunk lies.
    public enum Place: Hashable, Sendable {
        /// All of it in one zone.
        case inside(String)
        /// In no zone.
        case outside
        /// Over borders, at which it must be split before it can be where it belongs.
        case across([[UInt8]])
    }

    /// Where a range lies.
    public func place(of range: KeyRange) -> Place {
        var borders: [[UInt8]] = []
        for zone in ranges where zone.range.overlaps(range) {
            if zone.range.contains(range) { return .inside(zone.zone) }
            if range.lower.lexicographicallyPrecedes(zone.range.lower) { borders.append(zone.range.lower) }
            if let upper = zone.range.upper, KeyRange.ends(upper, before: range.upper) { borders.append(upper) }
        }
        guard !borders.isEmpty else { return .outside }
        return .across(borders.reduce(into: []) { if $0.last != $1 { $0.append($1) } })
    }

    /// The borders of all zones, ascending: an empty collection is split there first.
    public var borders: [[UInt8]] {
        let all = ranges.flatMap { [$0.range.lower] + ($0.range.upper.map { [$0] } ?? []) }.filter { !$0.isEmpty }
        return all.sorted { $0.lexicographicallyPrecedes($1) }.reduce(into: []) { if $0.last != $1 { $0.append($1) } }
    }
}

/// Which zones shards belong to: the `tags` of `config.shards`.
public struct ZoneMembership: Hashable, Sendable {
    /// By shard.
    public private(set) var zones: [ShardID: Set<String>]

    /// Shards with their zones.
    public init(_ zones: [ShardID: Set<String>]) { self.zones = zones }

    /// The shards of a zone, in order of their names.
    public func shards(of zone: String) -> [ShardID] {
        zones.filter { $0.value.contains(zone) }.keys.sorted()
    }

    /// Checks that a zone has a shard.
    /// - Throws: `ZoneNotFound`.
    public func require(_ zone: String) throws(ServerError) {
        guard !shards(of: zone).isEmpty else {
            throw ServerError(.zoneNotFound, "The zone '\(zone)' does not exist: no shard belongs to it")
        }
    }

    /// Puts a shard into a zone.
    /// - Throws: `ShardNotFound`.
    public mutating func add(_ shard: ShardID, to zone: String) throws(ServerError) {
        guard zones[shard] != nil else { throw ServerError(.shardNotFound, "There is no shard '\(shard)'") }
        zones[shard]?.insert(zone)
    }

    /// Takes a shard out of a zone.
    /// - Parameter inUse: whether some collection has a range of the zone.
    /// - Throws: `ShardNotFound`; `ZoneStillInUse` for the last shard of a zone that has ranges.
    public mutating func remove(_ shard: ShardID, from zone: String, inUse: Bool) throws(ServerError) {
        guard zones[shard] != nil else { throw ServerError(.shardNotFound, "There is no shard '\(shard)'") }
        guard !inUse || shards(of: zone) != [shard] else {
            throw ServerError(
                .zoneStillInUse,
                "The zone '\(zone)' still has ranges: its last shard '\(shard)' cannot be taken out of it")
        }
        zones[shard]?.remove(zone)
    }
}
