public import Core
public import LiveRuntime
internal import LoopbackTransport

/// Nodes that talk inside this process; links between them can be cut.
public final class LoopbackTransportNetwork: TransportNetwork {
    private let network = LoopbackNetwork()

    public init() {}
    public var reachesOtherProcesses: Bool { false }
    public func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport {
        let transport = LoopbackTransport(network: network, runtime: runtime, node: node)
        // A node that ends, in good order or not, is noticed by its peers at once, as a process is.
        runtime.loop.addShutdownHook { transport.closeAll() }
        return transport
    }

    /// Cuts, or joins, two nodes in both directions.
    public func setPartitioned(_ isPartitioned: Bool, between one: String, and other: String) {
        network.setPartitioned(isPartitioned, between: one, and: other)
    }
}
