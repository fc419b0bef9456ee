public import Core
import ElectionPolicies

/// A seeded run of a replica set: first faults and writers (safety), then everything healed (liveness).
///
/// The checkers watch throughout; in the end all members must agree, hold every acknowledged majority write once, and
/// take a new one.
public struct RandomScenario {
    public var members: Int
    public var policy: any ElectionPolicy
    /// How long faults happen.
    public var safetyPhase: Duration
    /// How long the healed set may take to agree.
    public var livenessLimit: Duration
    public var shufflesNodes = true

    /// What a run was like.
    public struct Report: Sendable {
        public var seed: UInt64
        public var members: Int
        public var policy: String
        public var virtualTime: Duration
        public var elections: Int
        public var acknowledged: Int
        public var unknown: Int
        public var restarts: Int
        public var faults: [(name: String, count: Int)]
        public var events: UInt64
        public var traceHash: UInt64
    }

    /// A run that broke a promise.
    public struct Failure: Error, CustomStringConvertible {
        public let seed: UInt64
        public let reason: String
        /// The last lines of what happened.
        public let timeline: [String]
        public var description: String { "seed \(seed): \(reason)\n" + timeline.joined(separator: "\n") }
    }

    public init(
        members: Int, policy: any ElectionPolicy, safetyPhase: Duration = .seconds(20),
        livenessLimit: Duration = .seconds(120)
    ) {
        self.members = members
        self.policy = policy
        self.safetyPhase = safetyPhase
        self.livenessLimit = livenessLimit
    }

    /// The scenario that a seed stands for: three or five members, one policy or the other.
    public init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed, purpose: "scenario")
        self.init(
            members: generator.nextBool(probability: 0.25) ? 5 : 3,
            policy: generator.nextBool(probability: 0.5) ? FastElectionPolicy() : MongoDBElectionPolicy())
        shufflesNodes = generator.nextBool(probability: 0.5)
    }

    /// Runs a seed.
    /// - Parameter recording: the events that the trace keeps in full.
    /// - Throws: `Failure`.
    public func run(seed: UInt64, recording: Range<UInt64> = 0..<0) throws -> Report {
        try run(in: SimulatedWorld(seed: seed, shufflesNodes: shufflesNodes, recording: recording))
    }

    /// Runs in a fresh world, which the caller can look at afterwards.
    public func run(in world: SimulatedWorld) throws -> Report {
        let set = SimulatedReplicaSet(world, members: members, policy: policy)
        do {
            let workload = WriteWorkload(set)
            var faults = RandomFaults(set)
            try set.start()
            workload.start()
            let end = world.now + safetyPhase
            while world.now < end {
                try world.run(for: faults.nextPause())
                faults.step()
            }
            faults.endAll()
            let healed = world.now
            try world.run(
                until: { workload.lastAcknowledged > healed }, atMost: livenessLimit,
                "an acknowledged write after healing\n  \(set.summary)\n")
            try workload.stop(within: livenessLimit)
            try set.runUntilConverged(within: livenessLimit)
            try workload.check()
            return report(world, set, workload, faults)
        } catch {
            let views = (error as? SimulationError)?.kind == .conditionNotReached ? set.views() : []
            throw Failure(seed: world.seed, reason: "\(error)", timeline: set.timeline.last(3000) + views)
        }
    }

    private func report(
        _ world: SimulatedWorld, _ set: SimulatedReplicaSet, _ workload: WriteWorkload, _ faults: RandomFaults
    ) -> Report {
        Report(
            seed: world.seed, members: members, policy: policy.name, virtualTime: world.now - .zero,
            elections: set.elections, acknowledged: workload.acknowledged, unknown: workload.unknown,
            restarts: set.members.reduce(0) { $0 + $1.restarts },
            faults: faults.counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, events: world.eventCount,
            traceHash: world.trace.hash)
    }
}
