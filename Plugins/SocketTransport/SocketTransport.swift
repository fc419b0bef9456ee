import CUV
public import Core
public import LiveRuntime

/// Messages over TCP and Unix sockets, on a node's event loop.
///
/// An endpoint whose host begins with `/` is the path of a Unix socket. `localhost` is 127.0.0.1, then ::1; numeric
/// addresses are parsed, other names looked up on a helper thread. When the loop shuts down, all sockets are closed.
///
/// A peer that dies is noticed by what its system sends (end of stream or reset), at once; one whose machine vanishes
/// by keep-alive probes, or by the node's own heartbeats. While reading is off (`setReading`) neither is seen.
public final class SocketTransport: Transport {
    /// Bounds that a test may lower.
    public struct Bounds: Sendable {
        public var connectionOutputBytesMax = Limits.connectionOutputBytesMax
        public var incomingConnectionsMax = Limits.incomingConnectionsMax
        public init() {}
    }

    let runtime: LiveRuntime
    let bounds: Bounds
    /// Where bytes are read to when a connection is between messages. One for all: it is used within one callback.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.readBytesMax, alignment: 16)
    private var connections: [UInt64: SocketConnection] = [:]
    private var listeners: [ObjectIdentifier: SocketListener] = [:]
    private var lastConnection: UInt64 = 0
    private var incoming = 0
    private var hasWarnedOfIncoming = false
    private var hook: UInt64 = 0
    /// The loop is shutting down: nothing may be opened that would keep it from ending.
    private var isEnded = false

    /// To be made on the runtime's loop.
    public init(runtime: LiveRuntime, bounds: Bounds = Bounds()) {
        runtime.preconditionOnLoop()
        self.runtime = runtime
        self.bounds = bounds
        hook = runtime.loop.addShutdownHook { [weak self] in
            self?.isEnded = true
            self?.closeAll()
        }
    }

    deinit {
        runtime.loop.removeShutdownHook(hook)
        readBuffer.deallocate()
    }

    public func listen(
        on endpoint: Endpoint, accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws -> any Listener {
        let listener = try SocketListener(transport: self, endpoint: endpoint, accept: accept)
        listeners[ObjectIdentifier(listener)] = listener
        return listener
    }

    public func connect(
        to endpoint: Endpoint, timeout: Duration, delegate: any ConnectionDelegate
    ) -> any Connection {
        let connection = SocketConnection(transport: self, id: nextID(), delegate: delegate)
        connections[connection.id] = connection
        if isEnded { connection.abort(.local) } else { connection.start(to: endpoint, timeout: timeout) }
        return connection
    }

    /// Closes all listeners and connections at once; each connection reports it as closed by this side.
    public func closeAll() {
        for listener in Array(listeners.values) { listener.close() }
        for id in connections.keys.sorted() { connections[id]?.close(graceful: false) }
    }

    /// Accepted connections that are not closed yet.
    public var incomingConnections: Int { incoming }

    // MARK: For connections and listeners

    /// A connection for a stream that was accepted; nil, with the stream closed, when there are too many.
    func admit(_ handle: StreamHandle.Pointer, isPath: Bool) -> SocketConnection? {
        guard incoming < bounds.incomingConnectionsMax else {
            if !hasWarnedOfIncoming {
                hasWarnedOfIncoming = true
                runtime.log.log(.warning, "socket", "refusing connections: \(incoming) of clients and peers are open")
            }
            StreamHandle.discard(handle)
            return nil
        }
        hasWarnedOfIncoming = false
        incoming += 1
        let connection = SocketConnection(transport: self, id: nextID(), accepted: handle, isPath: isPath)
        connections[connection.id] = connection
        return connection
    }

    func forget(_ connection: SocketConnection) {
        guard connections.removeValue(forKey: connection.id) != nil else { return }
        if connection.wasAccepted { incoming -= 1 }
    }

    func forget(_ listener: SocketListener) { listeners[ObjectIdentifier(listener)] = nil }

    private func nextID() -> UInt64 {
        lastConnection += 1
        return lastConnection
    }
}
