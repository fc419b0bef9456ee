import BSON
import Core
import LoopbackTransport
import Testing

/// A runtime with virtual time on one thread, just enough for a transport.
private final class VirtualRuntime: NodeRuntime {
    private final class Mailbox: LoopMailbox, @unchecked Sendable {
        unowned let runtime: VirtualRuntime
        init(_ runtime: VirtualRuntime) { self.runtime = runtime }
        func enqueue(_ body: @escaping @Sendable () -> Void) { runtime.enqueue(body) }
    }

    private(set) var now = Instant.zero
    var wallClock: WallTime { WallTime(milliseconds: now.nanoseconds / 1_000_000) }
    let log: any LogSink = SilentLog()
    private var queue: [() -> Void] = []
    private var timers: [(deadline: Instant, token: TimerToken, body: () -> Void)] = []
    private var lastTimer: UInt64 = 0
    private(set) lazy var mailbox: any LoopMailbox = Mailbox(self)

    func randomNumber() -> UInt64 { 4 }
    func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken {
        lastTimer += 1
        let token = TimerToken(id: lastTimer)
        timers.append((deadline, token, body))
        return token
    }
    func cancel(_ timer: TimerToken) { timers.removeAll { $0.token == timer } }
    func enqueue(_ body: @escaping () -> Void) { queue.append(body) }
    func spawn(_ name: StaticString, _ body: @escaping () async -> Void) -> SpawnedTask {
        fatalError("a transport starts no task")
    }
    func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void) {
        work()
        enqueue(completion)
    }
    func preconditionOnLoop() {}

    /// Runs what is due within `duration` of virtual time.
    func run(for duration: Duration) {
        let end = now + duration
        while true {
            while !queue.isEmpty { queue.removeFirst()() }
            let next = timers.indices.min {
                (timers[$0].deadline, timers[$0].token.id) < (timers[$1].deadline, timers[$1].token.id)
            }
            guard let next, timers[next].deadline <= end else { break }
            let timer = timers.remove(at: next)
            now = max(now, timer.deadline)
            timer.body()
        }
        now = end
    }
}

private final class Side: ConnectionDelegate {
    let name: String
    let runtime: VirtualRuntime
    var trace: [String] = []
    var connection: (any Connection)?

    init(_ name: String, _ runtime: VirtualRuntime) {
        self.name = name
        self.runtime = runtime
    }

    private func note(_ text: String) { trace.append("\(runtime.now.nanoseconds / 1_000_000) ms: \(text)") }

    func connectionDidOpen(_ connection: any Connection) { note("opened") }
    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        note("received \(messages.count)")
    }
    func connectionDidClose(_ connection: any Connection, reason: CloseReason) { note("closed \(reason)") }

    func send(_ length: Int) {
        connection?.output.append(message(length))
        connection?.flush()
    }
}

/// Two nodes on one virtual runtime, connected.
private struct Pair {
    let runtime = VirtualRuntime()
    let network = LoopbackNetwork()
    let a: Side
    let b: Side
    let nodeA: LoopbackTransport
    let nodeB: LoopbackTransport
    let endpoint = Endpoint(host: "b", port: 27017)

    init(connected: Bool = true) throws {
        let (a, b) = (Side("a", runtime), Side("b", runtime))
        self.a = a
        self.b = b
        nodeA = LoopbackTransport(network: network, runtime: runtime, node: "a")
        nodeB = LoopbackTransport(network: network, runtime: runtime, node: "b")
        _ = try nodeB.listen(on: endpoint) {
            b.connection = $0
            return b
        }
        if connected {
            connect()
            runtime.run(for: .zero)
        }
    }

    func connect() { a.connection = nodeA.connect(to: endpoint, timeout: .seconds(1), delegate: a) }
}

@Suite("faults of the loopback network")
struct LoopbackTransportTests {
    @Test("latency delays each direction by its own time, and a shorter one does not overtake")
    func latency() throws {
        let pair = try Pair()
        pair.network.setFault(LoopbackFault(latency: .milliseconds(10)), from: "a", to: "b")
        pair.a.send(20)
        pair.network.setFault(LoopbackFault(latency: .milliseconds(2)), from: "a", to: "b")
        pair.a.send(30)
        pair.network.setFault(.none, from: "a", to: "b")
        pair.a.send(40)
        pair.b.send(50)
        pair.runtime.run(for: .milliseconds(20))
        #expect(pair.b.trace == ["10 ms: received 20", "10 ms: received 30", "10 ms: received 40"])
        #expect(pair.a.trace == ["0 ms: opened", "0 ms: received 50"])
    }

    @Test("a one-way partition keeps back one direction, and delivers in order when it heals")
    func oneWayPartition() throws {
        let pair = try Pair()
        pair.network.setFault(LoopbackFault(isBlocked: true), from: "a", to: "b")
        pair.a.send(20)
        pair.a.send(30)
        pair.b.send(50)
        pair.runtime.run(for: .milliseconds(5))
        #expect(pair.b.trace.isEmpty)
        #expect(pair.a.trace == ["0 ms: opened", "0 ms: received 50"])
        pair.network.setFault(.none, from: "a", to: "b")
        pair.a.send(40)
        pair.runtime.run(for: .milliseconds(5))
        #expect(pair.b.trace == ["5 ms: received 20", "5 ms: received 30", "5 ms: received 40"])
    }

    @Test("a close behind a partition is heard of when it heals")
    func closeBehindPartition() throws {
        let pair = try Pair()
        pair.network.setPartitioned(true, between: "a", and: "b")
        pair.a.send(20)
        pair.a.connection?.close(graceful: true)
        pair.runtime.run(for: .milliseconds(5))
        #expect(pair.a.trace.last == "0 ms: closed local")
        #expect(pair.b.trace.isEmpty)
        pair.network.setPartitioned(false, between: "a", and: "b")
        pair.runtime.run(for: .milliseconds(5))
        #expect(pair.b.trace == ["5 ms: received 20", "5 ms: closed remote"])
    }

    @Test("connecting over a partition times out, and the listener never hears of it")
    func connectOverPartition() throws {
        let pair = try Pair(connected: false)
        pair.network.setPartitioned(true, between: "a", and: "b")
        pair.connect()
        pair.runtime.run(for: .seconds(2))
        #expect(pair.a.trace == ["1000 ms: closed timedOut"])
        pair.network.setPartitioned(false, between: "a", and: "b")
        pair.runtime.run(for: .seconds(1))
        #expect(pair.b.connection == nil)
    }

    @Test("a connection given up while the other side takes it is closed there too")
    func givenUpInFlight() throws {
        let pair = try Pair(connected: false)
        pair.network.setFault(LoopbackFault(latency: .milliseconds(1500)), from: "a", to: "b")
        pair.connect()
        pair.runtime.run(for: .seconds(5))
        #expect(pair.a.trace == ["1000 ms: closed timedOut"])
        #expect(pair.b.trace == ["2500 ms: closed remote"])
    }

    @Test("a dropped connection is reported to both sides at once, also to one that does not read")
    func dropped() throws {
        let pair = try Pair()
        pair.b.connection?.setReading(false)
        pair.a.send(20)
        pair.network.dropConnections(between: "b", and: "a")
        pair.runtime.run(for: .zero)
        #expect(pair.a.trace.last == "0 ms: closed failed(\"connection reset\")")
        #expect(pair.b.trace == ["0 ms: closed failed(\"connection reset\")"])
    }

    @Test("a node that stops takes its listeners and connections along")
    func closeAll() throws {
        let pair = try Pair()
        pair.nodeB.closeAll()
        pair.runtime.run(for: .zero)
        #expect(pair.a.trace == ["0 ms: opened", "0 ms: closed remote"])
        #expect(pair.b.trace == ["0 ms: closed local"])
        pair.connect()
        pair.runtime.run(for: .zero)
        #expect(pair.a.trace.last?.contains("unreachable") == true)
    }

    @Test("what happens on one runtime happens in the same order each time")
    func repeats() throws {
        func run() throws -> [String] {
            let pair = try Pair()
            var generator = SplitMix64(seed: 42)
            for _ in 0..<300 {
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: pair.network.setPartitioned(Bool.random(using: &generator), between: "a", and: "b")
                case 1:
                    let latency = Duration.milliseconds(Int.random(in: 0..<5, using: &generator))
                    pair.network.setFault(LoopbackFault(latency: latency), from: "b", to: "a")
                case 2, 3: pair.a.send(Int.random(in: 16..<500, using: &generator))
                case 4: pair.b.send(Int.random(in: 16..<500, using: &generator))
                default: pair.connect()
                }
                pair.runtime.run(for: .milliseconds(1))
            }
            return pair.a.trace + pair.b.trace
        }
        let first = try run()
        #expect(first.count > 100)
        #expect(try run() == first)
    }
}
