public import Core

/// The deletion of a range that is not owned any more: of a donor after its migration, of a recipient after an abort.
///
/// It waits for a time in which members may still read what was there, and for the cursors that began when the range
/// was owned. Each slice asks anew whether the range may be deleted: it may have come back.
public struct RangeDeletion: Course {
    /// How far it is.
    public enum Checkpoint: Hashable, Sendable {
        /// A migration that is not decided may still need the documents.
        case pending
        /// Nobody will own them by that migration; not before its time.
        case waiting
        /// Documents are being deleted.
        case deleting
        /// None is left, or the range is owned again.
        case ended
    }

    /// What happens.
    public enum Event: Hashable, Sendable {
        /// The migration is decided, and the range is not here.
        case ready
        /// The migration is decided, and the range is here.
        case notNeeded
        /// The delay is over, and no cursor needs the documents.
        case due
        /// A slice was deleted.
        case deleted(last: Bool)
    }

    /// What the shell is to do.
    public enum Directive: Hashable, Sendable {
        /// Wait for `orphanCleanupDelaySecs` and for cursors of before, then call `due`.
        case awaitReaders
        /// Delete some documents, if `RangeDeletion.mayDelete` says so in the step that does; then call `deleted`.
        case deleteSlice
    }

    /// A deletion.
    public init() {}

    public func isEnd(_ checkpoint: Checkpoint) -> Bool { checkpoint == .ended }

    public func work(at checkpoint: Checkpoint, time: OpTime, isRecovered: Bool) -> [Directive] {
        switch checkpoint {
        case .pending, .ended: []
        case .waiting: [.awaitReaders]
        case .deleting: [.deleteSlice]
        }
    }

    public func on(
        _ event: Event, at checkpoint: Checkpoint, time: OpTime
    ) -> CourseStep<Checkpoint, Directive> {
        switch (checkpoint, event) {
        case (.pending, .ready): .advance(.waiting)
        case (.pending, .notNeeded): .advance(.ended)
        case (.waiting, .due): .advance(.deleting)
        case (.deleting, .deleted(last: false)): .stay([.deleteSlice])
        case (.deleting, .deleted(last: true)): .advance(.ended)
        default: .ignored("not now")
        }
    }

    /// What of a range may be deleted now: nothing that is owned, nothing that another migration is bringing.
    public static func mayDelete(
        _ range: KeyRange, ownership: OwnershipTable?, incoming: [KeyRange]
    ) -> [KeyRange] {
        range.subtracting((ownership?.current.map(\.range) ?? []) + incoming)
    }
}
