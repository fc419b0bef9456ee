import Core

/// Waits out several timeouts before it stands: how much write availability does patience cost?
struct PatientElections: ElectionPolicy {
    var name: String { "patient" }
    static let timeouts = PartOption("timeouts", default: "3", help: "silent election timeouts before it stands")

    var timeouts: Int

    init(_ options: PartOptions) throws {
        let text = options.values["timeouts"] ?? Self.timeouts.defaultValue
        guard let timeouts = Int(text), (1...100).contains(timeouts) else {
            throw PartOptionError("patient.timeouts must be a whole number from 1 to 100, not '\(text)'")
        }
        self.timeouts = timeouts
    }

    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        let patience = view.electionTimeout * timeouts
        switch event {
        case .initiated:
            return .standNow(.initiated)
        case .started, .primaryHeard, .termAdvanced, .candidacyFailed:
            // Not all at the same moment: a tie helps nobody.
            return .wait(until: view.now + patience + view.randomDuration(upTo: view.electionTimeout))
        case .electionTimer:
            return view.mayStand ? .standNow(.electionTimeout) : .wait(until: view.now + view.electionTimeout)
        case .dryRunRequested:
            return .grantDryRun
        default:
            return .abstain
        }
    }
}
