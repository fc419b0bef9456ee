import Client
import Core

/// All clients of a random run.
final class Load {
    private let set: SimulatedReplicaSet
    private let swarm: Swarm
    private let lists: ListWorkload
    private let writers: WriteWorkload?
    private let definitions: DefinitionWorkload?
    private let expiry: ExpiryWorkload?
    private var keptDocuments = 0

    init(_ set: SimulatedReplicaSet, _ swarm: Swarm) {
        self.set = set
        self.swarm = swarm
        lists = ListWorkload(set, clients: swarm.listClients)
        writers = swarm.writers ? WriteWorkload(set) : nil
        definitions = swarm.changesDefinitions ? DefinitionWorkload(set) : nil
        expiry = swarm.expiresDocuments ? ExpiryWorkload(set) : nil
    }

    /// The clients' nodes.
    var names: [String] { lists.names + [writers?.name, definitions?.name, expiry?.name].compactMap { $0 } }

    func start() {
        lists.start(sessions: swarm.sessions)
        writers?.start(unsafe: 2, pause: .milliseconds(200))
        definitions?.start()
        expiry?.start()
    }

    /// A further client writes for so long, and then its process dies.
    func visit(for lifetime: Duration, thenDying connections: DeadConnections) {
        lists.visit(for: lifetime, thenDying: connections)
    }

    func stop(within limit: Duration) throws {
        try expiry?.stop(within: limit)
        try definitions?.stop(within: limit)
        try writers?.stop(within: limit)
        try lists.stop(within: limit)
    }

    /// Closes the clients' connections.
    func close() {
        for client in lists.clients + [writers?.client, definitions?.client, expiry?.client].compactMap({ $0 }) {
            client.runtime.spawn("close the client") { await client.client.close() }
        }
    }

    /// - Parameter keepsAll: no member has forgotten, or thrown away, what it held.
    func check(isAvailable: Bool, keepsAll: Bool) throws {
        try lists.check(isAvailable: isAvailable)
        guard isAvailable else { return }
        try writers?.check()
        try expiry?.check()
        guard keepsAll else { return }
        keptDocuments = try writers?.checkRolledBack() ?? 0
    }

    /// When a majority write was acknowledged last.
    var lastAcknowledged: Instant { max(lists.lastAcknowledged, writers?.lastAcknowledged ?? .zero) }
    /// What clients have done of themselves that counts as a fault.
    var faults: [FaultKind: Int] {
        var counts: [FaultKind: Int] = [:]
        for kind in FaultKind.allCases where kind.isOfWorkload { counts[kind] = lists.counts[kind.rawValue] }
        return counts
    }

    /// What was done, by kind.
    var operations: [String: Int] {
        var counts = lists.counts
        counts["write"] = writers?.acknowledged
        counts["write of unknown outcome"] = writers?.unknown
        counts["document kept by a rollback"] = keptDocuments > 0 ? keptDocuments : nil
        counts["change of a definition"] = definitions?.done
        counts["expired document"] = expiry?.expired
        return counts
    }
}
