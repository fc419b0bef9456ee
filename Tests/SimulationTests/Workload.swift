import BSON
import Core

@testable import Simulation

/// A chatty node for tests of the simulator: tasks in tasks, sleeps, streams, timers, and messages to its peers.
final class ChattyNode: ConnectionDelegate {
    let runtime: SimulatedRuntime
    let transport: SimulatedTransport
    let peers: [String]
    private(set) var received = 0
    private(set) var closed: [CloseReason] = []
    private var connections: [UInt64: any Connection] = [:]
    private var listener: (any Listener)?
    private var digest: UInt64 = 0

    init(_ runtime: SimulatedRuntime, peers: [String]) {
        self.runtime = runtime
        self.peers = peers
        transport = runtime.world.network.transport(for: runtime)
    }

    func start() {
        listener = try? transport.listen(on: Endpoint(host: runtime.name, port: 1)) { [self] connection in
            connections[connection.id] = connection
            return self
        }
        for peer in peers { runtime.spawn("talk to a peer") { [self] in await talk(to: peer) } }
        runtime.spawn("stream") { [self] in await stream() }
        tick()
    }

    private func tick() {
        runtime.schedule(after: .microseconds(Int64(runtime.random(below: 900)) + 100)) { [self] in
            digest = digest &* 31 &+ runtime.randomNumber()
            tick()
        }
    }

    private func talk(to peer: String) async {
        while true {
            let connection = transport.connect(
                to: Endpoint(host: peer, port: 1), timeout: .milliseconds(50), delegate: self)
            for round in 0..<20 {
                connection.output.append(message(words: 4 + Int(runtime.random(below: 30))))
                if round % 3 == 0 { connection.output.append(message(words: 5)) }
                connection.flush()
                await runtime.sleep(for: .microseconds(Int64(runtime.random(below: 2000))))
                runtime.spawn("nested") { [self] in
                    await runtime.sleep(for: .microseconds(Int64(digest % 500)))
                    digest ^= runtime.randomNumber()
                }
            }
            connection.close(graceful: runtime.random(below: 2) == 0)
        }
    }

    private func stream() async {
        let (stream, continuation) = AsyncStream<UInt64>.makeStream()
        runtime.spawn("feed the stream") { [runtime] in
            while true {
                continuation.yield(runtime.randomNumber())
                await runtime.sleep(for: .microseconds(300))
            }
        }
        for await number in stream { digest = digest &* 33 &+ number }
    }

    private func message(words: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: Int32(words * 4).littleEndian) { bytes.append(contentsOf: $0) }
        for _ in 1..<words {
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: runtime.randomNumber())) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        received += 1
        digest ^= Trace.hash(messages)
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        closed.append(reason)
        connections[connection.id] = nil
    }
}

/// Three chatty nodes with faults, for `milliseconds` of virtual time.
func runChattyWorld(
    seed: UInt64, shuffles: Bool = false, milliseconds: Int = 60, recording: Range<UInt64> = 0..<0
) throws -> SimulatedWorld {
    let world = SimulatedWorld(seed: seed, shufflesNodes: shuffles, recording: recording)
    world.network.defaultLink.tailProbability = 0.02
    world.network.defaultLink.splitProbability = 0.2
    world.network.defaultLink.resetProbability = 0.002
    let names = ["a", "b", "c"]
    for name in names {
        world.addNode(name) { runtime in ChattyNode(runtime, peers: names.filter { $0 != name }).start() }
    }
    func at(_ percent: Int) -> Instant { .zero + .milliseconds(milliseconds * percent / 100) }
    let schedule = FaultSchedule([
        ScheduledFault(at: at(20), .partition([["a"], ["b", "c"]])),
        ScheduledFault(at: at(30), .pause("c")),
        ScheduledFault(at: at(40), .heal),
        ScheduledFault(at: at(50), .crash("b", connections: seed % 2 == 0 ? .reset : .halfOpen)),
        ScheduledFault(at: at(60), .resume("c")),
        ScheduledFault(at: at(70), .restart("b")),
        ScheduledFault(at: at(80), .clockJump("a", .seconds(3))),
    ])
    try world.run(schedule, until: at(100))
    return world
}
