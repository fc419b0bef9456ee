public import Core

/// Protocol version 1 as MongoDB runs it: a randomised timeout, priority takeover, catch-up takeover.
public struct MongoDBElectionPolicy: ElectionPolicy {
    public var name: String { "mongodb" }
    public static let options: [PartOption] = []

    public init() {}
    /// - Throws: `PartOptionError`; it has no options.
    public init(_ options: PartOptions) throws(PartOptionError) {
        try options.allowOnly(Self.options, of: "mongodb")
    }

    public func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch event {
        case .initiated: return .standNow(.initiated)
        case .started: return startDecision(view)
        case .primaryHeard, .termAdvanced, .candidacyFailed: return .wait(until: timeout(view))
        case .primaryConnectionLost: return .abstain
        case .electionTimer:
            if let heard = view.primaryLastHeard, view.primaryIndex != nil, view.now - heard < view.electionTimeout {
                return .wait(until: timeout(view))
            }
            return view.mayStand ? .standNow(.electionTimeout) : .wait(until: timeout(view))
        case .primaryDescribed: return Takeover.schedule(view)
        case .takeoverTimer: return Takeover.decide(view)
        case .dryRunRequested: return .grantDryRun
        case .steppingDown(let candidates): return view.bestCandidate(candidates).map { .handOff(to: $0) } ?? .abstain
        }
    }

    /// The only voter need not ask anybody.
    private func startDecision(_ view: ElectionView) -> ElectionDecision {
        let isAlone = view.me.isVoter && view.members.allSatisfy { $0.isSelf || !$0.isVoter }
        return isAlone && view.mayStand ? .standNow(.electionTimeout) : .wait(until: timeout(view))
    }

    /// The election timeout and up to 15 % more, so that members do not stand all at once (Raft §5.2).
    private func timeout(_ view: ElectionView) -> Instant {
        view.now + view.electionTimeout + view.randomDuration(upTo: view.electionTimeout * 3 / 20)
    }
}
