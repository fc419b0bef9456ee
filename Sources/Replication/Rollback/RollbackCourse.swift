public import Core

/// The course of a rollback, as a value: which entries of this member are undone, or why none are.
///
/// The newest entry that both members have is found by asking the source which of ours it has, newest first; what lies
/// behind it is undone.
public struct RollbackCourse: Sendable {
    public enum Directive: Sendable {
        /// Read the newest entries of our oplog, newest first, that are older than that one, or simply the newest; then
        /// call `onOwnEntries`.
        case readOwnEntries(olderThan: OpTime?)
        /// Send, then call `onAnswer`.
        case ask(CommonPointRequest)
        /// Undo everything behind that entry.
        case undo(to: OpTime)
        /// A majority has what would be undone: the member stops and explains itself.
        case refuse(to: OpTime, commitPoint: OpTime)
        /// There is nothing to go back to: clone the data anew.
        case resynchronize(because: OplogAnswer)
        /// Another source may do; nothing has been changed here.
        case giveUp(because: String)
    }

    /// What the shell knows when it raises an event.
    public struct Situation: Sendable {
        /// What the member knows to be committed.
        public var commitPoint: OpTime
        /// Before this nothing can be undone: the data were cloned at it, or a majority has everything up to it.
        public var undoneFrom: OpTime
        public var isSourcePrimary: Bool

        public init(commitPoint: OpTime, undoneFrom: OpTime, isSourcePrimary: Bool) {
            self.commitPoint = commitPoint
            self.undoneFrom = undoneFrom
            self.isSourcePrimary = isSourcePrimary
        }
    }

    /// The oldest of our entries that the source has been asked about.
    private var oldest: OpTime?

    public init() {}

    public func onStart() -> [Directive] { [.readOwnEntries(olderThan: nil)] }

    /// - Parameter entries: newest first; empty when there are no more.
    public mutating func onOwnEntries(_ entries: [OpTime], _ now: Situation) -> [Directive] {
        guard let last = entries.last else { return undo(to: .null, now) }
        oldest = last
        return [.ask(CommonPointRequest(optimes: entries))]
    }

    public func onAnswer(_ answer: CommonPointReply, _ now: Situation) -> [Directive] {
        if let common = answer.common { return undo(to: common, now) }
        let first = answer.first ?? .null
        // Its log begins later than what we share: another member may know more. The primary has the last word.
        if let oldest, first > oldest, now.commitPoint < first {
            return [
                now.isSourcePrimary ? .resynchronize(because: .stale) : .giveUp(because: "its oplog begins at \(first)")
            ]
        }
        return [.readOwnEntries(olderThan: oldest)]
    }

    /// The source is gone, or has changed its mind: whoever is followed next finds the difference again.
    public func onNoAnswer(_ why: String) -> [Directive] { [.giveUp(because: why)] }

    private func undo(to common: OpTime, _ now: Situation) -> [Directive] {
        if common < now.commitPoint { return [.refuse(to: common, commitPoint: now.commitPoint)] }
        guard !common.isNull, common.timestamp >= now.undoneFrom.timestamp else {
            return [.resynchronize(because: .diverged)]
        }
        return [.undo(to: common)]
    }
}
