public import BSON
public import Core

/// A change of a collection's chunks, as one atomic step of the config servers: which chunks go, which come, and what
/// versions shards have then.
public struct ChunkChange: Hashable, Sendable {
    /// The lower bounds of chunks that are no more.
    public var removed: [[UInt8]]
    /// Chunks that take their place, ascending.
    public var added: [Chunk]
    /// New major versions of shards.
    public var majors: [ShardID: UInt32]

    /// A change of these parts.
    public init(removed: [[UInt8]], added: [Chunk], majors: [ShardID: UInt32]) {
        self.removed = removed
        self.added = added
        self.majors = majors
    }
}

extension RoutingTable {
    /// Splits one chunk. The shard's version stays as it is: nothing has moved.
    /// - Parameter points: where new chunks begin; ascending.
    /// - Throws: `CannotSplit` for a point that is a border or outside the chunk.
    public func split(_ index: Int, at points: [[UInt8]]) throws(ServerError) -> ChunkChange {
        let chunk = self[index]
        var borders = [chunk.range.lower]
        for point in points {
            guard let last = borders.last, last.lexicographicallyPrecedes(point),
                KeyRange.ends(point, before: chunk.range.upper)
            else {
                throw ServerError(
                    .cannotSplit,
                    "Cannot split the chunk of \(namespace.fullName) from \(shown(chunk.range.lower)) to "
                        + "\(shown(chunk.range.upper)) at \(shown(point)): it must lie inside, behind other points"
                )
            }
            borders.append(point)
        }
        guard borders.count > 1 else {
            throw ServerError(.cannotSplit, "Cannot split a chunk of \(namespace.fullName) at no point")
        }
        let version = try version.afterSplit()
        let ranges = zip(borders, borders.dropFirst().map { $0 as [UInt8]? } + [chunk.range.upper])
        return ChunkChange(
            removed: [chunk.range.lower],
            added: ranges.map {
                Chunk(KeyRange(lower: $0, upper: $1), on: chunk.shard, version, history: chunk.history)
            }, majors: [:])
    }

    /// Makes one chunk of several that lie side by side on one shard.
    /// - Parameters:
    ///   - oldestRead: the oldest time that anybody may read at. Chunks that have come since then stay apart: who owned
    ///     their keys before is not the same for all.
    /// - Throws: `BadValue` when the range does not begin and end with chunks, `IllegalOperation` when they cannot be
    /// one.
    public func merge(_ range: KeyRange, oldestRead: Timestamp) throws(ServerError) -> ChunkChange {
        let first = range.lower.withUnsafeBytes { chunk(of: $0) }
        var last = first
        while last + 1 < count, KeyRange.ends(lower(last + 1), before: range.upper) { last += 1 }
        guard lower(first) == range.lower, self.range(last).upper == range.upper, last > first else {
            throw ServerError(
                .badValue,
                "The range of \(namespace.fullName) from \(shown(range.lower)) to \(shown(range.upper)) is not two or "
                    + "more whole chunks")
        }
        let parts = (first...last).map { self[$0] }
        guard parts.allSatisfy({ $0.shard == parts[0].shard }) else {
            throw ServerError(.illegalOperation, "Cannot merge chunks of \(namespace.fullName) that are on two shards")
        }
        guard !parts.contains(where: \.isJumbo) else {
            throw ServerError(.illegalOperation, "Cannot merge a jumbo chunk of \(namespace.fullName)")
        }
        guard parts.allSatisfy({ ($0.history.first?.validAfter ?? .zero) <= oldestRead }) else {
            throw ServerError(
                .illegalOperation,
                "Cannot merge chunks of \(namespace.fullName) that have moved since \(oldestRead): reads of that time "
                    + "need their former owners")
        }
        let since = parts.map { $0.history.first?.validAfter ?? .zero }.max() ?? .zero
        let merged = Chunk(
            range, on: parts[0].shard, try version.afterSplit(),
            history: [Ownership(validAfter: since, shard: parts[0].shard)])
        return ChunkChange(removed: parts.map(\.range.lower), added: [merged], majors: [:])
    }

    /// What a move of a range changes: the range gets a new owner, what is left of its chunk stays.
    /// - Parameter validAfter: from when on the recipient is the owner.
    /// - Throws: as `checkMove`, and `ConflictingOperationInProgress` when `donor` is not the owner any more.
    public func move(
        _ range: KeyRange, from donor: ShardID, to recipient: ShardID, validAfter: Timestamp
    ) throws(ServerError) -> ChunkChange {
        let index = try checkMove(range, to: recipient, forceJumbo: true)
        let chunk = self[index]
        guard chunk.shard == donor, donor != recipient else {
            throw ServerError(
                .conflictingOperationInProgress,
                "The range of \(namespace.fullName) from \(shown(range.lower)) is on \(chunk.shard), not on \(donor)")
        }
        guard (chunk.history.first?.validAfter ?? .zero) < validAfter else {
            throw ServerError(
                .conflictingOperationInProgress,
                "The range of \(namespace.fullName) from \(shown(range.lower)) came at "
                    + "\(chunk.history.first?.validAfter ?? .zero), it cannot leave at \(validAfter)")
        }
        let version = try version.afterMove()
        let rest = try version.afterSplit()
        let added =
            [
                Chunk(
                    KeyRange(lower: chunk.range.lower, upper: range.lower), on: donor, rest, history: chunk.history),
                Chunk(
                    range, on: recipient, version,
                    history: [Ownership(validAfter: validAfter, shard: recipient)] + chunk.history),
            ]
            + (range.upper == chunk.range.upper
                ? []
                : [
                    Chunk(
                        KeyRange(lower: range.upper ?? [], upper: chunk.range.upper), on: donor, rest,
                        history: chunk.history)
                ])
        return ChunkChange(
            removed: [chunk.range.lower], added: added.filter { !$0.range.isEmpty },
            majors: [donor: version.major, recipient: version.major])
    }

    /// Whether a range may be asked to move.
    /// - Returns: the chunk that it lies in.
    /// - Throws: `BadValue` when it is not within one chunk, `ChunkTooBig` for a jumbo chunk.
    @discardableResult
    public func checkMove(_ range: KeyRange, to recipient: ShardID, forceJumbo: Bool = false) throws(ServerError) -> Int
    {
        guard !range.isEmpty else {
            throw ServerError(
                .badValue, "The range of \(namespace.fullName) to move is empty: min must be less than max")
        }
        let index = range.lower.withUnsafeBytes { chunk(of: $0) }
        guard self.range(index).contains(range) else {
            throw ServerError(
                .badValue,
                "The range of \(namespace.fullName) from \(shown(range.lower)) to \(shown(range.upper)) is not within "
                    + "one chunk: that there ends at \(shown(self.range(index).upper))")
        }
        guard forceJumbo || !isJumbo(index) else {
            throw ServerError(
                .chunkTooBig,
                "The chunk of \(namespace.fullName) from \(shown(self.range(index).lower)) on is jumbo: it cannot be "
                    + "moved to \(recipient) unless forceJumbo is set")
        }
        return index
    }

    /// The table after a change of its own.
    public func applying(_ change: ChunkChange) throws(ServerError) -> RoutingTable {
        try refreshed(change.added, majors: change.majors)
    }
}

/// When chunks are split, and which of them are jumbo.
public enum SplitRules {
    /// The bytes from which on a chunk is split: half of the configured size.
    public static func bytesMax(chunkSize: Int64) -> Int64 { max(chunkSize / 2, 1) }

    /// What a look at the keys of a chunk found.
    public enum Verdict: Hashable, Sendable {
        /// It is small enough.
        case leave
        /// Where it is to be split.
        case split([[UInt8]])
        /// Larger than a chunk may be, and all of one key: it cannot be split, nor moved.
        case jumbo
    }

    /// Looks at the documents of a chunk.
    /// - Parameters:
    ///   - range: the chunk's keys.
    ///   - documents: the position and the size of each, or of a sample of them, in order of position.
    ///   - chunkSize: the configured size in bytes.
    public static func verdict(
        _ range: KeyRange, _ documents: some Sequence<(key: [UInt8], bytes: Int64)>, chunkSize: Int64
    ) -> Verdict {
        let most = bytesMax(chunkSize: chunkSize)
        var points: [[UInt8]] = []
        var total: Int64 = 0
        var part: Int64 = 0
        var last = range.lower
        for (key, bytes) in documents {
            // Documents of one key are never taken apart.
            if part >= most, last.lexicographicallyPrecedes(key), range.contains(key) {
                points.append(key)
                part = 0
            }
            last = key
            part = part.addingReportingOverflow(max(bytes, 0)).partialValue
            total = total.addingReportingOverflow(max(bytes, 0)).partialValue
        }
        if !points.isEmpty { return .split(points) }
        return total > chunkSize ? .jumbo : .leave
    }
}
