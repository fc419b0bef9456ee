public import Core

/// What every `Transport` must do, as checks that the author of one runs against it.
///
/// The checks are tasks on the client's loop: start them there (live: `EventLoop.callAsync`; simulated:
/// `runtime.spawn`). They need no test framework; each throws a `TransportConformanceFailure` that says what was
/// expected. Nothing sleeps: they wait for what must happen, and give up after `patience`.
public enum TransportConformance {
    /// The transport under test: two of its kind, which may be on one loop or on two.
    public struct Subject {
        /// The transport that connects.
        public var client: any Transport
        /// The runtime that it was made for.
        public var clientRuntime: any NodeRuntime
        /// Used on the server's loop only; the client's own transport and runtime will do as well.
        public var server: Confined<any Transport>
        /// The runtime of the transport that listens.
        public var serverRuntime: Confined<any NodeRuntime>
        /// Where a server may listen: port 0, or for a transport without ports a new place at each call.
        public var freeEndpoint: () -> Endpoint
        /// Where nobody listens.
        public var nobody: Endpoint
        /// Where a connection is neither taken nor refused; nil leaves the check out.
        public var silent: Endpoint?
        /// The bound on bytes the peer has not taken. Lower than the product's, or the check takes its memory.
        public var connectionOutputBytesMax: Int
        /// How long a check waits for something that must happen.
        public var patience: Duration = .seconds(20)

        /// What a check needs of the transport that it examines.
        public init(
            client: any Transport, clientRuntime: any NodeRuntime, server: Confined<any Transport>,
            serverRuntime: Confined<any NodeRuntime>, freeEndpoint: @escaping () -> Endpoint, nobody: Endpoint,
            silent: Endpoint?, connectionOutputBytesMax: Int
        ) {
            self.client = client
            self.clientRuntime = clientRuntime
            self.server = server
            self.serverRuntime = serverRuntime
            self.freeEndpoint = freeEndpoint
            self.nobody = nobody
            self.silent = silent
            self.connectionOutputBytesMax = connectionOutputBytesMax
        }
    }

    private static let checks: [(name: String, run: @Sendable (TransportStage) async throws -> Void)] = [
        ("messages of all sizes come back unchanged", echoesAllSizes),
        ("many messages arrive whole and in order", keepsOrder),
        ("messages that arrive together are handed over together", deliversBatches),
        ("what is flushed before the connection is open is sent", keepsEarlyMessages),
        ("a node that does not read gets its messages when it reads again", holdsMessagesWhileNotReading),
        ("connections are told apart by number", numbersConnections),
        ("a graceful close sends what was flushed, and both sides hear of it once", closesGracefully),
        ("a close by the server reaches the client once", reportsRemoteClose),
        ("a connection closed before it is open reports once and never opens", closesBeforeOpen),
        ("nobody listening is unreachable", reportsUnreachable),
        ("a connection that does not open times out", timesOut),
        ("a listener refuses a connection by having no delegate for it", refuses),
        ("a closed listener takes no more, its connections stay", closesListener),
        ("an endpoint is listened on once", reportsAddressInUse),
        ("a length that no message has closes the connection behind the good messages", closesMalformed),
        ("a peer that does not take its messages is cut off", closesTooSlow),
    ]

    /// The names of the checks, for a parameterised test.
    public static var checkNames: [String] { checks.map(\.name) }

    /// Runs one check. On the client's loop.
    /// - Throws: `TransportConformanceFailure`.
    public static func run(_ name: String, on subject: Subject) async throws {
        guard let check = checks.first(where: { $0.name == name }) else {
            throw TransportConformanceFailure("there is no check named \"\(name)\"")
        }
        let stage = TransportStage(subject)
        do {
            try await check.run(stage)
        } catch {
            await stage.clear()
            throw error
        }
        await stage.clear()
    }

    /// Runs all checks, one after the other. On the client's loop.
    public static func runAll(on subject: Subject) async throws {
        for name in checkNames { try await run(name, on: subject) }
    }
}

/// What a transport did not do.
public struct TransportConformanceFailure: Error, Sendable, CustomStringConvertible {
    /// What does not hold.
    public let description: String
    /// A failure with that description.
    public init(_ description: String) { self.description = description }
}

/// Throws unless `condition` holds.
func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw TransportConformanceFailure(message()) }
}
