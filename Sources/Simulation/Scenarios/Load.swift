import Core

/// All clients of a random run.
final class Load {
    private let set: SimulatedReplicaSet
    private let swarm: Swarm
    private let lists: ListWorkload
    private let writers: WriteWorkload?
    private let definitions: DefinitionWorkload?

    init(_ set: SimulatedReplicaSet, _ swarm: Swarm) {
        self.set = set
        self.swarm = swarm
        lists = ListWorkload(set, clients: swarm.listClients)
        writers = swarm.writers ? WriteWorkload(set) : nil
        definitions = swarm.changesDefinitions ? DefinitionWorkload(set) : nil
    }

    /// The clients' nodes.
    var names: [String] { lists.names + (writers.map { [$0.name] } ?? []) + (definitions.map { [$0.name] } ?? []) }

    func start() {
        lists.start(sessions: swarm.sessions)
        writers?.start(pause: .milliseconds(200))
        definitions?.start()
    }

    func stop(within limit: Duration) throws {
        try definitions?.stop(within: limit)
        try writers?.stop(within: limit)
        try lists.stop(within: limit)
    }

    func check(isAvailable: Bool) throws {
        try lists.check(isAvailable: isAvailable)
        if isAvailable { try writers?.check() }
    }

    /// When a majority write was acknowledged last.
    var lastAcknowledged: Instant { max(lists.lastAcknowledged, writers?.lastAcknowledged ?? .zero) }
    var duplicates: Int { lists.counts["duplicate request"] ?? 0 }

    /// What was done, by kind.
    var operations: [String: Int] {
        var counts = lists.counts
        counts["write"] = writers?.acknowledged
        counts["write of unknown outcome"] = writers?.unknown
        counts["change of a definition"] = definitions?.done
        return counts
    }
}
