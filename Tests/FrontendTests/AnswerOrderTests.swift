import BSON
import Core
import EchoService
import Frontend
import Simulation
import Testing
import Wire

/// In which order a connection's commands are answered when one of them is put off.
@Suite struct AnswerOrderTests {
    @Test("a member's command that is put off does not hold up the next one")
    func member() throws {
        let harness = try OrderHarness()
        harness.send(["wait", "echoLater", "ping"], as: .member)
        try harness.run(untilAnswered: 2)
        #expect(harness.answered.sorted() == ["echoLater", "ping"])
        harness.released.fire()
        try harness.run(untilAnswered: 3)
        #expect(harness.answered.last == "wait")
    }

    @Test("a client's commands are answered in order")
    func client() throws {
        let harness = try OrderHarness()
        harness.send(["wait", "echoLater", "ping"], as: .client)
        try harness.world.run(for: .seconds(1))
        #expect(harness.answered == [] && harness.frontend.operationCount == 1)
        harness.released.fire()
        try harness.run(untilAnswered: 3)
        #expect(harness.answered == ["wait", "echoLater", "ping"])
    }

    @Test("currentOp shows each of a member's commands that wait; those of members are not interrupted")
    func operations() throws {
        let harness = try OrderHarness()
        harness.send(["wait", "wait", "hold"], as: .member)
        try harness.world.run(for: .seconds(1))
        harness.send(["ops"], as: .client)
        try harness.run(untilAnswered: 1)
        let shown = harness.shown.map { $0["command"]?.asDocument?.keys.first }
        #expect(shown == ["ops", "wait", "wait", "hold"])
        #expect(Set(harness.shown.compactMap { $0["opid"]?.asInteger }).count == 4)
        #expect(harness.shown.map { $0["msg"] == "waiting for write concern" } == [false, false, false, true])
        harness.frontend.interruptOperations { _ in true }
        try harness.world.run(for: .seconds(1))
        #expect(harness.frontend.operationCount == 3)
        harness.released.fire()
        try harness.run(untilAnswered: 3)
        #expect(harness.frontend.operationCount == 1)
    }

    @Test("a client's command that waits is interrupted, and the next one is not")
    func interruption() throws {
        let harness = try OrderHarness()
        harness.send(["wait", "echoLater"], as: .client)
        try harness.world.run(for: .seconds(1))
        harness.frontend.interruptOperations { _ in true }
        try harness.run(untilAnswered: 2)
        #expect(harness.answered == ["wait: 11601", "echoLater"])
    }

    @Test("up to the limit a member's commands run at once; what is sent beyond waits until one is answered")
    func limit() throws {
        let harness = try OrderHarness()
        harness.send(Array(repeating: "wait", count: Limits.peerOperationsMax), as: .member)
        harness.send(["ping"], as: .member)
        try harness.world.run(for: .seconds(1))
        #expect(harness.answered == [])
        #expect(harness.frontend.operationCount == Limits.peerOperationsMax)
        harness.released.fire()
        try harness.run(untilAnswered: Limits.peerOperationsMax + 1)
        #expect(harness.answered.count { $0 == "ping" } == 1)
        #expect(harness.frontend.operationCount == 0)
    }

    @Test("a reply that comes free while another one is written goes behind it, whole")
    func repliesDoNotMix() throws {
        let harness = try OrderHarness()
        harness.send(["hold", "hold", "release", "ping"], as: .member)
        try harness.run(untilAnswered: 4)
        #expect(harness.answered == ["release", "hold", "hold", "ping"])
    }

    @Test("the connection's end ends all that waits on its behalf")
    func end() throws {
        let harness = try OrderHarness()
        harness.send(["wait", "hold", "wait"], as: .member)
        try harness.world.run(for: .seconds(1))
        harness.close()
        try harness.world.run(for: .seconds(1))
        #expect(!harness.released.hasWaiters)
        #expect(harness.service.abandoned == [1])
    }

    @Test("a command that waits is not the one that a crash names", arguments: ["wait", "hold"] as [StaticString])
    func crashLine(_ name: StaticString) throws {
        let harness = try OrderHarness()
        harness.send([name], as: .client)
        try harness.world.run(for: .seconds(1))
        #expect(harness.frontend.operationCount == 1)
        #expect(!CrashReport.namesCommand)
        #expect(harness.namedWhileRunning)
    }

    @Test("each reply is compressed as its request was, whatever came between")
    func compression() throws {
        let harness = try OrderHarness(compressors: [.zstd])
        let long = String(repeating: "all work and no play ", count: 100)
        harness.send(["ping"], as: .member)
        try harness.run(untilAnswered: 1)
        harness.send(["echoLater"], as: .member, long)
        harness.send(["ping"], as: .member)
        try harness.run(untilAnswered: 3)
        #expect(harness.answered == ["ping", "ping", "echoLater"])
        #expect(harness.frontend.counters.compressionSaved > 1000)
    }
}

/// An echo service with some commands that wait, and a member's and a client's channel to it.
private final class OrderHarness {
    enum Side { case member, client }

    let world = SimulatedWorld(seed: 1)
    let service: EchoService
    let released: LoopSignal
    private let member: Channel
    private let client: Channel
    /// The commands in the order of their answers, with the code of those that failed.
    private(set) var answered: [String] = []
    private(set) var shown: [Document] = []
    /// Whether a crash would have named each command while it ran.
    fileprivate(set) var namedWhileRunning = true
    fileprivate var held: [() -> Void] = []

    var frontend: Frontend { service.frontend }

    init(compressors: [Compressor] = []) throws {
        let there = world.addNode("a")
        let here = world.addNode("b")
        let endpoint = Endpoint(host: "a", port: 27017)
        service = EchoService(
            runtime: there, transport: world.network.transport(for: there),
            settings: FrontendSettings(endpoint: endpoint))
        service.member = PeerIdentity(
            memberID: 1, incarnation: Incarnation(startedAt: WallTime(milliseconds: 1), nonce: 1))
        try service.frontend.listen()
        released = LoopSignal(runtime: there)
        var settings = Channel.Settings(connectTimeout: .seconds(1))
        settings.compressors = compressors
        let transport = world.network.transport(for: here)
        member = Channel(to: endpoint, over: transport, here, settings: settings)
        client = Channel(to: endpoint, over: transport, here, settings: settings)
        addCommands()
        member.introduce {
            $0.append("hello", int32: 1)
            $0.document("internalMember") { _ in }
        }
    }

    private func addCommands() {
        let commands: [Command<RequestContext>] = [
            Command("wait", .empty, help: "answers when it is released") { [unowned self] context in
                .later {
                    self.namedWhileRunning = self.namedWhileRunning && CrashReport.namesCommand
                    await self.released.wait(until: .distantFuture, on: context.connection)
                    try context.checkDeadline()
                }
            },
            Command("release", .empty, help: "lets the replies go that are held") { [unowned self] context in
                context.writer.append("before", int32: 1)
                let free = held
                held = []
                for release in free { release() }
                context.writer.append("after", int32: 1)
                return .done
            },
            Command("ops", .empty, help: "shows the operations") { [unowned self] context in
                shown = OperationReport().documents(context)
                return .done
            },
        ]
        for command in commands { frontend.commands.add(command) { FrontendCommand($0, as: $1) } }
        let hold = Command<RequestContext>("hold", .empty, help: "answers, and the reply is held") { [unowned self] _ in
            namedWhileRunning = namedWhileRunning && CrashReport.namesCommand
            return .held
        }
        frontend.commands.add(hold) { [unowned self] in HeldCommand($0, as: $1, self) }
    }

    /// All in flight at once.
    func send(_ names: [StaticString], as side: Side, _ argument: String = "") {
        for name in names {
            (side == .member ? member : client).request(timeout: nil, database: "admin") {
                $0.append(name, string: argument)
            } completion: { [unowned self] result in
                guard case .success(let reply) = result else { return }
                answered.append(reply.body["code"].flatMap { $0.asInteger }.map { "\(name): \($0)" } ?? "\(name)")
            }
        }
    }

    func run(untilAnswered count: Int) throws {
        try world.run(until: { self.answered.count >= count }, atMost: .seconds(10), "the answers")
    }

    func close() { member.close() }
}

/// A command whose reply is held until the test lets it go.
private final class HeldCommand: RegisteredCommand {
    private unowned let harness: OrderHarness

    init(_ command: Command<RequestContext>, as name: StaticString, _ harness: OrderHarness) {
        self.harness = harness
        super.init(name, command.traits, command.fields, help: command.help)
    }

    override func makeContext(_ call: RequestContext.Call) -> RequestContext { HeldContext(call, self, harness) }

    private final class HeldContext: RequestContext {
        private unowned let harness: OrderHarness

        init(_ call: Call, _ command: RegisteredCommand, _ harness: OrderHarness) {
            self.harness = harness
            super.init(call, command)
        }

        override func run() throws -> CommandOutcome { .held }

        override func hold(responseBytes: Int, _ completion: @escaping (ServerError?) -> Void) {
            connection.hold(for: 1)
            harness.held.append { [connection] in
                connection.release(1)
                completion(nil)
            }
        }
    }
}
