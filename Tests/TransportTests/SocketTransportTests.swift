import BSON
import Core
import Foundation
import LiveRuntime
import Testing

@testable import SocketTransport

/// Records what a server's connections get, on the server's loop, and lets a task there wait for it.
private final class Recorder: ConnectionDelegate {
    private let runtime: LiveRuntime
    var connections: [any Connection] = []
    var received: [UInt8] = []
    var calls = 0
    var closes: [CloseReason] = []
    var echoes = false
    private var waiting: (isMet: () -> Bool, continuation: UnsafeContinuation<Bool, Never>)?

    init(_ runtime: LiveRuntime) { self.runtime = runtime }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        received += messages
        calls += 1
        if echoes {
            connection.output.append(messages)
            connection.flush()
        }
        changed()
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        closes.append(reason)
        changed()
    }

    func accept(_ connection: any Connection) -> (any ConnectionDelegate)? {
        connections.append(connection)
        changed()
        return self
    }

    private func changed() {
        guard let waiting, waiting.isMet() else { return }
        self.waiting = nil
        waiting.continuation.resume(returning: true)
    }

    /// Waits until `isMet`; false after a time that says it never will be.
    func wait(until isMet: @escaping () -> Bool) async -> Bool {
        if isMet() { return true }
        let guardTimer = runtime.schedule(after: .seconds(20)) { [self] in
            let continuation = waiting.take()?.continuation
            continuation?.resume(returning: false)
        }
        defer { runtime.cancel(guardTimer) }
        return await withUnsafeContinuation { waiting = (isMet, $0) }
    }
}

@Suite("sockets")
struct SocketTransportTests {
    private func onLoop(
        log: MemoryLog = MemoryLog(), _ body: @escaping @Sendable (LiveRuntime) async throws -> Void
    ) async throws {
        let loop = try EventLoop.start(name: "sockets", log: log)
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(
                try await loop.callAsync { try await body(LiveRuntime(loop: loop, log: log)) })
        } catch {
            outcome = .failure(error)
        }
        await loop.shutdown()
        try outcome.get()
    }

    private static let anywhere = Endpoint(host: "127.0.0.1", port: 0)

    @Test("a peer that is killed is reported at once, also in the middle of a message", arguments: [true, false])
    func killedPeer(byReset: Bool) async throws {
        try await onLoop { runtime in
            let transport = SocketTransport(runtime: runtime)
            let recorder = Recorder(runtime)
            let listener = try transport.listen(on: Self.anywhere, accept: recorder.accept)
            let client = try RawSocket.client(port: listener.endpoint.port)
            let bytes = message(100) + message(100).prefix(50)
            #expect(write(client, bytes, bytes.count) == bytes.count)
            #expect(await recorder.wait { recorder.received.count == 100 })
            if byReset { RawSocket.reset(client) } else { close(client) }
            #expect(await recorder.wait { recorder.closes == [.remote] })
            #expect(transport.incomingConnections == 0)
        }
    }

    @Test("a message that arrives byte by byte is handed over once, when it is whole")
    func byteByByte() async throws {
        try await onLoop { runtime in
            let transport = SocketTransport(runtime: runtime)
            let recorder = Recorder(runtime)
            recorder.echoes = true
            let listener = try transport.listen(on: Self.anywhere, accept: recorder.accept)
            let client = try RawSocket.client(port: listener.endpoint.port)
            let bytes = message(60, filledWith: 3)
            for byte in bytes {
                #expect(write(client, [byte], 1) == 1)
                await runtime.sleep(for: .zero)
            }
            #expect(await recorder.wait { recorder.calls == 1 })
            var reply = [UInt8](repeating: 0, count: 60)
            #expect(recv(client, &reply, 60, Int32(MSG_WAITALL)) == 60)
            #expect(reply == bytes)
            close(client)
        }
    }

    @Test("connections above the limit are refused with one line in the log, and accepted again below it")
    func incomingLimit() async throws {
        let log = MemoryLog()
        try await onLoop(log: log) { runtime in
            var bounds = SocketTransport.Bounds()
            bounds.incomingConnectionsMax = 2
            let transport = SocketTransport(runtime: runtime, bounds: bounds)
            let recorder = Recorder(runtime)
            let listener = try transport.listen(on: Self.anywhere, accept: recorder.accept)
            let clientSide = Recorder(runtime)
            let connect = {
                transport.connect(to: listener.endpoint, timeout: .seconds(20), delegate: clientSide)
            }
            let first = connect()
            _ = connect()
            #expect(await recorder.wait { recorder.connections.count == 2 })
            _ = connect()
            _ = connect()
            #expect(await clientSide.wait { clientSide.closes == [.remote, .remote] })
            first.close(graceful: false)
            #expect(await recorder.wait { recorder.closes == [.remote] })
            _ = connect()
            #expect(await recorder.wait { recorder.connections.count == 3 })
        }
        #expect(log.lines.count == 1)
    }

    @Test("the file that a killed process left is replaced, one that is listened on is not, a long path is an error")
    func paths() async throws {
        let directory = try TemporaryDirectory()
        try await onLoop { runtime in
            let transport = SocketTransport(runtime: runtime)
            let endpoint = Endpoint(host: "\(directory.path)/a.sock", port: 0)
            // A bound socket that is closed leaves its file.
            let abandoned = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: endpoint.host.utf8) }
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(abandoned, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(status == 0)
            close(abandoned)
            let listener = try transport.listen(on: endpoint) { _ in nil }
            #expect(throws: TransportError.self) { try transport.listen(on: endpoint) { _ in nil } }
            listener.close()
            let long = Endpoint(host: "\(directory.path)/" + String(repeating: "x", count: 120), port: 0)
            #expect(throws: TransportError.self) { try transport.listen(on: long) { _ in nil } }
        }
    }

    @Test("the end of the loop closes every socket and reports it")
    func endOfLoop() async throws {
        let log = MemoryLog()
        let loop = try EventLoop.start(name: "ending", log: log)
        let made = try await loop.call {
            let runtime = LiveRuntime(loop: loop, log: log)
            let transport = SocketTransport(runtime: runtime)
            let recorder = Recorder(runtime)
            let listener = try transport.listen(on: Self.anywhere, accept: recorder.accept)
            _ = transport.connect(to: listener.endpoint, timeout: .seconds(20), delegate: recorder)
            return OnLoop((transport, recorder))
        }
        await loop.shutdown()
        // The server's end exists only if it was accepted in time.
        #expect(made.value.1.closes == Array(repeating: .local, count: 1 + made.value.1.connections.count))
        #expect(log.lines.isEmpty)
    }

    @Test("numeric addresses are parsed, others are looked up")
    func addresses() {
        #expect(SocketAddress(numeric: "127.0.0.1", port: 27017)?.description == "127.0.0.1:27017")
        #expect(SocketAddress(numeric: "::1", port: 80)?.description == "[::1]:80")
        #expect(SocketAddress(numeric: "[::1]", port: 80)?.description == "[::1]:80")
        #expect(SocketAddress(numeric: "localhost", port: 80) == nil)
        #expect(SocketAddress(numeric: "127.0.0.1", port: 70_000) == nil)
        guard case .addresses(let local) = SocketTarget(Endpoint(host: "localhost", port: 5)) else {
            Issue.record("localhost is not known without a look-up")
            return
        }
        #expect(local.map(\.description) == ["127.0.0.1:5", "[::1]:5"])
    }

    @Test("a name that nobody has is unreachable")
    func unknownName() async throws {
        try await onLoop { runtime in
            let transport = SocketTransport(runtime: runtime)
            let recorder = Recorder(runtime)
            // No name server may be asked for a label of 64 letters: the answer comes without one.
            let name = String(repeating: "a", count: 64) + ".example"
            _ = transport.connect(to: Endpoint(host: name, port: 1), timeout: .seconds(20), delegate: recorder)
            #expect(await recorder.wait { !recorder.closes.isEmpty })
            guard case .unreachable? = recorder.closes.first else {
                Issue.record("closed with \(recorder.closes)")
                return
            }
        }
    }
}
