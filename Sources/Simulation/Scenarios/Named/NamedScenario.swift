public import Core

/// A scripted run that reproduces one danger, usually a published one. Random runs find dangers; these keep what was
/// found.
public struct NamedScenario: Sendable {
    public let name: String
    /// One line for lists.
    public let summary: String
    let make: @Sendable (SimulatedWorld) -> SimulatedReplicaSet
    let script: @Sendable (ScenarioStage) throws -> String

    /// All of them, in the order of their names.
    public static let all: [NamedScenario] = (stale + terms + memory + disks + sources + expiry).sorted {
        $0.name < $1.name
    }

    /// Runs it; what is random in it comes from the seed.
    /// - Returns: what happened, in one line and in many.
    /// - Throws: `SeedFailure`.
    public func run(seed: UInt64, mutants: Mutants = []) throws -> (summary: String, timeline: [String]) {
        let world = SimulatedWorld(seed: seed, shufflesNodes: seed % 2 == 0)
        let probes = Probes(seed: seed, buggifyProbability: 0)
        world.hooks = probes.hooks(mutants: mutants)
        let set = make(world)
        do {
            try set.start()
            let summary = try script(ScenarioStage(set))
            return (summary, set.timeline.last())
        } catch {
            throw SeedFailure(
                seed: seed, reason: "\(name): \(error)", timeline: set.timeline.last() + [set.summary])
        }
    }
}

/// Stands only when it is told to: the script decides who is elected when.
struct CommandedElectionPolicy: ElectionPolicy {
    var name: String { "commanded" }

    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        switch event {
        case .initiated: .standNow(.initiated)
        case .dryRunRequested: .grantDryRun
        default: .abstain
        }
    }
}
