public import Core
internal import ElectionPolicies
public import LiveRuntime
internal import MemoryStorage
internal import SocketTransport

extension PluginRegistry {
    /// The parts that come with Quorate.
    public static let standard: PluginRegistry = {
        var registry = PluginRegistry()
        registry.register(
            storage: Plugin("memory", summary: "a B+tree in memory; forgotten when the process ends") { _ in
                { MemoryStorage() }
            })
        registry.register(
            transport: Plugin("socket", summary: "TCP, and Unix sockets for paths; reaches other processes") { _ in
                SocketNetwork()
            })
        registry.register(
            transport: Plugin("loopback", summary: "inside the process; clients still come in by sockets") { _ in
                LoopbackTransportNetwork()
            })
        registry.register(
            electionPolicy: Plugin(
                "fast", summary: "stands as soon as the connection to the primary breaks",
                options: FastElectionPolicy.options, make: { try FastElectionPolicy($0) }))
        registry.register(
            electionPolicy: Plugin(
                "mongodb", summary: "MongoDB's protocol version 1: randomised timeout, takeovers",
                options: MongoDBElectionPolicy.options, make: { try MongoDBElectionPolicy($0) }))
        registry.register(
            electionPolicy: Plugin(
                "zone-aware", summary: "as fast, but members of the home zone stand first",
                options: ZoneAwareElectionPolicy.options, make: { try ZoneAwareElectionPolicy($0) }))
        registry.register(
            electionPolicy: Plugin(
                "fixed", summary: "only one named member stands",
                options: FixedElectionPolicy.options, make: { try FixedElectionPolicy($0) }))
        return registry
    }()
}

/// Nodes that talk over sockets.
public final class SocketNetwork: TransportNetwork {
    public init() {}

    public var reachesOtherProcesses: Bool { true }
    public func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport {
        SocketTransport(runtime: runtime)
    }
}
