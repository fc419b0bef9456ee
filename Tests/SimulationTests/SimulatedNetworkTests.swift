import BSON
import Core
import Testing

@testable import Simulation

/// Records what a connection's delegate is told.
private final class Recorder: ConnectionDelegate {
    var opened = 0
    var messages: [[UInt8]] = []
    var closed: [CloseReason] = []
    var connection: (any Connection)?
    var onMessage: (() -> Void)?

    func connectionDidOpen(_ connection: any Connection) { opened += 1 }
    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        var offset = 0
        while offset < messages.count {
            let length = Int(Int32(littleEndian: messages.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
            self.messages.append(Array(messages[offset..<offset + length]))
            offset += length
        }
        onMessage?()
    }
    func connectionDidClose(_ connection: any Connection, reason: CloseReason) { closed.append(reason) }
}

private func message(_ number: UInt8, length: Int = 20) -> [UInt8] {
    [UInt8(length), 0, 0, 0] + [UInt8](repeating: number, count: length - 4)
}

/// A client and a server with one connection between them.
private struct Pair {
    let world: SimulatedWorld
    let client: SimulatedRuntime
    let server: SimulatedRuntime
    let here = Recorder()
    let there = Recorder()
    let connection: any Connection

    init(seed: UInt64 = 1, configure: (SimulatedWorld) -> Void = { _ in }) throws {
        world = SimulatedWorld(seed: seed)
        configure(world)
        client = world.addNode("client")
        server = world.addNode("server")
        let there = there
        _ = try world.network.transport(for: server).listen(on: Endpoint(host: "server", port: 7)) { accepted in
            there.connection = accepted
            return there
        }
        connection = world.network.transport(for: client)
            .connect(to: Endpoint(host: "server", port: 7), timeout: .seconds(5), delegate: here)
    }

    func send(_ numbers: ClosedRange<UInt8>) {
        for number in numbers {
            connection.output.append(message(number))
            connection.flush()
        }
    }
}

struct SimulatedNetworkTests {
    @Test("messages sent before the connection is open arrive in order after it")
    func early() throws {
        let pair = try Pair()
        pair.send(1...9)
        try pair.world.run(for: .seconds(1))
        #expect(pair.here.opened == 1)
        #expect(pair.there.messages.map { $0[4] } == Array(1...9))
        #expect(pair.connection.pendingOutputBytes == 0)
    }

    @Test("messages of one connection keep their order whatever the delays", arguments: UInt64(1)...10)
    func order(seed: UInt64) throws {
        let pair = try Pair(seed: seed) {
            $0.network.defaultLink.tailProbability = 0.3
            $0.network.defaultLink.lossProbability = 0.1
            $0.network.defaultLink.splitProbability = 0.5
        }
        pair.send(1...100)
        try pair.world.run(for: .seconds(60))
        #expect(pair.there.messages.map { $0[4] } == Array(1...100))
    }

    @Test("nobody listens: the connection closes as unreachable")
    func refused() throws {
        let world = SimulatedWorld(seed: 1)
        let node = world.addNode("a")
        let recorder = Recorder()
        _ = world.network.transport(for: node)
            .connect(to: Endpoint(host: "nowhere", port: 7), timeout: .seconds(5), delegate: recorder)
        try world.run(for: .seconds(1))
        #expect(recorder.opened == 0)
        #expect(recorder.closed == [.unreachable("nowhere:7: connection refused")])
    }

    @Test("connecting across a partition times out")
    func connectTimeout() throws {
        let pair = try Pair { $0.network.partition([["client"], ["server"]]) }
        try pair.world.run(for: .seconds(4))
        #expect(pair.here.closed == [])
        try pair.world.run(for: .seconds(2))
        #expect(pair.here.closed == [.timedOut])
        #expect(pair.there.connection == nil)
    }

    @Test("a partition stalls an open connection and healing lets it go on")
    func stall() throws {
        let pair = try Pair()
        pair.send(1...2)
        try pair.world.run(for: .seconds(1))
        pair.world.network.block(from: "client", to: "server")
        pair.send(3...5)
        // One-way: the other direction still works.
        pair.there.connection?.output.append(message(50))
        pair.there.connection?.flush()
        try pair.world.run(for: .seconds(30))
        #expect(pair.there.messages.count == 2)
        #expect(pair.here.messages.count == 1)
        #expect(pair.connection.pendingOutputBytes == 60)
        pair.world.network.heal()
        pair.send(6...6)
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.map { $0[4] } == Array(1...6))
        #expect(pair.here.closed == [])
    }

    @Test("a stalled connection breaks after the network's limit")
    func stallMax() throws {
        let pair = try Pair { $0.network.stallMax = .seconds(10) }
        try pair.world.run(for: .seconds(1))
        pair.world.network.block(from: "client", to: "server")
        pair.send(1...1)
        try pair.world.run(for: .seconds(11))
        #expect(pair.here.closed.count == 1)
    }

    @Test("a graceful close delivers what was flushed, then reports once on both sides, never inside close")
    func gracefulClose() throws {
        let pair = try Pair()
        try pair.world.run(for: .seconds(1))
        pair.send(1...5)
        pair.connection.close(graceful: true)
        #expect(pair.here.closed == [])
        pair.connection.close(graceful: true)
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.count == 5)
        #expect(pair.here.closed == [.local])
        #expect(pair.there.closed == [.remote])
    }

    @Test("a broken length closes the connection as malformed, behind the whole messages in front of it")
    func malformed() throws {
        for length: Int32 in [0, 15, -1, Int32(Limits.messageBytesMax) + 1] {
            let pair = try Pair()
            pair.connection.output.append(message(1))
            pair.connection.output.append(littleEndian: length)
            pair.connection.output.append([UInt8](repeating: 0, count: 12))
            pair.connection.flush()
            try pair.world.run(for: .seconds(1))
            #expect(pair.there.messages.count == 1)
            #expect(pair.there.closed == [.malformed("a message claims a length of \(length) bytes")])
            #expect(pair.here.closed == [.remote])
        }
    }

    @Test("a message that arrives in two parts is handed on whole")
    func parts() throws {
        let pair = try Pair()
        let bytes = message(9, length: 100)
        pair.connection.output.append(Array(bytes[..<30]))
        pair.connection.flush()
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.isEmpty)
        pair.connection.output.append(Array(bytes[30...]))
        pair.connection.flush()
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages == [bytes])
    }

    @Test("a killed process's connections close at its peers; a dead host's stay half-open until it is back")
    func death() throws {
        let reset = try Pair()
        try reset.world.run(for: .seconds(1))
        reset.world.crash("server", connections: .reset)
        try reset.world.run(for: .seconds(1))
        #expect(reset.here.closed == [.failed("connection reset by peer")])

        let halfOpen = try Pair()
        try halfOpen.world.run(for: .seconds(1))
        halfOpen.world.crash("server", connections: .halfOpen)
        halfOpen.send(1...3)
        try halfOpen.world.run(for: .seconds(100))
        #expect(halfOpen.here.closed == [])
        let again = Recorder()
        _ = halfOpen.world.network.transport(for: halfOpen.client)
            .connect(to: Endpoint(host: "server", port: 7), timeout: .seconds(3), delegate: again)
        try halfOpen.world.run(for: .seconds(4))
        #expect(again.closed == [.timedOut])
        halfOpen.world.restart("server")
        halfOpen.send(4...4)
        try halfOpen.world.run(for: .seconds(1))
        #expect(halfOpen.here.closed == [.failed("connection reset by peer")])
    }

    @Test("a reset by the network is reported on both sides and loses what was under way")
    func networkReset() throws {
        let pair = try Pair()
        try pair.world.run(for: .seconds(1))
        pair.send(1...3)
        pair.world.network.resetConnections(between: "server", and: "client")
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.isEmpty)
        #expect(pair.here.closed == [.failed("connection reset by the network")])
        #expect(pair.there.closed == [.failed("connection reset by the network")])
    }

    @Test("a peer that does not read holds messages back, and gets them in order when it reads again")
    func backPressure() throws {
        let pair = try Pair()
        try pair.world.run(for: .seconds(1))
        pair.there.connection?.setReading(false)
        pair.send(1...4)
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.isEmpty)
        #expect(pair.connection.pendingOutputBytes == 80)
        pair.there.connection?.setReading(true)
        try pair.world.run(for: .seconds(1))
        #expect(pair.there.messages.map { $0[4] } == [1, 2, 3, 4])
    }

    @Test("a sender whose peer takes too little is cut off as too slow")
    func tooSlow() throws {
        let pair = try Pair()
        try pair.world.run(for: .seconds(1))
        pair.there.connection?.setReading(false)
        let size = 40_000_000
        for _ in 0..<4 {
            let at = pair.connection.output.extend(by: size)
            at.initializeMemory(as: UInt8.self, repeating: 0, count: size)
            pair.connection.output.set(littleEndian: Int32(size), at: pair.connection.output.count - size)
            pair.connection.flush()
        }
        try pair.world.run(for: .seconds(1))
        #expect(pair.here.closed == [.tooSlow])
    }

    @Test("an address is taken while somebody listens on it, and port 0 is chosen")
    func listening() throws {
        let world = SimulatedWorld(seed: 1)
        let transport = world.network.transport(for: world.addNode("a"))
        let listener = try transport.listen(on: Endpoint(host: "a", port: 7)) { _ in nil }
        #expect(throws: TransportError.self) { try transport.listen(on: Endpoint(host: "a", port: 7)) { _ in nil } }
        listener.close()
        _ = try transport.listen(on: Endpoint(host: "a", port: 7)) { _ in nil }
        #expect(try transport.listen(on: Endpoint(host: "a", port: 0)) { _ in nil }.endpoint.port != 0)
    }

    @Test("a refused connection closes for the one that asked")
    func refusedByAcceptor() throws {
        let world = SimulatedWorld(seed: 1)
        _ = try world.network.transport(for: world.addNode("a")).listen(on: Endpoint(host: "a", port: 7)) { _ in nil }
        let recorder = Recorder()
        _ = world.network.transport(for: world.addNode("b"))
            .connect(to: Endpoint(host: "a", port: 7), timeout: .seconds(1), delegate: recorder)
        try world.run(for: .seconds(2))
        #expect(recorder.closed == [.remote])
    }
}
