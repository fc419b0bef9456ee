public import BSON
public import Core

/// Which incarnation of a collection's sharding is meant: every drop, refinement and new sharding begins another.
/// Timestamps of the config servers never repeat, so two incarnations are never equal; the later one has the later
/// timestamp.
public struct Epoch: Hashable, Comparable, Sendable {
    /// When it was made, of the config servers' time.
    public let timestamp: Timestamp

    /// An incarnation made at a time.
    public init(_ timestamp: Timestamp) { self.timestamp = timestamp }

    public static func < (a: Epoch, b: Epoch) -> Bool { a.timestamp < b.timestamp }
}

/// A version of the placement of a collection, or of one shard's part in it: which incarnation, and how many moves
/// (major) and splits (minor) it has seen.
///
/// Versions are ordered within one incarnation only. Whoever has to act on two versions asks `relation`, which cannot
/// be misread as an order across incarnations.
public struct PlacementVersion: Hashable, Sendable {
    /// The collection's incarnation; nil for a collection that is not sharded.
    public let epoch: Epoch?
    /// Rises whenever a range changes its owner.
    public let major: UInt32
    /// Rises with splits and merges, which change no owner.
    public let minor: UInt32

    /// A version of a sharded collection.
    public init(_ epoch: Epoch, major: UInt32, minor: UInt32) {
        self.epoch = epoch
        self.major = major
        self.minor = minor
    }

    private init() {
        epoch = nil
        major = 0
        minor = 0
    }

    /// The collection is not sharded.
    public static let unsharded = PlacementVersion()

    /// A shard that owns nothing of the collection and never has.
    public static func none(_ epoch: Epoch) -> PlacementVersion {
        PlacementVersion(epoch, major: 0, minor: 0)
    }

    /// What somebody who has one version is to somebody who has another.
    public enum Relation: Sendable, Equatable {
        /// The same owners: what one does by it the other agrees with.
        case agrees
        /// Of the same incarnation, before the other's.
        case older
        /// Of the same incarnation, behind the other's.
        case newer
        /// Another, earlier incarnation.
        case earlierEpoch
        /// Another, later incarnation.
        case laterEpoch
        /// One is of a sharded collection, the other is not: neither says which came first.
        case otherKind
    }

    /// How this version relates to another. Minor versions do not matter: splits move nothing.
    public func relation(to other: PlacementVersion) -> Relation {
        switch (epoch, other.epoch) {
        case (nil, nil): return .agrees
        case (let mine?, let theirs?):
            if mine != theirs { return mine < theirs ? .earlierEpoch : .laterEpoch }
            return major == other.major ? .agrees : major < other.major ? .older : .newer
        default: return .otherKind
        }
    }

    /// The version after a move: a new major.
    /// - Throws: `Overflow` after four billion moves.
    public func afterMove() throws(ServerError) -> PlacementVersion {
        guard let epoch else { throw ServerError(.namespaceNotSharded, "An unsharded collection moves no range") }
        let (next, overflow) = major.addingReportingOverflow(1)
        guard !overflow else { throw ServerError(.overflow, "A collection cannot move more ranges than \(major)") }
        return PlacementVersion(epoch, major: next, minor: 0)
    }

    /// The version after a split or a merge: a new minor.
    /// - Throws: `Overflow` after four billion of them without a move.
    public func afterSplit() throws(ServerError) -> PlacementVersion {
        guard let epoch else { throw ServerError(.namespaceNotSharded, "An unsharded collection has no chunks") }
        let (next, overflow) = minor.addingReportingOverflow(1)
        guard !overflow else { throw ServerError(.overflow, "A collection cannot be split more often than \(minor)") }
        return PlacementVersion(epoch, major: major, minor: next)
    }

    /// Whether `self` is behind `other` in one incarnation, minor versions included: for the order of chunks.
    public func isBehind(_ other: PlacementVersion) -> Bool {
        epoch == other.epoch && (major, minor) > (other.major, other.minor)
    }
}

extension PlacementVersion: CustomStringConvertible {
    public var description: String {
        epoch.map { "\(major)|\(minor) of \($0.timestamp)" } ?? "unsharded"
    }
}

extension PlacementVersion {
    /// `{t: Timestamp, v: Timestamp(major, minor)}` as clients see it in `StaleConfig`; of an unsharded collection both
    /// are `Timestamp(0, 0)`.
    public var document: Document {
        Document { writer in
            writer.append("t", timestamp: epoch?.timestamp ?? .zero)
            writer.append("v", timestamp: Timestamp(seconds: major, increment: minor))
        }
    }

    /// Reads `{t, v}`.
    /// - Throws: `FailedToParse` when a field is missing or of another type.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let timestamp = view["t"]?.asTimestamp, let version = view["v"]?.asTimestamp else {
            throw ServerError(.failedToParse, "A placement version needs the timestamps t and v")
        }
        guard timestamp != .zero else {
            guard version == .zero else {
                throw ServerError(.failedToParse, "A placement version without an incarnation must be 0|0")
            }
            self = .unsharded
            return
        }
        self.init(Epoch(timestamp), major: version.seconds, minor: version.increment)
    }
}

/// The version of a database's primary shard, for collections that are not sharded: a new one whenever the database is
/// created, and a higher number whenever it moves.
public struct DatabaseVersion: Hashable, Sendable {
    /// The database's incarnation.
    public let epoch: Epoch
    /// Rises with each `movePrimary`.
    public let lastMod: UInt32

    /// A version.
    public init(_ epoch: Epoch, lastMod: UInt32) {
        self.epoch = epoch
        self.lastMod = lastMod
    }

    /// How this version relates to another.
    public func relation(to other: DatabaseVersion) -> PlacementVersion.Relation {
        PlacementVersion(epoch, major: lastMod, minor: 0)
            .relation(to: PlacementVersion(other.epoch, major: other.lastMod, minor: 0))
    }

    /// `{timestamp, lastMod}`, as in `config.databases`.
    public var document: Document {
        Document { writer in
            writer.append("timestamp", timestamp: epoch.timestamp)
            writer.append("lastMod", int64: Int64(lastMod))
        }
    }

    /// Reads `{timestamp, lastMod}`.
    /// - Throws: `FailedToParse` when a field is missing, of another type or out of range.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let timestamp = view["timestamp"]?.asTimestamp, timestamp != .zero,
            let lastMod = view["lastMod"]?.asInteger.flatMap({ UInt32(exactly: $0) })
        else { throw ServerError(.failedToParse, "A database version needs a timestamp and a lastMod above 0") }
        self.init(Epoch(timestamp), lastMod: lastMod)
    }
}
