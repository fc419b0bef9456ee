public import BSON
public import Core

/// What one shard has to do with an operation.
public struct ShardTarget: Hashable, Sendable {
    /// The shard.
    public let shard: ShardID
    /// The version to send along.
    public let version: PlacementVersion
    /// The ranges of the operation that the shard owns, ascending.
    public let ranges: [KeyRange]

    /// A part of an operation.
    public init(shard: ShardID, version: PlacementVersion, ranges: [KeyRange]) {
        self.shard = shard
        self.version = version
        self.ranges = ranges
    }
}

extension RoutingTable {
    /// A chunk by its place.
    public subscript(index: Int) -> Chunk {
        let owner = shards[Int(owners[index])]
        return Chunk(
            range(index), on: owner, version(ofChunk: index), isJumbo: isJumbo(index),
            history: [Ownership(validAfter: Timestamp(rawValue: since[index]), shard: owner)]
                + (formerOwners[UInt32(clamping: index)] ?? []))
    }

    /// All chunks, ascending.
    public var chunks: [Chunk] { (0..<count).map { self[$0] } }

    /// The keys of a chunk.
    public func range(_ index: Int) -> KeyRange {
        KeyRange(lower: lower(index), upper: index + 1 < count ? lower(index + 1) : nil)
    }

    func lower(_ index: Int) -> [UInt8] { Array(keys[Int(offsets[index])..<Int(offsets[index + 1])]) }
    func version(ofChunk index: Int) -> PlacementVersion {
        guard let epoch = version.epoch else { return .unsharded }
        return PlacementVersion(epoch, packed: versions[index])
    }

    /// Whether a chunk is too large to be moved.
    public func isJumbo(_ index: Int) -> Bool {
        var low = jumbo.startIndex
        var high = jumbo.endIndex
        while low < high {
            let middle = (low + high) / 2
            if Int(jumbo[middle]) == index { return true }
            if Int(jumbo[middle]) < index { low = middle + 1 } else { high = middle }
        }
        return false
    }

    /// The version that a shard has: what a request to it carries. One that has never had a chunk has version 0|0.
    public func version(of shard: ShardID) -> PlacementVersion {
        guard let epoch = version.epoch else { return .unsharded }
        guard let place = shards.firstIndex(of: shard) else { return .none(epoch) }
        return PlacementVersion(epoch, major: majors[place], minor: 0)
    }

    // MARK: Owners

    /// The owner of a key now.
    public func owner(of key: UnsafeRawBufferPointer) -> ShardID { shards[Int(owners[chunk(of: key)])] }

    /// The owner of a key at a time.
    /// - Throws: `StaleChunkHistory` when nobody remembers that far back.
    public func owner(of key: UnsafeRawBufferPointer, at time: Timestamp) throws(ServerError) -> ShardID {
        try owner(ofChunk: chunk(of: key), at: time)
    }

    func owner(ofChunk index: Int, at time: Timestamp?) throws(ServerError) -> ShardID {
        guard let time, time.rawValue < since[index] else { return shards[Int(owners[index])] }
        let former = formerOwners[UInt32(clamping: index)] ?? []
        guard let entry = former.first(where: { $0.validAfter <= time }) else {
            throw ServerError(
                .staleChunkHistory,
                "Who owned the keys of \(namespace.fullName) from \(shown(lower(index))) on is not known any more for "
                    + "\(time)")
        }
        return entry.shard
    }

    // MARK: Ranges

    /// The shards that own keys of some ranges, each with its part of them, in order of their names.
    /// - Parameters:
    ///   - ranges: ascending, without overlap.
    ///   - time: of the read; nil for now.
    /// - Throws: `StaleChunkHistory` when nobody remembers that far back.
    public func targets(_ ranges: [KeyRange], at time: Timestamp? = nil) throws(ServerError) -> [ShardTarget] {
        var parts: [ShardID: [KeyRange]] = [:]
        for range in ranges where !range.isEmpty {
            var index = range.lower.withUnsafeBytes { chunk(of: $0) }
            while index < count, index == 0 || KeyRange.ends(lower(index), before: range.upper) {
                let owner = try owner(ofChunk: index, at: time)
                if let part = self.range(index).intersection(range) { parts[owner, default: []].append(part) }
                index += 1
            }
        }
        return parts.keys.sorted().map { shard in
            ShardTarget(shard: shard, version: version(of: shard), ranges: KeyRange.joined(parts[shard] ?? []))
        }
    }

    /// The shards alone, found without looking at every chunk once all are known.
    public func shards(for ranges: [KeyRange]) -> [ShardID] {
        var found = Set<UInt16>()
        for range in ranges where !range.isEmpty {
            var index = range.lower.withUnsafeBytes { chunk(of: $0) }
            let end = range.upper.map { upper in
                let last = upper.withUnsafeBytes { chunk(of: $0) }
                return lower(last) == upper ? last : last + 1
            }
            while index < (end ?? count), found.count < shards.count {
                found.insert(owners[index])
                index += 1
            }
        }
        return found.sorted().map { shards[Int($0)] }
    }
}
