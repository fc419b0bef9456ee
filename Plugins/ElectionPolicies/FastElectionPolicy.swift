public import Core

/// Elects within a few round trips of a primary's death.
///
/// A killed process resets its connections at once. A member whose connection to the primary breaks asks for a dry run
/// without waiting out the timeout; members that still hear the primary refuse it, so a broken link between two members
/// deposes nobody. Members wait by rank (freshest first), so that survivors do not all stand at once.
public struct FastElectionPolicy: ElectionPolicy {
    public var name: String { "fast" }
    static let roundTrips = PartOption(
        "roundTripsPerRank", default: "3",
        help: "measured round trips that a member waits for each one ranked before it")
    static let minimumDelay = PartOption(
        "minimumDelayMillis", default: "2", help: "shortest wait of a rank, however close the members are")
    public static let options: [PartOption] = [roundTrips, minimumDelay]

    public var roundTripsPerRank: Int
    public var minimumDelay: Duration

    public init(roundTripsPerRank: Int = 3, minimumDelay: Duration = .milliseconds(2)) {
        self.roundTripsPerRank = roundTripsPerRank
        self.minimumDelay = minimumDelay
    }

    /// - Throws: `PartOptionError` for an unknown option or a bad value.
    public init(_ options: PartOptions) throws(PartOptionError) {
        try options.allowOnly(Self.options, of: "fast")
        roundTripsPerRank = Int(try options.integer(Self.roundTrips, in: 0...1000))
        minimumDelay = .milliseconds(try options.integer(Self.minimumDelay, in: 0...60_000))
    }

    public func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch event {
        case .initiated: return .standNow(.initiated)
        case .started: return startDecision(view)
        case .primaryHeard, .termAdvanced: return .wait(until: timeout(view))
        case .primaryConnectionLost: return .wait(until: view.now + step(view) * rank(view))
        case .electionTimer: return timerDecision(view)
        case .candidacyFailed: return .wait(until: view.now + afterFailure(view))
        case .primaryDescribed: return Takeover.schedule(view)
        case .takeoverTimer: return Takeover.decide(view)
        case .dryRunRequested(_, let reason): return dryRunDecision(reason, view)
        case .steppingDown(let candidates): return view.bestCandidate(candidates).map { .handOff(to: $0) } ?? .abstain
        }
    }

    private func startDecision(_ view: ElectionView) -> ElectionDecision {
        let isAlone = view.me.isVoter && view.members.allSatisfy { $0.isSelf || !$0.isVoter }
        return isAlone && view.mayStand ? .standNow(.electionTimeout) : .wait(until: timeout(view))
    }

    /// What members of one rank are spread over: a few round trips, or votes would split again and again. Not more: one
    /// that stood in vain tries again within milliseconds.
    private func spread(_ view: ElectionView) -> Duration { max(view.electionTimeout / 50, step(view)) }

    private func timeout(_ view: ElectionView) -> Instant {
        view.now + view.electionTimeout + step(view) * rank(view) + view.randomDuration(upTo: spread(view))
    }

    private func timerDecision(_ view: ElectionView) -> ElectionDecision {
        guard view.mayStand else { return .wait(until: view.now + max(step(view), view.heartbeatInterval / 4)) }
        guard let heard = view.primaryLastHeard else { return .standNow(.electionTimeout) }
        let silence = view.now - heard
        if silence < view.electionTimeout {
            if !view.isPrimaryConnectionOpen || view.primaryIndex == nil { return .standNow(.primaryConnectionLost) }
            return .wait(until: timeout(view))
        }
        // Our own loop ran late: what the primary sent may lie unread. It gets that much more, once.
        if let due = view.electionTimer, view.primaryIndex != nil {
            let late = view.now - due
            if late > view.electionTimeout / 10,
                silence < view.electionTimeout * 2 + step(view) * rank(view) + spread(view)
            {
                return .wait(until: view.now + min(late, view.electionTimeout))
            }
        }
        return .standNow(.electionTimeout)
    }

    /// Data-bearing voters that hear the primary, on a connection that is open, keep it in office.
    private func dryRunDecision(_ reason: ElectionReason, _ view: ElectionView) -> ElectionDecision {
        guard reason == .primaryConnectionLost, view.me.isVoter, !view.me.isArbiter else { return .grantDryRun }
        if view.primary?.isSelf == true { return .refuseDryRun("this member is primary") }
        guard view.primaryIndex != nil, view.isPrimaryConnectionOpen, let heard = view.primaryLastHeard,
            view.now - heard <= view.heartbeatInterval * 2
        else { return .grantDryRun }
        return .refuseDryRun("this member still hears the primary")
    }

    /// What members of neighbouring rank stand apart: a few round trips to the slowest voter in reach.
    private func step(_ view: ElectionView) -> Duration {
        let slowest = view.members.reduce(Duration.zero) { $1.isVoter && $1.isUp ? max($0, $1.ping ?? .zero) : $0 }
        return min(max(slowest * roundTripsPerRank, minimumDelay), view.electionTimeout / 4)
    }

    /// How many living candidates come first: by last known entry, then priority, then id.
    private func rank(_ view: ElectionView) -> Int {
        let me = view.me
        return view.members.reduce(0) { before, other in
            guard !other.isSelf, other.isUp, other.priority > 0, other.isVoter, other.state == .secondary else {
                return before
            }
            if other.applied != me.applied { return before + (other.applied > me.applied ? 1 : 0) }
            if other.priority != me.priority { return before + (other.priority > me.priority ? 1 : 0) }
            return before + (other.id < me.id ? 1 : 0)
        }
    }

    /// Random, and longer with every try, up to the election timeout.
    private func afterFailure(_ view: ElectionView) -> Duration {
        let tries = min(max(view.failedTries, 1), 12)
        let longest = min(step(view) * (1 << tries), view.electionTimeout)
        return step(view) + view.randomDuration(upTo: longest)
    }
}
