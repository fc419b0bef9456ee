public import BSON
public import Core

/// The recipient's side of a migration.
///
/// Everything that it copies is invisible until it owns the range, and it owns the range when the config servers have
/// said so. It may ask them itself when the donor is silent; only a decision is an answer. A shell that is told of an
/// abort and knows nothing of the migration answers that it is written down.
public struct MigrationRecipient: Course {
    /// How far the recipient is.
    public enum Checkpoint: Hashable, Sendable {
        /// It copies, and follows the donor's oplog.
        case receiving
        /// A majority has everything up to that entry of the donor.
        case drained(through: OpTime)
        /// It owns the range.
        case owning(validAfter: Timestamp, major: UInt32)
        /// What was copied is deleted.
        case discarding
        /// Nothing of it is left.
        case discarded
    }

    /// What happens to the recipient.
    public enum Event: Hashable, Sendable {
        /// Everything up to that entry of the donor's oplog is stored here, though perhaps not by a majority yet.
        case caughtUp(through: OpTime)
        /// The donor has closed the range for writes; with what is stored here by now.
        case drainRequested(through: OpTime, stored: OpTime)
        /// The outcome, from the donor or from the config servers.
        case decided(MigrationOutcome)
        /// All copies are gone.
        case copiesDeleted
    }

    /// What the recipient's shell is to do.
    public enum Directive: Hashable, Sendable {
        /// Copy the range and follow the donor's oplog, up to its commit point: what the donor could roll back is not
        /// copied. Every slice asks `mayStore` in the step that writes it.
        case copy(upToCommitPoint: Bool)
        /// Tell the donor that little is missing.
        case tellSteady
        /// Tell the donor that a majority has everything up to that entry.
        case tellDrained(through: OpTime)
        /// Ask the config servers what is decided.
        case askOutcome
        /// Delete what was copied, and call `copiesDeleted`.
        case deleteCopies
        /// Tell the donor that the outcome is written down.
        case tellSettled
    }

    private let mutants: Mutants

    /// A recipient.
    public init(mutants: Mutants = []) { self.mutants = mutants }

    public func isEnd(_ checkpoint: Checkpoint) -> Bool {
        switch checkpoint {
        case .owning, .discarded: true
        case .receiving, .drained, .discarding: false
        }
    }

    public func work(at checkpoint: Checkpoint, time: OpTime, isRecovered: Bool) -> [Directive] {
        switch checkpoint {
        case .receiving: [.copy(upToCommitPoint: !mutants.isActive(.migrationClonesUncommitted)), .askOutcome]
        case .drained(let through): [.tellDrained(through: through), .askOutcome]
        case .discarding: [.deleteCopies]
        case .owning, .discarded: [.tellSettled]
        }
    }

    public func on(
        _ event: Event, at checkpoint: Checkpoint, time: OpTime
    ) -> CourseStep<Checkpoint, Directive> {
        switch (checkpoint, event) {
        // The donor asks until it hears.
        case (.owning, .decided), (.discarded, .decided): return .stay([.tellSettled])
        case (.owning, _), (.discarded, _): return .ignored("the migration is over")
        case (.discarding, .copiesDeleted): return .advance(.discarded)
        case (.discarding, _): return .ignored("the migration was aborted")
        case (_, .decided(.aborted)): return .advance(.discarding)
        case (_, .decided(.committed(let validAfter, let major))):
            // Only from a recipient that is drained is a commit asked for, and that is never undone.
            guard case .drained = checkpoint else { return .ignored("a commit of what is not here") }
            return .advance(.owning(validAfter: validAfter, major: major))
        case (.receiving, .caughtUp): return .stay([.tellSteady])
        case (.receiving, .drainRequested(let target, let stored)):
            guard stored >= target || mutants.isActive(.migrationDrainsEarly) else { return .stay([]) }
            return .advance(.drained(through: target))
        case (.drained(let through), .drainRequested(let target, _)):
            if mutants.isActive(.migrationOwnsEarly) { return .advance(.owning(validAfter: .max, major: .max)) }
            return target > through
                ? .ignored("the donor has opened in between: only another migration can go on")
                : .stay([.tellDrained(through: through)])
        case (.drained, .caughtUp): return .ignored("everything is here")
        case (_, .copiesDeleted): return .ignored("nothing was to be deleted")
        }
    }
}

extension StepMachine where Steps == MigrationRecipient {
    /// Whether documents that were copied may be stored: asked in the very step that stores them, because an abort may
    /// have come between the donor's answer and that.
    public func mayStore(mutants: Mutants = []) -> Bool {
        if mutants.isActive(.migrationLateBatch) { return true }
        return checkpoint == .receiving && pending == nil
    }
}
