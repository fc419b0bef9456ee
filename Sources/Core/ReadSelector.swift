/// **Plug point.** Picks the member that an operation goes to, among those that may serve it.
///
/// Purpose: a client or router finds, by the rules of MongoDB's server-selection specification, the members that
/// satisfy the read preference (`ReadSelectionRequest.suitable`); the selector says which of them. It decides about
/// latency and load, never about what a read may see.
///
/// Contract:
/// - Pure: no clock, no IO; the only state is the selector's own, the only randomness `random`.
/// - Called on the loop of the node that owns it, for each operation: it should take well under a microsecond a member.
/// - The answer is the address of a member of `suitable`, or nil to wait for the topology to change. `suitable` is not
///   empty. Any other answer is treated as nil.
/// - It never throws and never traps, whatever the descriptions say (no round trip yet, no last write, equal values).
///
/// How to implement: see `Plugins/ReadSelectors/NearestStrict.swift` for the smallest.
/// You are guaranteed: `suitable` is in order of address and holds each member once; descriptions are as of the last
/// check.
/// Conformance suite: `ReadSelectorConformance` of the Conformance module.
public protocol ReadSelector {
    /// The name it is registered under.
    static var name: String { get }

    /// Picks a member.
    /// - Parameters:
    ///   - request: who may serve the operation, and what is known of them.
    ///   - random: a number in `0 ..< bound` of the node's generator; 0 for a bound of 0.
    mutating func select(_ request: ReadSelectionRequest, random: (_ bound: UInt64) -> UInt64) -> Endpoint?
}

/// An optional power of a read selector: it also picks whom a secondary copies, its sync source.
///
/// The member draws up the candidates by its own rules: up, ahead of it, near the primary, allowed by the
/// configuration. The selector says which of them. It is not asked where there is no choice: for `replSetSyncFrom`,
/// without `chainingAllowed`, and before it is known how far away everybody is. Which sources must be left is not its
/// business either. A bad answer makes replication slow, never wrong.
///
/// Contract, where it differs from that of `select`:
/// - `suitable` are the candidates; the topology is what the member knows of the others. The preference is `nearest`
///   and there are no statistics. Of a member's last write, whole seconds are known.
/// - Nil, or an address of no candidate, leaves the choice to the member: the primary, if none is nearer by more than
///   `Limits.syncSourcePingGainMin`.
/// - It is asked when a source is needed, and again from time to time while the one in use is still a candidate. A
///   member moves by its answer no more than `Limits.syncSourcePingChangesMax` times an hour.
///
/// A selector without this power leaves sync sources to the member. One that has it picks as for reads, if it does not
/// say otherwise.
public protocol SyncSourceSelecting: ReadSelector, Sendable {
    mutating func selectSyncSource(
        _ request: ReadSelectionRequest, random: (_ bound: UInt64) -> UInt64
    ) -> Endpoint?
}

extension SyncSourceSelecting {
    public mutating func selectSyncSource(
        _ request: ReadSelectionRequest, random: (_ bound: UInt64) -> UInt64
    ) -> Endpoint? {
        select(request, random: random)
    }
}

/// What is known of the use of one member, apart from what it says itself.
public struct MemberStatistics: Sendable {
    /// Operations of this client that the member has not answered.
    public var operationsInFlight: Int
    public init(operationsInFlight: Int = 0) { self.operationsInFlight = operationsInFlight }
}

/// What a selector sees.
public struct ReadSelectionRequest: Sendable {
    public let topology: TopologyDescription
    public let preference: ReadPreference
    /// The members that may serve the operation.
    public let suitable: [ServerDescription]
    /// How much slower than the fastest a member may be and still be picked.
    public let localThreshold: Duration
    /// By address; a member without an entry has no operations in flight.
    public let statistics: [Endpoint: MemberStatistics]

    public init(
        topology: TopologyDescription, preference: ReadPreference, suitable: [ServerDescription],
        localThreshold: Duration = .milliseconds(15), statistics: [Endpoint: MemberStatistics] = [:]
    ) {
        self.topology = topology
        self.preference = preference
        self.suitable = suitable
        self.localThreshold = localThreshold
        self.statistics = statistics
    }
}

/// The part of server selection that decides what a read may see: the same under every selector.
public enum ServerSelection {
    public enum Operation: Sendable { case read, write }

    /// The servers that may take an operation, in the topology's order.
    /// - Parameters:
    ///   - topology: what is known of the servers.
    ///   - operation: whether it reads or writes.
    ///   - preference: which members may serve it, when it reads.
    ///   - avoiding: servers that failed this operation before: left out when others will do.
    public static func suitable(
        _ topology: TopologyDescription, _ operation: Operation, _ preference: ReadPreference,
        avoiding: [Endpoint] = []
    ) throws(InvalidReadPreference) -> [ServerDescription] {
        try preference.validate(
            heartbeatInterval: topology.heartbeatInterval, isReplicaSet: topology.kind.isReplicaSet)
        if !avoiding.isEmpty, topology.kind != .single {
            let others = choose(
                topology, topology.servers.filter { !avoiding.contains($0.address) }, operation, preference)
            if !others.isEmpty { return others }
        }
        return choose(topology, topology.servers, operation, preference)
    }

    private static func choose(
        _ topology: TopologyDescription, _ servers: [ServerDescription], _ operation: Operation,
        _ preference: ReadPreference
    ) -> [ServerDescription] {
        switch topology.kind {
        case .unknown: return []
        case .single: return servers.filter { $0.type != .unknown }
        case .sharded: return servers.filter { $0.type == .mongos }
        case .replicaSetNoPrimary, .replicaSetWithPrimary: break
        }
        let primaries = servers.filter { $0.type == .primary }
        if operation == .write { return primaries }
        let secondaries = servers.filter { $0.type == .secondary }
        func eligible(_ candidates: [ServerDescription]) -> [ServerDescription] {
            matchingTags(freshEnough(candidates, topology, preference), preference.tagSets)
        }
        switch preference.mode {
        case .primary: return primaries
        case .primaryPreferred: return primaries.isEmpty ? eligible(secondaries) : primaries
        case .secondary: return eligible(secondaries)
        case .secondaryPreferred:
            let chosen = eligible(secondaries)
            return chosen.isEmpty ? primaries : chosen
        case .nearest: return eligible(servers.filter { $0.type == .primary || $0.type == .secondary })
        }
    }

    private static func matchingTags(
        _ servers: [ServerDescription], _ tagSets: [[String: String]]
    ) -> [ServerDescription] {
        if tagSets.isEmpty { return servers }
        for tags in tagSets {
            let matching = servers.filter { server in tags.allSatisfy { server.tags[$0.key] == $0.value } }
            if !matching.isEmpty { return matching }
        }
        return []
    }

    private static func freshEnough(
        _ servers: [ServerDescription], _ topology: TopologyDescription, _ preference: ReadPreference
    ) -> [ServerDescription] {
        guard let bound = preference.maxStalenessSeconds, bound > 0 else { return servers }
        return servers.filter { staleness(of: $0, in: topology).map { $0 <= .seconds(bound) } ?? false }
    }

    /// How far a member is estimated to lag behind the primary, or, when there is none, behind the member that wrote
    /// last; nil when that is not known (max-staleness specification, "Estimating staleness").
    public static func staleness(of server: ServerDescription, in topology: TopologyDescription) -> Duration? {
        guard server.type == .secondary else { return .zero }
        guard let written = server.lastWriteDate else { return nil }
        if let primary = topology.primary {
            guard let primaryWritten = primary.lastWriteDate else { return nil }
            let behind = Duration.milliseconds(primaryWritten.milliseconds &- written.milliseconds)
            return (server.lastUpdate - primary.lastUpdate) + behind + topology.heartbeatInterval
        }
        let secondaries = topology.servers.lazy.filter { $0.type == .secondary }
        guard let latest = secondaries.compactMap(\.lastWriteDate).max() else { return nil }
        return .milliseconds(latest.milliseconds &- written.milliseconds) + topology.heartbeatInterval
    }
}
