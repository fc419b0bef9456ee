public import Core

/// Only a named member ever stands: for experiments, and for reading as the smallest policy.
public struct FixedElectionPolicy: ElectionPolicy {
    public var name: String { "fixed" }
    static let member = PartOption("member", default: "", help: "host:port of the one member that stands")
    public static let options: [PartOption] = [member]

    /// `host:port` as the configuration names it.
    public var host: String

    public init(host: String) { self.host = host }

    /// - Throws: `PartOptionError` when no member is named.
    public init(_ options: PartOptions) throws(PartOptionError) {
        try options.allowOnly(Self.options, of: "fixed")
        guard let host = options.values["member"], !host.isEmpty else {
            throw PartOptionError("the election policy 'fixed' needs fixed.member=host:port")
        }
        self.host = host
    }

    public func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        guard view.me.host == host else {
            if case .dryRunRequested = event { return .grantDryRun }
            if case .steppingDown(let candidates) = event,
                let named = view.members.first(where: { $0.host == host }), candidates.contains(named.id)
            {
                return .handOff(to: named.id)
            }
            return .abstain
        }
        switch event {
        case .initiated: return .standNow(.initiated)
        case .started, .primaryHeard, .termAdvanced, .candidacyFailed:
            return .wait(until: view.now + view.electionTimeout)
        case .electionTimer:
            let heard = view.primaryLastHeard.map { view.now - $0 < view.electionTimeout } ?? false
            return heard || !view.mayStand ? .wait(until: view.now + view.electionTimeout) : .standNow(.electionTimeout)
        case .dryRunRequested: return .grantDryRun
        default: return .abstain
        }
    }
}
