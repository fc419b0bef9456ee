import Core

/// Policies that do what they can to keep a set from working. They may; it must not lose anything by it.
struct HostileElectionPolicy: ElectionPolicy {
    enum Manner: String, Sendable {
        /// Stands at every event.
        case always
        /// Refuses every dry run, and never stands.
        case never
        /// Whatever the dice say.
        case random
    }

    let manner: Manner
    var name: String { "hostile-\(manner.rawValue)" }
    static let all = [Manner.always, .never, .random].map { HostileElectionPolicy(manner: $0) }

    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch manner {
        case .always: stand(event, view)
        case .never: refuse(event, view)
        case .random: roll(event, view)
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
