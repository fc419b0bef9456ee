import BSON
import Core

/// What a read selector with the power to do so has to say about the sync source. It is shown those members only that
/// this one may copy, and what it answers beside them is not heard.
extension Member {
    /// Asks the selector; nil without one, or when there is nobody to choose.
    /// - Returns: those who could be copied, and whom of them it picked, as places in `peers`.
    mutating func selectSyncSource(_ now: Instant) -> (candidates: [Int], picked: Int?)? {
        guard var selector = syncSourceSelector else { return nil }
        var candidates = peers.indices.filter { isEligible($0, strictly: true, now: now) }
        if candidates.isEmpty { candidates = peers.indices.filter { isEligible($0, strictly: false, now: now) } }
        guard !candidates.isEmpty else { return nil }
        let servers = peers.indices.filter { $0 != selfIndex }.map { (index: $0, server: describe($0)) }
            .sorted { $0.server.address.description < $1.server.address.description }
        var topology = TopologyDescription(
            kind: servers.contains { $0.server.type == .primary } ? .replicaSetWithPrimary : .replicaSetNoPrimary,
            setName: setName, servers: servers.map(\.server))
        topology.heartbeatInterval = settings.heartbeatInterval
        let suitable = servers.filter { candidates.contains($0.index) }
        let request = ReadSelectionRequest(
            topology: topology, preference: .nearest, suitable: suitable.map(\.server),
            localThreshold: Limits.syncSourcePingGainMin)
        var generator = random
        let answer = selector.selectSyncSource(request) { bound in
            bound == 0 ? 0 : generator.next(below: bound)
        }
        random = generator
        syncSourceSelector = selector
        let picked = suitable.first { $0.server.address == answer }?.index
        if picked == nil { probe("sync source not selected") }
        return (candidates, picked)
    }

    /// Another member as a client would describe it.
    private func describe(_ index: Int) -> ServerDescription {
        let peer = peers[index]
        let type: ServerType =
            if !peer.isUp {
                .unknown
            } else if peer.id == primaryID {
                .primary
            } else {
                switch peer.state {
                case .secondary: .secondary
                case .arbiter: .arbiter
                default: .other
                }
            }
        var server = ServerDescription(
            address: Endpoint(peer.host) ?? Endpoint(host: peer.host, port: 0), type: type)
        server.setName = setName
        server.roundTripTime = peer.ping
        server.lastUpdate = peer.lastHeard ?? .zero
        if !peer.reported.isNull {
            server.lastWriteDate = WallTime(milliseconds: Int64(peer.reported.timestamp.seconds) * 1000)
        }
        for tag in config?.members[index].tags ?? [] { server.tags[tag.name] = tag.value }
        return server
    }
}
