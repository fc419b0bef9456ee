import BSON
import Core
import MemoryStorage
import DataNode
import Simulation

/// One node under virtual time, asked directly.
final class NodeHarness {
    let world: SimulatedWorld
    private let runtime: SimulatedRuntime
    let node: Node

    /// - Parameter setName: makes it a member without a configuration.
    init(
        seed: UInt64 = 1, setName: String? = nil, enableTestCommands: Bool = false,
        engine: any StorageEngine = MemoryStorage()
    ) throws {
        world = SimulatedWorld(seed: seed)
        runtime = world.addNode("a")
        var options = NodeOptions(endpoint: Endpoint(host: "a", port: 27017))
        options.replicaSetName = setName
        options.enableTestCommands = enableTestCommands
        node = Node(
            runtime: runtime, transport: world.network.transport(for: runtime), engine: engine,
            electionPolicy: NeverStands(), options: options)
        let node = node
        try perform { try await node.start() }
    }

    /// Runs a command and returns its reply.
    func run(_ command: Document, database: String = "shop") throws -> Document {
        let node = node
        return try perform { await node.run(command, database: database) }
    }

    /// Begins to run a command; the closure tells its reply when there is one.
    func begin(_ command: Document, database: String = "shop") -> () -> Document? {
        let node = node
        var reply: Document?
        runtime.spawn("test command") { reply = await node.run(command, database: database) }
        return { reply }
    }

    /// Lets virtual time pass.
    func wait(_ time: Duration) throws {
        let runtime = runtime
        try perform { await runtime.sleep(for: time) }
    }

    private func perform<R>(_ body: @escaping () async throws -> R) throws -> R {
        var result: Result<R, any Error>?
        runtime.spawn("test body") {
            do { result = .success(try await body()) } catch { result = .failure(error) }
        }
        try world.run(until: { result != nil }, atMost: .seconds(600), "the test's body")
        guard let result else { throw ServerError(.internalError, "the body did not end") }
        return try result.get()
    }
}

private struct NeverStands: ElectionPolicy {
    var name: String { "never" }
    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision { .abstain }
}

extension Document {
    var isOK: Bool { self["ok"]?.asNumber == 1 }
    var code: Int64? { self["code"]?.asInteger }
    /// The documents of a reply's first or next batch.
    var batch: [Document] {
        let cursor = self["cursor"]?.asDocument
        return ((cursor?["firstBatch"] ?? cursor?["nextBatch"])?.asArray ?? []).compactMap(\.asDocument)
    }
    var cursorID: Int64? { self["cursor"]?.asDocument?["id"]?.asInteger }
}
