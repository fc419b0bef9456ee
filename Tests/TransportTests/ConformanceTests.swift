import Conformance
import Core
import Foundation
import LiveRuntime
import LoopbackTransport
import SocketTransport
import Synchronization
import Testing

/// Runs one check of the suite on a client's loop against a server on the same loop or another.
private func runCheck(
    _ name: String, onOneLoop: Bool,
    _ subject:
        @escaping @Sendable (_ client: OnLoop<LiveRuntime>, _ server: OnLoop<LiveRuntime>) async throws ->
        OnLoop<TransportConformance.Subject>
) async throws {
    let log = MemoryLog()
    let clientLoop = try EventLoop.start(name: "client", log: log)
    let serverLoop = onOneLoop ? clientLoop : try EventLoop.start(name: "server", log: log)
    let outcome: Result<Void, any Error>
    do {
        let client = try await clientLoop.call { OnLoop(LiveRuntime(loop: clientLoop, log: log)) }
        let server = try await serverLoop.call { OnLoop(LiveRuntime(loop: serverLoop, log: log)) }
        let made = try await subject(client, server)
        try await clientLoop.callAsync { try await TransportConformance.run(name, on: made.value) }
        outcome = .success(())
    } catch {
        outcome = .failure(error)
    }
    await clientLoop.shutdown()
    await serverLoop.shutdown()
    try outcome.get()
    #expect(log.lines.isEmpty)
}

@Suite("the socket transport keeps the contract")
struct SocketConformanceTests {
    static let bound = 8 * 1024 * 1024

    @Sendable private static func subject(
        _ client: OnLoop<LiveRuntime>, _ server: OnLoop<LiveRuntime>, freeEndpoint: @escaping @Sendable () -> Endpoint,
        nobody: Endpoint, silent: Endpoint?
    ) async throws -> OnLoop<TransportConformance.Subject> {
        var bounds = SocketTransport.Bounds()
        bounds.connectionOutputBytesMax = bound
        let lowered = bounds
        let clientTransport = try await client.value.loop.call {
            OnLoop(SocketTransport(runtime: client.value, bounds: lowered))
        }
        let serverTransport = try await server.value.loop.call {
            OnLoop<any Transport>(SocketTransport(runtime: server.value, bounds: lowered))
        }
        return OnLoop(
            TransportConformance.Subject(
                client: clientTransport.value, clientRuntime: client.value, server: serverTransport,
                serverRuntime: OnLoop(server.value), freeEndpoint: freeEndpoint, nobody: nobody, silent: silent,
                connectionOutputBytesMax: bound))
    }

    @Test("over TCP, two loops", arguments: TransportConformance.checkNames)
    func overTCP(check: String) async throws {
        let refusing = try RawSocket(backlog: nil)
        let full = try RawSocket(backlog: 0)
        let nobody = Endpoint(host: "127.0.0.1", port: refusing.port)
        let silent = Endpoint(host: "127.0.0.1", port: full.port)
        try await runCheck(check, onOneLoop: false) { client, server in
            try await Self.subject(
                client, server, freeEndpoint: { Endpoint(host: "127.0.0.1", port: 0) }, nobody: nobody, silent: silent)
        }
        withExtendedLifetime((refusing, full)) {}
    }

    @Test("over TCP, one loop, by the name localhost", arguments: TransportConformance.checkNames)
    func onOneLoop(check: String) async throws {
        let refusing = try RawSocket(backlog: nil)
        let nobody = Endpoint(host: "localhost", port: refusing.port)
        try await runCheck(check, onOneLoop: true) { client, server in
            try await Self.subject(
                client, server, freeEndpoint: { Endpoint(host: "localhost", port: 0) }, nobody: nobody, silent: nil)
        }
        withExtendedLifetime(refusing) {}
    }

    @Test("over Unix sockets", arguments: TransportConformance.checkNames)
    func overPaths(check: String) async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path
        try await runCheck(check, onOneLoop: false) { client, server in
            let count = Atomic<Int>(0)
            return try await Self.subject(
                client, server,
                freeEndpoint: {
                    let number = count.add(1, ordering: .relaxed).newValue
                    return Endpoint(host: "\(path)/\(number).sock", port: 0)
                },
                nobody: Endpoint(host: "\(path)/nobody.sock", port: 0), silent: nil)
        }
        withExtendedLifetime(directory) {}
    }
}

@Suite("the loopback transport keeps the contract")
struct LoopbackConformanceTests {
    static let bound = 8 * 1024 * 1024

    @Test("over two loops", arguments: TransportConformance.checkNames)
    func overTwoLoops(check: String) async throws { try await run(check, onOneLoop: false) }

    @Test("on one loop", arguments: TransportConformance.checkNames)
    func onOneLoop(check: String) async throws { try await run(check, onOneLoop: true) }

    @Test("over two loops with latency", arguments: TransportConformance.checkNames)
    func withLatency(check: String) async throws {
        try await run(check, onOneLoop: false, latency: .milliseconds(1))
    }

    private func run(_ check: String, onOneLoop: Bool, latency: Duration = .zero) async throws {
        try await runCheck(check, onOneLoop: onOneLoop) { client, server in
            let network = LoopbackNetwork()
            for (from, to) in [("client", "server"), ("server", "client")] {
                network.setFault(LoopbackFault(latency: latency), from: from, to: to)
            }
            // A listener behind a link that loses everything: neither taken nor refused.
            network.setPartitioned(true, between: "client", and: "hidden")
            let silent = Endpoint(host: "hidden", port: 1)
            let hidden = OnLoop(
                LoopbackTransport(network: network, runtime: server.value, node: "hidden"))
            _ = try await server.value.loop.call {
                OnLoop(try hidden.value.listen(on: silent) { _ in nil })
            }
            let clientTransport = LoopbackTransport(
                network: network, runtime: client.value, node: "client", connectionOutputBytesMax: Self.bound)
            let serverTransport = LoopbackTransport(
                network: network, runtime: server.value, node: "server", connectionOutputBytesMax: Self.bound)
            let made = OnLoop([
                (client.value, clientTransport), (server.value, serverTransport), (server.value, hidden.value),
            ])
            for index in 0..<3 {
                _ = try await made.value[index].0.loop.call {
                    made.value[index].0.loop.addShutdownHook { made.value[index].1.closeAll() }
                }
            }
            return OnLoop(
                TransportConformance.Subject(
                    client: clientTransport, clientRuntime: client.value, server: OnLoop(serverTransport),
                    serverRuntime: OnLoop(server.value), freeEndpoint: { Endpoint(host: "server", port: 0) },
                    nobody: Endpoint(host: "server", port: 9), silent: silent, connectionOutputBytesMax: Self.bound))
        }
    }
}
