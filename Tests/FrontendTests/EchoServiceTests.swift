import BSON
import Core
import EchoService
import Frontend
import Simulation
import Testing

/// A service without data behind the same frontend: what a data node is not needed for.
@Suite struct EchoServiceTests {
    private final class Harness {
        let world = SimulatedWorld(seed: 1)
        let service: EchoService
        private let runtime: SimulatedRuntime

        init() throws {
            runtime = world.addNode("a")
            service = EchoService(
                runtime: runtime, transport: world.network.transport(for: runtime),
                settings: FrontendSettings(endpoint: Endpoint(host: "a", port: 27017)))
            try service.frontend.listen()
        }

        func run(_ command: Document) throws -> Document {
            var reply: Document?
            let service = service
            runtime.spawn("test body") { reply = await service.frontend.run(command, database: "admin") }
            try world.run(until: { reply != nil }, atMost: .seconds(10), "the reply")
            return reply ?? [:]
        }
    }

    @Test("the frontend's own commands work over a service that has no data")
    func frontendCommands() throws {
        let harness = try Harness()
        let hello = try harness.run(["hello": 1])
        #expect(hello["ok"]?.asNumber == 1)
        #expect(hello["isWritablePrimary"] == true)
        #expect(hello["maxWireVersion"] == 25)
        #expect(try harness.run(["ping": 1])["ok"]?.asNumber == 1)
        #expect(try harness.run(["startSession": 1])["timeoutMinutes"] == 30)
    }

    @Test("a command that is put off sees the same request as one that is not", arguments: ["echo", "echoLater"])
    func puttingOff(_ name: String) throws {
        let harness = try Harness()
        let text = Value.string(String(repeating: "long enough to lie in the message's bytes, ", count: 100))
        #expect(try harness.run(Document { $0.append(name, text) })["echo"] == text)
    }

    @Test("what the service does not have is refused")
    func refused() throws {
        let harness = try Harness()
        #expect(try harness.run(["find": "c"])["code"] == 59)
        #expect(try harness.run(["ping": 1, "unheardOf": 1])["code"] == 40415)
        #expect(try harness.run(["hello": 1, "internalMember": ["setName": "a"]])["code"] == 76)
    }
}
