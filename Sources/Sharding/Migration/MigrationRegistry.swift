public import BSON
public import Core

/// The config servers' side of migrations: one decision for each, written once.
///
/// A commit is conditional on a migration that is live, the collection's epoch and the donor still owning the whole
/// range. An abort is written too, also of a migration that nobody knows: a request to commit it that comes later finds
/// it. Whoever asks is answered when a majority has the decision, and by nothing else.
public struct MigrationRegistry: Hashable, Sendable {
    /// What is to move.
    public struct Task: Hashable, Sendable {
        /// From whom.
        public let donor: ShardID
        /// To whom.
        public let recipient: ShardID
        /// The keys.
        public let range: KeyRange
        /// The collection's incarnation.
        public let epoch: Epoch

        /// A task.
        public init(donor: ShardID, recipient: ShardID, range: KeyRange, epoch: Epoch) {
            self.donor = donor
            self.recipient = recipient
            self.range = range
            self.epoch = epoch
        }
    }

    /// What is stored of a migration.
    public enum Record: Hashable, Sendable {
        /// Not decided.
        case live(Task)
        /// Decided.
        case decided(MigrationOutcome)
    }

    /// What is asked for.
    public enum Request: Hashable, Sendable {
        /// Commit, if nothing is decided.
        case commit
        /// Abort, if nothing is decided.
        case abort
        /// Only what is decided.
        case outcome
    }

    /// What the shell is to do.
    public enum Directive: Hashable, Sendable {
        /// Write the record, and with a commit the change of chunks, in one batch; when a majority has it, call
        /// `onCommitted`.
        case persist(MigrationID, Record, ChunkChange?)
        /// Answer all who ask about it.
        case answer(MigrationID, MigrationOutcome)
        /// Answer that nothing is decided; to `outcome` only.
        case answerUndecided(MigrationID)
        /// Why nothing happens.
        case ignored(String)
    }

    private let mutants: Mutants
    /// What a majority has, or had when this primary began.
    public private(set) var records: [MigrationID: Record]
    /// On its way to a majority.
    private var pending: [MigrationID: Record] = [:]

    /// A registry of what is stored.
    /// - Parameter found: what this primary finds. `onRecovered` follows.
    public init(found: [MigrationID: Record] = [:], mutants: Mutants = []) {
        self.mutants = mutants
        records = [:]
        pending = found
    }

    /// A majority has all that this primary found.
    public mutating func onRecovered() {
        for (id, record) in pending where records[id] == nil { records[id] = record }
        pending = [:]
    }

    /// A migration is to begin.
    public mutating func onRegister(_ id: MigrationID, _ task: Task) -> [Directive] {
        guard records[id] == nil, pending[id] == nil else { return [.ignored("the migration is known")] }
        return persist(id, .live(task), nil)
    }

    /// Somebody asks.
    /// - Parameters:
    ///   - table: the collection's placement as a majority has it; nil when it is not sharded any more.
    ///   - now: the config servers' cluster time, behind every entry of the donor that the request has told of.
    public mutating func onRequest(
        _ request: Request, _ id: MigrationID, _ table: RoutingTable?, now: Timestamp
    ) -> [Directive] {
        // Asked again, it is answered when the write is through.
        if pending[id] != nil { return [.ignored("a decision is on its way to a majority")] }
        switch (records[id], request) {
        case (.decided(let outcome), _): return [.answer(id, outcome)]
        case (_, .outcome): return [.answerUndecided(id)]
        case (.live(let task), .commit):
            // What cannot be committed now never can: that is written as well.
            guard let table, table.version.epoch == task.epoch,
                let change = try? table.move(
                    task.range, from: task.donor, to: task.recipient, validAfter: now),
                let major = change.majors[task.donor]
            else { return persist(id, .decided(.aborted), nil) }
            return persist(id, .decided(.committed(validAfter: now, major: major)), change)
        case (_, .abort), (nil, .commit): return persist(id, .decided(.aborted), nil)
        }
    }

    /// A majority has a record.
    public mutating func onCommitted(_ id: MigrationID) -> [Directive] {
        guard let record = pending.removeValue(forKey: id) else { return [.ignored("no record is on its way")] }
        records[id] = record
        guard case .decided(let outcome) = record else { return [] }
        return [.answer(id, outcome)]
    }

    private mutating func persist(_ id: MigrationID, _ record: Record, _ change: ChunkChange?) -> [Directive] {
        pending[id] = record
        if mutants.isActive(.migrationDecisionEarly), case .decided(let outcome) = record {
            return [.persist(id, record, change), .answer(id, outcome)]
        }
        return [.persist(id, record, change)]
    }
}
