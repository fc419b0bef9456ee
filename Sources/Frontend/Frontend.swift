internal import BSON
package import Core

/// What clients and members talk to: connections, dispatch, replies, cursors, sessions, `hello` and fail points, over a
/// `Service` that brings the commands.
///
/// Confined to its runtime's loop.
package final class Frontend {
    package let runtime: any NodeRuntime
    package let transport: any Transport
    package let settings: FrontendSettings
    /// What stands behind it; set once, before it listens.
    package unowned(unsafe) var service: (any Service)!

    package var commands = CommandTable()
    package let sessions = SessionRegistry()
    package let topology: TopologyState
    package let cursors: CursorRegistry
    package let failPoints = FailPoints()
    package var counters = FrontendCounters()
    /// Where replies go that nobody waits for.
    let scratch = ByteBuffer(capacity: 1024)

    private var listener: (any Listener)?
    private var connections: [UInt64: ClientConnection] = [:]
    private var innerConnections: UInt64 = 0
    private var lastOperationID: Int32 = 0
    /// Commands are answered that the node is shutting down.
    package var isShuttingDown = false
    /// Everything is closed.
    package var isStopped = false

    /// - Parameter own: the commands that the frontend runs without its service's contexts.
    package init(
        runtime: any NodeRuntime, transport: any Transport, settings: FrontendSettings,
        own: [Command<RequestContext>] = FrontendCommands.all
    ) {
        self.runtime = runtime
        self.transport = transport
        self.settings = settings
        topology = TopologyState(runtime: runtime)
        cursors = CursorRegistry(runtime: runtime)
        for command in own { commands.add(command) { FrontendCommand($0, as: $1) } }
    }

    /// Starts to listen.
    /// - Throws: `TransportError` when the address cannot be had.
    package func listen() throws {
        listener = try transport.listen(on: settings.endpoint) { [unowned self] connection in accept(connection) }
    }

    /// Where it listens, once started.
    package var endpoint: Endpoint { listener?.endpoint ?? settings.endpoint }
    /// The name under which others reach it.
    package var advertisedName: String {
        Endpoint(host: settings.advertisedHost ?? settings.endpoint.host, port: endpoint.port).description
    }

    package var connectionCount: Int { connections.count }
    /// The accepted connections, oldest first.
    package var clientConnections: [ClientConnection] { connections.sorted { $0.key < $1.key }.map(\.value) }

    private func accept(_ connection: any Connection) -> (any ConnectionDelegate)? {
        guard !isShuttingDown, connections.count < Limits.incomingConnectionsMax else { return nil }
        let client = ClientConnection(frontend: self, connection: connection)
        connections[connection.id] = client
        counters.connectionsCreated += 1
        return client
    }

    func connectionDidClose(_ connection: ClientConnection) { connections[connection.id] = nil }

    /// Closes the listener and every connection.
    package func close(graceful: Bool) {
        isShuttingDown = true
        isStopped = true
        listener?.close()
        for connection in clientConnections { connection.connection.close(graceful: graceful) }
    }

    /// Numbers the program's own connections apart from those of a transport.
    func nextInnerConnection() -> UInt64 {
        innerConnections += 1
        return 1 << 63 | innerConnections
    }

    /// Numbers the operations of this node.
    func nextOperationID() -> Int32 {
        lastOperationID = lastOperationID == .max ? 1 : lastOperationID + 1
        return lastOperationID
    }

    /// Lets everything else that waits for the loop run once.
    package func yieldLoop() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            runtime.enqueue { continuation.resume() }
        }
    }
}

/// How a frontend is set up.
package struct FrontendSettings: Sendable {
    /// Where it listens. Port 0 lets the transport choose.
    package var endpoint: Endpoint
    /// The host name under which clients and members reach it; nil: that of `endpoint`.
    package var advertisedHost: String?
    /// Whether `configureFailPoint` and the like are there.
    package var enableTestCommands: Bool

    package init(endpoint: Endpoint, advertisedHost: String? = nil, enableTestCommands: Bool = false) {
        self.endpoint = endpoint
        self.advertisedHost = advertisedHost
        self.enableTestCommands = enableTestCommands
    }
}

/// What a frontend counts, for `serverStatus`.
package struct FrontendCounters {
    package var requests: UInt64 = 0
    package var malformedMessages: UInt64 = 0
    package var connectionsCreated: UInt64 = 0
    /// Bytes of messages as they are handled, and as they travelled.
    package var bytesIn = 0
    package var bytesOut = 0
    package var physicalBytesIn = 0
    package var compressionSaved = 0
    /// Commands that have failed.
    package var failures: Int64 = 0
}

/// The commands that every service has.
package enum FrontendCommands {
    package static var all: [Command<RequestContext>] { connections + information }

    /// What is about connections and sessions.
    package static var connections: [Command<RequestContext>] {
        HelloCommand.all + SessionCommands.all + [ConfigureFailPoint.command]
    }

    /// What is about the server. A service that watches its commands, as a profiler does, runs them as its own.
    package static var information: [Command<RequestContext>] {
        InformationCommands.all + AuthenticationCommands.all + AbsentCommands.all
    }
}
