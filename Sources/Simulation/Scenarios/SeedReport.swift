import Core

/// What a run was like.
public struct SeedReport: Sendable {
    public var seed: UInt64
    public var members: Int
    public var policy: String
    public var remembers: Bool
    /// Disks with files.
    public var usesFiles: Bool
    /// False: a majority's memory was lost, or a policy elects nobody.
    public var isAvailable: Bool
    public var virtualTime: Duration
    public var elections: Int
    public var restarts: Int
    public var events: UInt64
    public var traceHash: UInt64
    /// How often what happened, in the order of the names.
    public var faults: [(name: String, count: Int)]
    public var probes: [(name: String, count: Int)]
    public var operations: [(name: String, count: Int)]

    init(
        _ set: SimulatedReplicaSet, _ swarm: Swarm, _ probes: Probes, faults: [FaultKind: Int],
        operations: [String: Int], isAvailable: Bool
    ) {
        seed = set.world.seed
        members = set.initialCount
        policy = swarm.isHostile ? "hostile" : swarm.policy.name
        remembers = swarm.remembers
        usesFiles = swarm.usesFiles
        self.isAvailable = isAvailable
        virtualTime = set.world.now - .zero
        elections = set.elections
        restarts = set.members.reduce(0) { $0 + $1.restarts }
        events = set.world.eventCount
        traceHash = set.world.trace.hash
        self.faults = faults.map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 }
        self.probes = probes.counts.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
        self.operations = operations.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
    }

    /// Operations of that name.
    public func operations(_ name: String) -> Int { operations.first { $0.name == name }?.count ?? 0 }
}

/// A run that broke a promise.
public struct SeedFailure: Error, CustomStringConvertible {
    public let seed: UInt64
    public let reason: String
    /// What happened before, in lines.
    public let timeline: [String]
    public var description: String { "seed \(seed): \(reason)\n" + timeline.joined(separator: "\n") }
}
