public import Core
public import LiveRuntime
internal import LoopbackTransport

/// Nodes that talk inside this process; links between them can be cut.
public final class LoopbackTransportNetwork: TransportNetwork {
    private let network = LoopbackNetwork()

    public init() {}
    public var reachesOtherProcesses: Bool { false }
    public func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport {
        LoopbackTransport(network: network, runtime: runtime, node: node)
    }

    /// Cuts, or joins, two nodes in both directions.
    public func setPartitioned(_ isPartitioned: Bool, between one: String, and other: String) {
        network.setPartitioned(isPartitioned, between: one, and: other)
    }
}
