import BSON
public import Core

/// A node's `Transport` over the world's network.
public final class SimulatedTransport: Transport {
    unowned let network: SimulatedNetwork
    let runtime: SimulatedRuntime
    private var nextConnection: UInt64 = 1

    init(network: SimulatedNetwork, runtime: SimulatedRuntime) {
        self.network = network
        self.runtime = runtime
    }

    public func listen(
        on endpoint: Endpoint, accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws -> any Listener {
        let listener = try network.listen(on: endpoint, runtime: runtime, accept: accept)
        listener.transport = self
        return listener
    }

    public func connect(
        to endpoint: Endpoint, timeout: Duration, delegate: any ConnectionDelegate
    ) -> any Connection {
        let connection = makeConnection(peer: "\(endpoint)", delegate: delegate)
        connection.timeout = runtime.schedule(after: timeout) { [weak connection] in connection?.closed(.timedOut) }
        attempt(connection, endpoint)
        return connection
    }

    func makeConnection(peer: String, delegate: (any ConnectionDelegate)?) -> SimulatedConnection {
        let connection = SimulatedConnection(
            id: nextConnection, runtime: runtime, peerDescription: peer, delegate: delegate)
        nextConnection += 1
        return connection
    }

    /// One attempt to connect. A host that is silent or cut off answers nothing, and TCP tries again.
    private func attempt(_ connection: SimulatedConnection, _ endpoint: Endpoint) {
        guard connection.state == .opening else { return }
        guard let host = network.owner(of: endpoint) else {
            let delay = network.defaultLink.drawDelay(&network.generator)
            runtime.schedule(after: delay) { connection.closed(.unreachable("\(endpoint): connection refused")) }
            return
        }
        let isLost = network.isSilent(host) || network.isBlocked(from: runtime, to: host)
        guard !isLost, !network.isBlocked(from: host, to: runtime) else {
            runtime.schedule(after: .milliseconds(500)) { self.attempt(connection, endpoint) }
            return
        }
        let world = network.world
        guard host.isAlive, network.listener(at: endpoint) != nil else {
            let delay = network.delay(from: runtime, to: host)
            runtime.schedule(after: delay) { connection.closed(.unreachable("\(endpoint): connection refused")) }
            return
        }
        world.schedule(
            at: world.now + network.delay(from: runtime, to: host), runtime: host.index, kind: .accept,
            payload: connection.id
        ) { [network] in
            guard connection.state == .opening, self.runtime.isAlive else { return }
            guard let listener = network.listener(at: endpoint), let transport = listener.transport else {
                return connection.reportLater(.unreachable("\(endpoint): connection refused"), from: host)
            }
            self.accept(connection, listener, transport)
        }
    }

    private func accept(
        _ connection: SimulatedConnection, _ listener: SimulatedListener, _ transport: SimulatedTransport
    ) {
        let server = transport.makeConnection(peer: "\(runtime.name)#\(connection.id)", delegate: nil)
        server.state = .open
        let pipe = network.makePipe(client: connection, server: server)
        server.attach(pipe, isClient: false)
        // Ahead of anything that the acceptor sends: the peer's side opens first.
        pipe.sendOpen()
        if let delegate = listener.accept(server) {
            server.delegate = delegate
        } else {
            server.close(graceful: true)
        }
    }
}

/// An address that a node listens on.
final class SimulatedListener: Listener {
    let endpoint: Endpoint
    let runtime: SimulatedRuntime
    let accept: (any Connection) -> (any ConnectionDelegate)?
    var transport: SimulatedTransport?
    private unowned let network: SimulatedNetwork

    init(
        network: SimulatedNetwork, runtime: SimulatedRuntime, endpoint: Endpoint,
        accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) {
        self.network = network
        self.runtime = runtime
        self.endpoint = endpoint
        self.accept = accept
    }

    func close() { network.stopListening(self) }
}
