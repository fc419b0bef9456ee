public import Core
public import LiveRuntime
internal import LoopbackTransport
internal import SocketTransport

/// Makes the transport of each node of one cluster, and says where they listen.
public protocol TransportNetwork: AnyObject, Sendable {
    /// A transport for the node of that name; called on the node's loop.
    func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport
    /// Whether other processes can connect: PyMongo, other members.
    var reachesOtherProcesses: Bool { get }
}

/// Nodes that talk over sockets.
public final class SocketNetwork: TransportNetwork {
    /// A network of sockets; it has no state of its own.
    public init() {}

    public var reachesOtherProcesses: Bool { true }
    public func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport {
        SocketTransport(runtime: runtime)
    }
}

/// Nodes that talk inside this process; links between them can be cut.
public final class LoopbackTransportNetwork: TransportNetwork {
    private let network = LoopbackNetwork()

    /// A network of its own: nodes of another one are not reached.
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
