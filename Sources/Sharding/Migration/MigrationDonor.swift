public import BSON
public import Core

/// What the config servers have decided about a migration: once, for ever.
public enum MigrationOutcome: Hashable, Sendable {
    /// The recipient owns the range from a time on; both shards have a new version.
    case committed(validAfter: Timestamp, major: UInt32)
    /// The donor keeps the range. No later request can commit.
    case aborted
}

/// The donor's side of a migration.
///
/// Two entries of the donor's oplog close the range: for writes, which is what the recipient drains up to, then for
/// reads, before the config servers are asked. Both are known to a majority before anybody acts on them; a member that
/// has applied them holds what they close until the outcome. The outcome is never read, it is asked for: either way it
/// is one write of the config servers, so a donor that gives up asks for an abort and opens again when that is written.
public struct MigrationDonor: Course {
    /// How far the donor is.
    public enum Checkpoint: Hashable, Sendable {
        /// The recipient copies.
        case cloning
        /// Writes of the range wait.
        case writesClosed
        /// Reads of the range wait too; the config servers decide.
        case readsClosed
        /// The range is to stay. What was closed stays closed until the config servers have written that down.
        case aborting
        /// The range is given up.
        case committed(validAfter: Timestamp, major: UInt32)
        /// The range is open again.
        case aborted
        /// The recipient knows the outcome.
        case ended(committed: Bool)
    }

    /// What happens to the donor.
    public enum Event: Hashable, Sendable {
        /// The recipient has nearly everything.
        case recipientSteady
        /// A majority of the recipient has everything up to that entry, session records too.
        case recipientDrained(through: OpTime)
        /// The config servers have decided.
        case decided(MigrationOutcome)
        /// A look at the config servers found no decision. Not an answer to anything that the donor asks.
        case undecided
        /// The recipient has written the outcome down.
        case recipientSettled
        /// It takes too long, or somebody wants the range to stay.
        case giveUp
    }

    /// What the donor's shell is to do.
    public enum Directive: Hashable, Sendable {
        /// Tell the recipient to begin, or to go on.
        case begin
        /// Tell the recipient to copy up to that entry, and to say so when a majority has it.
        case drain(through: OpTime)
        /// Ask the config servers to commit. They answer what is decided.
        case askToCommit
        /// Ask the config servers to abort. They answer what is decided.
        case askToAbort
        /// Look whether they have decided. Only a planted bug does.
        case look
        /// Tell the recipient.
        case tell(MigrationOutcome)
        /// Have the documents deleted that are not owned any more.
        case deleteRange
    }

    private let mutants: Mutants

    /// A donor.
    public init(mutants: Mutants = []) { self.mutants = mutants }

    public func isEnd(_ checkpoint: Checkpoint) -> Bool {
        if case .ended = checkpoint { true } else { false }
    }

    public func work(at checkpoint: Checkpoint, time: OpTime, isRecovered: Bool) -> [Directive] {
        switch checkpoint {
        case .cloning: [.begin]
        case .writesClosed: [.drain(through: time)]
        case .readsClosed: [isRecovered && mutants.isActive(.migrationOutcomeFromRead) ? .look : .askToCommit]
        case .aborting: [.askToAbort]
        case .committed(let validAfter, let major):
            [.tell(.committed(validAfter: validAfter, major: major)), .deleteRange]
        case .aborted: [.tell(.aborted)]
        case .ended: []
        }
    }

    public func on(
        _ event: Event, at checkpoint: Checkpoint, time: OpTime
    ) -> CourseStep<Checkpoint, Directive> {
        switch (checkpoint, event) {
        case (.ended, _): return .ignored("the migration is over")
        case (.committed, .recipientSettled): return .advance(.ended(committed: true))
        case (.aborted, .recipientSettled): return .advance(.ended(committed: false))
        case (.committed, _), (.aborted, _): return .ignored("the migration is decided")
        case (_, .decided(.aborted)): return .advance(.aborted)
        case (.readsClosed, .decided(.committed(let validAfter, let major))),
            (.aborting, .decided(.committed(let validAfter, let major))):
            return .advance(.committed(validAfter: validAfter, major: major))
        case (.writesClosed, .decided(.committed(let validAfter, let major)))
        where mutants.isActive(.migrationReadsClosedInMemory):
            return .advance(.committed(validAfter: validAfter, major: major))
        case (_, .decided): return .ignored("nobody has asked to commit")
        case (.readsClosed, .undecided) where mutants.isActive(.migrationOutcomeFromRead): return .advance(.aborted)
        case (_, .undecided): return .ignored("no decision is not a decision")
        case (.cloning, .recipientSteady): return .advance(.writesClosed)
        case (.writesClosed, .recipientDrained(let through)):
            // Of an earlier closing, or from a recipient that has begun again.
            guard through >= time else { return .ignored("the recipient has not got everything") }
            return mutants.isActive(.migrationReadsClosedInMemory) ? .stay([.askToCommit]) : .advance(.readsClosed)
        case (.cloning, .giveUp), (.writesClosed, .giveUp): return .advance(.aborting)
        // A commit has been asked for: whichever of the two requests comes first decides.
        case (.readsClosed, .giveUp): return .stay([.askToAbort])
        case (.aborting, .giveUp): return .ignored("it is given up")
        case (_, .recipientSettled): return .ignored("nothing is decided")
        case (_, .recipientSteady), (_, .recipientDrained): return .ignored("the donor is further")
        }
    }
}

extension MigrationDonor {
    /// The change of the shard's ownership that is written in one batch with a checkpoint.
    /// - Throws: `InvariantViolation` when the table does not allow it.
    public static func apply(
        _ checkpoint: Checkpoint, to table: inout OwnershipTable, _ range: KeyRange, _ migration: MigrationID
    ) throws(InvariantViolation) {
        switch checkpoint {
        case .cloning, .aborting, .ended: break
        case .writesClosed: try table.close(range, for: migration, reads: false)
        case .readsClosed: try table.close(range, for: migration, reads: true)
        case .committed(let validAfter, let major): try table.giveUp(range, validAfter: validAfter, major: major)
        case .aborted: table.reopen(migration)
        }
    }
}
