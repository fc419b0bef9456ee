public import Core

/// As `fast`, but prefers a primary near to a majority: members of the home zone stand first, and of the others those
/// first whose round trips to a majority of the voters are short.
///
/// A member's zone is the value of one of its tags. Home is the zone that is named, or the one with the most voters. A
/// member elsewhere waits longer before it stands, as long as some member at home is fit to: for a while, never for
/// good. A primary that is healthy keeps its office, wherever it is.
public struct ZoneAwareElectionPolicy: ElectionPolicy {
    public var name: String { "zone-aware" }
    static let tag = PartOption("tag", default: "dc", help: "the tag whose value is a member's zone")
    static let home = PartOption(
        "home", default: "", help: "the zone that is preferred; empty for the one with the most voters")
    public static let options: [PartOption] = [tag, home]

    /// The tag whose value is a member's zone.
    public var tag: String
    /// The zone that is preferred; nil for the one with the most voters.
    public var home: String?
    private let base = FastElectionPolicy()

    public init(tag: String = "dc", home: String? = nil) {
        self.tag = tag
        self.home = home
    }

    /// - Throws: `PartOptionError` for an unknown option.
    public init(_ options: PartOptions) throws(PartOptionError) {
        try options.allowOnly(Self.options, of: "zone-aware")
        tag = options.values[Self.tag.name] ?? Self.tag.defaultValue
        home = options.values[Self.home.name].flatMap { $0.isEmpty ? nil : $0 }
    }

    public func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch event {
        case .steppingDown(let candidates): return successor(of: candidates, view)
        case .started, .primaryHeard, .termAdvanced, .primaryConnectionLost, .candidacyFailed:
            let decision = base.decide(event, view)
            guard case .wait(let until, .election) = decision.kind else { return decision }
            return .wait(until: until + handicap(view))
        default: return base.decide(event, view)
        }
    }

    // MARK: Zones

    private func zone(_ member: ElectionMember) -> String? { member.tags.first { $0.name == tag }?.value }

    /// The preferred zone; of those with equally many voters the first by name.
    private func homeZone(_ view: ElectionView) -> String? {
        if let home { return home }
        var best: (zone: String, voters: Int)?
        for candidate in Set(view.members.compactMap { zone($0) }).sorted() {
            let voters = view.members.count { $0.isVoter && zone($0) == candidate }
            if voters > best?.voters ?? 0 { best = (candidate, voters) }
        }
        return best?.zone
    }

    /// How much longer this member waits than one at home, in the middle of all.
    private func handicap(_ view: ElectionView) -> Duration {
        let distance = min(roundTripToMajority(view) * 2, view.electionTimeout / 4)
        guard let home = homeZone(view), zone(view.me) != home else { return distance }
        let isHomeFit = view.members.contains {
            !$0.isSelf && $0.isUp && $0.state == .secondary && $0.priority > 0 && $0.isVoter && zone($0) == home
        }
        return isHomeFit ? distance + view.electionTimeout / 4 : distance
    }

    /// The round trip to the farthest of the nearest voters that make a majority with this member.
    private func roundTripToMajority(_ view: ElectionView) -> Duration {
        let voters = view.members.count { $0.isVoter }
        let others = view.members.filter { $0.isVoter && !$0.isSelf && $0.isUp }.compactMap(\.ping).sorted()
        let needed = voters / 2 + 1 - (view.me.isVoter ? 1 : 0)
        guard needed > 0, !others.isEmpty else { return .zero }
        return others[min(needed, others.count) - 1]
    }

    /// The highest priority counts first, then home, then what `bestCandidate` prefers.
    private func successor(of candidates: [MemberID], _ view: ElectionView) -> ElectionDecision {
        let fit = view.members.filter { candidates.contains($0.id) && !$0.isSelf }
        let highest = fit.map(\.priority).max()
        let equals = fit.filter { $0.priority == highest }
        let home = homeZone(view)
        let preferred = equals.filter { zone($0) == home }
        return view.bestCandidate((preferred.isEmpty ? equals : preferred).map(\.id)).map { .handOff(to: $0) }
            ?? .abstain
    }
}
