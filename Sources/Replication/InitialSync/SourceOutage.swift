public import Core

/// How long a question to the source of an initial sync is asked again when no answer comes: every question stands
/// alone, so a clone goes on where it was, unless others could be asked.
public struct SourceOutage: Sendable {
    public enum Verdict: Sendable, Equatable {
        /// Ask again after that time, and look first whether the source is what it was.
        case askAgain(after: Duration)
        /// The attempt is over. With `deniesSource`, others are asked next.
        case giveUp(because: String, deniesSource: Bool)
    }

    private let host: String
    private var since: Instant?

    /// - Parameter host: the source.
    public init(of host: String) { self.host = host }

    /// Whether a question has failed since the last answer.
    public var isUnderWay: Bool { since != nil }

    /// A question got no answer, and others could be asked.
    public mutating func onNoAnswer(_ error: ServerError, _ member: Member, now: Instant) -> Verdict {
        let since = self.since ?? now
        let isLeft = error.code == .networkTimeout || !member.isUp(host)
        // Who hears nobody is cut off: a change of the source would only lose what has been cloned.
        if isLeft, member.initialSyncSource(now: now, otherThan: host, heardSince: since) != nil {
            return .giveUp(
                because: "\(host) does not answer (\(error.message)), and another member may", deniesSource: true)
        }
        return onNoAnswer(error, atMost: Limits.initialSyncOutageMax, now: now)
    }

    /// A question got no answer.
    /// - Parameter limit: how long it is asked again.
    public mutating func onNoAnswer(_ error: ServerError, atMost limit: Duration, now: Instant) -> Verdict {
        let since = self.since ?? now
        self.since = since
        guard now - since < limit else {
            return .giveUp(
                because: "\(host) has not answered for \(now - since): \(error.message)", deniesSource: false)
        }
        return .askAgain(after: Limits.initialSyncRetryDelay)
    }
}
