public import Core

/// Messages between the nodes of one process, without sockets. The smallest transport, and the model for others.
///
/// Nodes find one another through the `LoopbackNetwork` they share, whether they live on one loop or on several.
/// Between loops the bytes of a flush are copied once, into a buffer that is handed over.
///
/// Whoever makes one ends it with `closeAll`, on the node's loop: until then the network and its connections keep it
/// alive, and peers of a loop that just stopped would never hear of it.
public final class LoopbackTransport: Transport {
    let network: LoopbackNetwork
    let runtime: any NodeRuntime
    /// The node's name in the network: what faults are set for.
    public let node: String
    let connectionOutputBytesMax: Int
    private var connections: [UInt64: LoopbackConnection] = [:]
    private var listeners: [LoopbackListener] = []
    private var lastConnection: UInt64 = 0
    private var isClosed = false

    public init(
        network: LoopbackNetwork, runtime: any NodeRuntime, node: String,
        connectionOutputBytesMax: Int = Limits.connectionOutputBytesMax
    ) {
        self.network = network
        self.runtime = runtime
        self.node = node
        self.connectionOutputBytesMax = connectionOutputBytesMax
    }

    public func listen(
        on endpoint: Endpoint, accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws -> any Listener {
        let listener = try LoopbackListener(transport: self, endpoint: endpoint, accept: accept)
        listeners.append(listener)
        return listener
    }

    public func connect(
        to endpoint: Endpoint, timeout: Duration, delegate: any ConnectionDelegate
    ) -> any Connection {
        let connection = LoopbackConnection(transport: self, id: nextID(), peer: "\(endpoint)", delegate: delegate)
        connections[connection.id] = connection
        if isClosed {
            connection.abort(.local)
        } else if let door = network.door(at: endpoint) {
            let (near, far) = network.makeEnds(from: node, runtime.mailbox, to: door)
            connection.open(through: door, near: near, far: far, timeout: timeout)
        } else {
            connection.abort(.unreachable("nobody listens on \(endpoint)"))
        }
        return connection
    }

    /// Closes all listeners and connections at once, as a killed process would: the peers are told. Connections that
    /// are asked for later close at once.
    public func closeAll() {
        isClosed = true
        for listener in listeners { listener.close() }
        for id in connections.keys.sorted() { connections[id]?.close(graceful: false) }
    }

    // MARK: For connections and listeners

    func admit(
        _ end: LoopbackEnd, from peer: LoopbackEnd, _ accept: (any Connection) -> (any ConnectionDelegate)?
    ) {
        let connection = LoopbackConnection(transport: self, id: nextID(), peer: peer.node, delegate: nil)
        connections[connection.id] = connection
        connection.accepted(by: accept, near: end, far: peer)
    }

    func forget(_ connection: LoopbackConnection) { connections[connection.id] = nil }

    func forget(_ listener: LoopbackListener) { listeners.removeAll { $0 === listener } }

    private func nextID() -> UInt64 {
        lastConnection += 1
        return lastConnection
    }
}

/// A node's place in the network where others may connect.
final class LoopbackListener: Listener {
    private(set) var endpoint: Endpoint
    private let transport: LoopbackTransport
    private let door: LoopbackDoor
    private var accept: ((any Connection) -> (any ConnectionDelegate)?)?

    init(
        transport: LoopbackTransport, endpoint: Endpoint,
        accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws(TransportError) {
        self.transport = transport
        self.accept = accept
        door = LoopbackDoor(node: transport.node, mailbox: transport.runtime.mailbox)
        self.endpoint = try transport.network.open(door, at: endpoint)
        door.listener = self
    }

    func close() {
        guard accept != nil else { return }
        accept = nil
        door.listener = nil
        transport.network.closeDoor(at: endpoint)
        transport.forget(self)
    }

    func admit(_ end: LoopbackEnd, from peer: LoopbackEnd) {
        guard let accept else { return }
        transport.admit(end, from: peer, accept)
    }
}
