internal import Core
internal import LiveRuntime

/// A network inside the process, with sockets beside it, so that clients of other processes can come in.
final class NetworkWithSockets: TransportNetwork {
    let inner: any TransportNetwork
    private let sockets = SocketNetwork()

    init(_ inner: any TransportNetwork) { self.inner = inner }
    var reachesOtherProcesses: Bool { true }
    func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport {
        CombinedTransport(
            members: inner.makeTransport(runtime, node: node), clients: sockets.makeTransport(runtime, node: node))
    }
}

/// Listens on two transports at one address and connects through the first.
private final class CombinedTransport: Transport {
    private let members: any Transport
    private let clients: any Transport

    init(members: any Transport, clients: any Transport) {
        self.members = members
        self.clients = clients
    }

    func listen(
        on endpoint: Endpoint, accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws -> any Listener {
        // Sockets first: they know which ports are free.
        let outer = try clients.listen(on: endpoint, accept: accept)
        do {
            return Pair(outer: outer, inner: try members.listen(on: outer.endpoint, accept: accept))
        } catch {
            outer.close()
            throw error
        }
    }

    func connect(to endpoint: Endpoint, timeout: Duration, delegate: any ConnectionDelegate) -> any Connection {
        members.connect(to: endpoint, timeout: timeout, delegate: delegate)
    }

    private final class Pair: Listener {
        let outer: any Listener
        let inner: any Listener
        init(outer: any Listener, inner: any Listener) {
            self.outer = outer
            self.inner = inner
        }
        var endpoint: Endpoint { outer.endpoint }
        func close() {
            outer.close()
            inner.close()
        }
    }
}
