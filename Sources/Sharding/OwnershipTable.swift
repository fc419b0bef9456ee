public import BSON
public import Core

/// What a shard owns of one collection, now and in the past: replicated data of the shard, changed by entries of its
/// own oplog only.
///
/// A member filters by it at the read's point in time. From when on a range is owned is `validAfter`, the number that
/// the config servers chose for the move, not the time of the entry that wrote it here.
public struct OwnershipTable: Hashable, Sendable {
    /// A range that was owned for a time.
    public struct Tenure: Hashable, Sendable {
        /// The keys.
        public let range: KeyRange
        /// Owned at this time and later.
        public let from: Timestamp
        /// Not owned at this time and later; nil while it is owned.
        public let until: Timestamp?
    }

    /// A range whose migration away has closed it.
    public struct Closing: Hashable, Sendable {
        /// The keys.
        public let range: KeyRange
        /// Which migration.
        public let migration: MigrationID
        /// Whether reads wait too; writes do in any case.
        public let closesReads: Bool
    }

    /// The collection that this is about; one of the same name that was made later has another.
    public let collection: CollectionUUID
    /// The shard's version: what a router must have.
    public private(set) var version: PlacementVersion
    /// Owned now, ascending, without overlap. Ranges that touch stay apart when they came at different times.
    public private(set) var current: [Tenure] = []
    /// Owned once, as long as reads of that time are possible.
    public private(set) var former: [Tenure] = []
    /// From when on each version held, oldest first.
    public private(set) var versions: [Timestamp: UInt32] = [:]
    /// Ranges on their way to another shard.
    public private(set) var closings: [Closing] = []

    /// A shard's part of a collection that was sharded just now.
    public init(
        _ collection: CollectionUUID, _ version: PlacementVersion, owning ranges: [KeyRange], from: Timestamp
    ) {
        self.collection = collection
        self.version = version
        current = KeyRange.joined(ranges).map { Tenure(range: $0, from: from, until: nil) }
        versions = [from: version.major]
    }

    /// Takes what was read from documents.
    mutating func take(
        _ current: [Tenure], _ former: [Tenure], _ versions: [Timestamp: UInt32], _ closings: [Closing]
    ) {
        self.current = current
        self.former = former
        self.versions = versions
        self.closings = closings
    }

    // MARK: Questions

    /// Whether a key is owned now.
    public func owns(_ key: some Collection<UInt8>) -> Bool { tenure(of: key) != nil }

    /// Whether a key was owned at a time.
    public func owns(_ key: some Collection<UInt8>, at time: Timestamp) -> Bool {
        if let tenure = tenure(of: key), tenure.from <= time { return true }
        return former.contains { $0.from <= time && $0.until.map { time < $0 } ?? true && $0.range.contains(key) }
    }

    private func tenure(of key: some Collection<UInt8>) -> Tenure? {
        var low = current.startIndex
        var high = current.endIndex
        while low < high {
            let middle = (low + high) / 2
            if key.lexicographicallyPrecedes(current[middle].range.lower) { high = middle } else { low = middle + 1 }
        }
        guard low > 0, current[low - 1].range.contains(key) else { return nil }
        return current[low - 1]
    }

    /// The ranges that were owned at a time, ascending and joined.
    public func ranges(at time: Timestamp) -> [KeyRange] {
        let past = former.filter { $0.from <= time && ($0.until.map { time < $0 } ?? true) }
        return KeyRange.joined((current.filter { $0.from <= time } + past).map(\.range))
    }

    /// The version that held at a time; nil before the collection was sharded.
    public func version(at time: Timestamp) -> PlacementVersion? {
        guard let epoch = version.epoch, let since = versions.keys.filter({ $0 <= time }).max() else { return nil }
        return PlacementVersion(epoch, major: versions[since] ?? 0, minor: 0)
    }

    /// Whether a key may be written now.
    public enum Admission: Hashable, Sendable {
        case admitted
        /// Another shard owns it: the router is behind.
        case notOwned
        /// It waits until the migration is decided.
        case closed(MigrationID)
    }

    /// Asked in the step that writes, for each key.
    public func admitsWrite(_ key: some Collection<UInt8>) -> Admission {
        guard owns(key) else { return .notOwned }
        return closings.first { $0.range.contains(key) }.map { .closed($0.migration) } ?? .admitted
    }

    /// The migration that a read of some ranges at a time has to wait for; nil when it may go on. What was before the
    /// closing is still here to be read, and stays so: only a read of the present waits.
    public func migrationClosingReads(of ranges: [KeyRange]) -> MigrationID? {
        closings.first { closing in closing.closesReads && ranges.contains { $0.overlaps(closing.range) } }?.migration
    }

    // MARK: Changes

    /// The range came from another shard.
    /// - Throws: `InvariantViolation` when some of it is owned already, or the version does not rise.
    public mutating func receive(_ range: KeyRange, validAfter: Timestamp, major: UInt32) throws(InvariantViolation) {
        try invariant(!current.contains { $0.range.overlaps(range) }, "a range is received that is owned already")
        try raise(major, at: validAfter)
        current.append(Tenure(range: range, from: validAfter, until: nil))
        current.sort { $0.range.lower.lexicographicallyPrecedes($1.range.lower) }
    }

    /// The range went to another shard. Its closing, if there is one, ends.
    /// - Throws: `InvariantViolation` when not all of it is owned, or the version does not rise.
    public mutating func giveUp(_ range: KeyRange, validAfter: Timestamp, major: UInt32) throws(InvariantViolation) {
        try invariant(range.subtracting(current.map(\.range)).isEmpty, "a range is given up that is not owned")
        try raise(major, at: validAfter)
        var rest: [Tenure] = []
        for tenure in current {
            guard let part = tenure.range.intersection(range) else {
                rest.append(tenure)
                continue
            }
            former.append(Tenure(range: part, from: tenure.from, until: validAfter))
            rest += tenure.range.subtracting([range]).map { Tenure(range: $0, from: tenure.from, until: nil) }
        }
        current = rest
        closings.removeAll { $0.range.overlaps(range) }
    }

    private mutating func raise(_ major: UInt32, at time: Timestamp) throws(InvariantViolation) {
        guard let epoch = version.epoch else { throw InvariantViolation("an unsharded collection moves a range") }
        try invariant(major > version.major, "the version \(version) of a shard goes to \(major)")
        try invariant(versions.keys.allSatisfy { $0 < time }, "a move is valid at \(time), before an earlier one")
        version = PlacementVersion(epoch, major: major, minor: 0)
        versions[time] = major
    }

    /// A migration closes a range, for writes first.
    /// - Throws: `InvariantViolation` when it is not owned or another migration has closed it.
    public mutating func close(
        _ range: KeyRange, for migration: MigrationID, reads: Bool
    ) throws(InvariantViolation) {
        try invariant(range.subtracting(current.map(\.range)).isEmpty, "a range is closed that is not owned")
        try invariant(
            !closings.contains { $0.migration != migration && $0.range.overlaps(range) }, "a range is closed twice")
        closings.removeAll { $0.migration == migration }
        closings.append(Closing(range: range, migration: migration, closesReads: reads))
    }

    /// The migration was aborted: what it has closed is open again.
    public mutating func reopen(_ migration: MigrationID) { closings.removeAll { $0.migration == migration } }

    /// Forgets what no read can ask for any more.
    public mutating func prune(before time: Timestamp) {
        former.removeAll { $0.until.map { $0 <= time } ?? false }
        let needed = versions.keys.filter { $0 <= time }.max()
        versions = versions.filter { $0.key >= (needed ?? .zero) }
    }
}
