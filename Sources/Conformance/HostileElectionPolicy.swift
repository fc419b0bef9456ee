public import Core

/// A policy that does what it can to keep a set from working, to try with others. It may; the set must not lose
/// anything by it. It meets the contract of `ElectionPolicy`, but for electing anybody.
public struct HostileElectionPolicy: ElectionPolicy {
    /// What is hostile about it.
    public enum Manner: String, Sendable, CaseIterable {
        /// Stands at every event.
        case always
        /// Refuses every dry run, and never stands.
        case never
        /// Whatever the dice say.
        case random
        /// Stands at every event, and refuses the others' dry runs.
        case selfish
    }

    /// How this one behaves.
    public let manner: Manner
    public var name: String { "hostile-\(manner.rawValue)" }

    /// A policy that behaves so.
    public init(_ manner: Manner) { self.manner = manner }

    public func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch manner {
        case .always: stand(event, view)
        case .never: refuse(event, view)
        case .random: roll(event, view)
        case .selfish:
            if case .dryRunRequested = event { .refuseDryRun("out of principle") } else { stand(event, view) }
        }
    }

    private func stand(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        if case .dryRunRequested = event { return .grantDryRun }
        // Not at once each time: a set in which time stands still proves nothing.
        if case .candidacyFailed = event { return .wait(until: view.now + .milliseconds(100)) }
        return view.mayStand ? .standNow(.electionTimeout) : .wait(until: view.now + .milliseconds(100))
    }

    private func refuse(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        if case .dryRunRequested = event { return .refuseDryRun("never") }
        if case .initiated = event { return .standNow(.initiated) }
        return .wait(until: view.now + view.electionTimeout)
    }

    private func roll(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        let members = view.members
        switch view.random % 7 {
        case 0: return .standNow(.electionTimeout)
        case 1: return .standNow(.catchUpTakeover)
        case 2: return .refuseDryRun("the dice say so")
        case 3: return .handOff(to: members[Int((view.random >> 8) % UInt64(members.count))].id)
        case 4: return .grantDryRun
        case 5: return .wait(until: view.now, for: .takeover(.priorityTakeover))
        default: return .wait(until: view.now + view.randomDuration(upTo: view.electionTimeout))
        }
    }
}
