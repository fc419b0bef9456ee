import Core

/// When a member stands against a living primary: it has a higher priority, or is further than a primary that is still
/// catching up (MongoDB's manual, "Replica Set Elections"). Shared by the policies.
enum Takeover {
    /// How far behind the newest known entry a member of higher priority may be when it takes over.
    static let freshnessSeconds: UInt32 = 2
    static let freshnessIncrements: UInt32 = 1000

    /// The primary was described: is there a reason to take over, and when?
    static func schedule(_ view: ElectionView) -> ElectionDecision {
        guard let primary = view.primary, !primary.isSelf, view.mayStand else {
            return view.takeoverTimer == nil ? .abstain : .cancelTakeover
        }
        let rank = priorityRank(view)
        let byPriority = primary.priority < view.me.priority
        let byCatchUp = view.catchUpTakeoverDelay != nil && wouldCatchUp(view, primary)
        // Both: the best member need not wait for the other's reason.
        if byPriority, !byCatchUp || rank == 0 {
            return wait(.priorityTakeover, view.electionTimeout * (rank + 1), view)
        }
        if byCatchUp, let delay = view.catchUpTakeoverDelay { return wait(.catchUpTakeover, delay, view) }
        return view.takeoverTimer == nil ? .abstain : .cancelTakeover
    }

    private static func wait(_ reason: ElectionReason, _ delay: Duration, _ view: ElectionView) -> ElectionDecision {
        if view.takeoverTimer != nil, view.takeoverReason == reason { return .abstain }
        return .wait(until: view.now + delay, for: .takeover(reason))
    }

    /// The takeover timer fired: does the reason still hold, and are we fresh enough for it?
    static func decide(_ view: ElectionView) -> ElectionDecision {
        guard let reason = view.takeoverReason, let primary = view.primary, !primary.isSelf, view.mayStand else {
            return .abstain
        }
        switch reason {
        case .priorityTakeover where primary.priority < view.me.priority && isFresh(view): return .standNow(reason)
        case .catchUpTakeover where wouldCatchUp(view, primary): return .standNow(reason)
        default: return .abstain
        }
    }

    /// How many electable members have a higher priority.
    private static func priorityRank(_ view: ElectionView) -> Int {
        view.members.reduce(0) { $0 + ($1.priority > view.me.priority ? 1 : 0) }
    }

    private static func isFresh(_ view: ElectionView) -> Bool {
        let newest = view.members.reduce(view.me.applied) { $1.isUp ? max($0, $1.applied) : $0 }
        return view.me.applied.isFresh(comparedTo: newest, seconds: freshnessSeconds, increments: freshnessIncrements)
    }

    /// The primary is behind us, has written nothing in its term, and nobody is fresher than we are.
    private static func wouldCatchUp(_ view: ElectionView, _ primary: ElectionMember) -> Bool {
        let mine = view.me.applied
        guard mine > primary.applied, mine.term < view.term else { return false }
        return view.members.allSatisfy { !$0.isUp || $0.applied <= mine }
    }
}

extension PartOptions {
    /// - Throws: for an option that the policy does not have.
    func allowOnly(_ options: [PartOption], of policy: String) throws(PartOptionError) {
        for name in values.keys.sorted() where !options.contains(where: { $0.name == name }) {
            throw PartOptionError("the election policy '\(policy)' has no option '\(name)'")
        }
    }

    /// A whole number in `range`, or the option's default.
    func integer(_ option: PartOption, in range: ClosedRange<Int64>) throws(PartOptionError) -> Int64 {
        let text = values[option.name] ?? option.defaultValue
        guard let number = Int64(text), range.contains(number) else {
            throw PartOptionError(
                "\(option.name) must be a whole number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }
}
