public import Core

/// The contract of `ElectionPolicy`, as a suite that the author of one runs. No test framework is needed: a violation
/// is thrown.
///
/// It asks about thousands of views that are drawn from a seed, of sets of one to seven voters in every state, and then
/// plays members that hear no primary for a hundred election timeouts.
public struct ElectionPolicyConformance {
    private let policy: any ElectionPolicy
    private let seed: UInt64
    private let views: Int
    private let hosts: [String]

    /// - Parameters:
    ///   - policy: what is examined.
    ///   - hosts: names that the policy knows, such as that of the one member that `fixed` lets stand; members of the
    ///     drawn sets get them first.
    ///   - seed: what the views are drawn from.
    ///   - views: how many.
    public init(_ policy: any ElectionPolicy, hosts: [String] = [], seed: UInt64 = 1, views: Int = 2000) {
        self.policy = policy
        self.hosts = hosts
        self.seed = seed
        self.views = views
    }

    /// Runs every check.
    /// - Throws: `ConformanceViolation`.
    public func run() throws {
        try expect(!policy.name.isEmpty, "the policy has no name")
        try checkAnswers()
        try checkSomebodyStands()
    }

    // MARK: Single answers

    private func checkAnswers() throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<views {
            let view = ElectionViewDraw.view(&generator, hosts: hosts)
            for event in ElectionViewDraw.events(view, &generator) { try checkAnswer(to: event, view) }
        }
    }

    private func checkAnswer(to event: ElectionEvent, _ view: ElectionView) throws {
        let answer = policy.decide(event, view)
        let again = policy.decide(event, view)
        try expect(
            "\(answer.kind)" == "\(again.kind)",
            "to \(event) it answers \(answer.kind), and \(again.kind) when asked again: it is not pure")
        switch answer.kind {
        case .wait(let until, .election):
            // A timer that is due at once, over and over, would hold the member's loop.
            if case .electionTimer = event {
                try expect(
                    until > view.now, "to electionTimer it answers with a wait that is over: the member would spin")
            }
            try expect(until < .distantFuture, "to \(event) it answers with a wait for ever: abstain says that")
        case .wait(let until, .takeover):
            if case .takeoverTimer = event {
                try expect(until > view.now, "to takeoverTimer it answers with a wait that is over")
            }
        case .stand, .cancelTakeover, .abstain: break
        case .handOff(let member):
            guard case .steppingDown(let candidates) = event else {
                throw ConformanceViolation("to \(event) it answers with a hand-off")
            }
            try expect(candidates.contains(member), "it hands over to \(member), which is none of \(candidates)")
        case .grantDryRun, .refuseDryRun:
            guard case .dryRunRequested = event else {
                throw ConformanceViolation("to \(event) it answers as to a dry run")
            }
        }
    }

    // MARK: Getting there

    /// A member that hears no primary and may stand: some member of every set must, sooner or later.
    private func checkSomebodyStands() throws {
        for voters in 1...7 {
            let silent = ElectionViewDraw.silentSet(voters, hosts: hosts)
            let somebody = (0..<voters).first { stands(in: silent, as: $0) }
            try expect(
                somebody != nil, "none of \(voters) members stands within a hundred silent election timeouts")
        }
    }

    private func stands(in set: ElectionView, as index: Int) -> Bool {
        var generator = SplitMix64(seed: seed &+ UInt64(index))
        var view = set
        view.selfIndex = index
        for position in view.members.indices { view.members[position].isSelf = position == index }
        let end = view.now + view.electionTimeout * 100
        var event = ElectionEvent.started
        while view.now < end {
            view.random = generator.next()
            switch policy.decide(event, view).kind {
            case .stand: return true
            case .wait(let until, .election): view.electionTimer = until
            default: break
            }
            guard let timer = view.electionTimer else { return false }
            view.now = max(view.now + .milliseconds(1), timer)
            event = .electionTimer
        }
        return false
    }
}
