import BSON
import CAllocations
import Core
import MemoryStorage
import Simulation
import Testing
import Wire

@testable import DataNode
@testable import Frontend

/// Whether this is a build with optimisation.
private var isOptimised: Bool {
    #if DEBUG
        false
    #else
        true
    #endif
}

/// How often a request allocates memory, from the message that a connection delivers to the reply in its output.
///
/// The numbers are what they are: whoever raises one says why in the same commit. They hold for builds with
/// optimisation, in which `scripts/test` runs everything.
@Suite(.enabled(if: isOptimised, "allocations are those of an optimised build"))
struct AllocationTests {
    private static let requests = 200

    @Test(
        "a request allocates no more than it did",
        arguments: [
            ("ping", 1), ("read", 1), ("insert", 1), ("update", 44), ("delete", 15), ("batch", 53),
        ])
    func threshold(_ name: String, _ most: Int) throws {
        let harness = try AllocationHarness()
        let messages = (0..<2 * Self.requests).map { harness.message(Self.command(name, $0)) }
        for message in messages[..<Self.requests] { try harness.handle(message) }
        let before = callocations_count()
        for message in messages[Self.requests...] { try harness.handle(message) }
        let allocations = Int(callocations_count() - before)
        try #require(allocations > 0, "nothing is counted")
        #expect((allocations + Self.requests / 2) / Self.requests <= most)
    }

    private static func command(_ name: String, _ index: Int) -> Document {
        let id = Value.int32(Int32(index))
        switch name {
        case "ping": return ["ping": 1]
        case "read": return ["find": "c", "filter": ["_id": id], "limit": 1, "singleBatch": true]
        case "insert":
            return ["insert": "c", "documents": [["_id": .int32(Int32(10_000 + index)), "x": 1]], "ordered": true]
        case "update":
            return ["update": "c", "updates": [["q": ["_id": id], "u": ["$inc": ["x": 1]]]]]
        case "delete": return ["delete": "c", "deletes": [["q": ["_id": id], "limit": 1]]]
        default: return ["find": "c", "filter": ["x": ["$gte": 0]], "limit": 20]
        }
    }
}

/// A standalone with a thousand documents, and a connection of which only the output is there.
private final class AllocationHarness {
    private let world = SimulatedWorld(seed: 1)
    private let node: Node
    private let connection = OutputOnly()
    private let client: ClientConnection
    private let session = Value.binary(subtype: 4, Array(0..<16))
    private var lastID: Int32 = 0

    init() throws {
        let runtime = world.addNode("a")
        let node = Node(
            runtime: runtime, transport: world.network.transport(for: runtime), engine: MemoryStorage(),
            options: NodeOptions(endpoint: Endpoint(host: "a", port: 27017)))
        self.node = node
        client = ClientConnection(frontend: node.frontend, connection: connection)
        var isStarted = false
        runtime.spawn("start") {
            try? await node.start()
            isStarted = true
        }
        try world.run(until: { isStarted }, atMost: .seconds(10), "the start")
        for start in 0..<10 {
            let documents = (0..<100).map { index -> Value in
                .document(["_id": .int32(Int32(start * 100 + index)), "x": 1, "text": "of some length"])
            }
            try handle(message(["insert": "c", "documents": .array(documents)]))
        }
    }

    func message(_ command: Document) -> ByteBuffer {
        let buffer = ByteBuffer()
        lastID += 1
        let writer = MessageWriter(message: buffer, requestID: lastID, responseTo: 0)
        command.withView { for field in $0 { writer.document.append(field.key, field.value) } }
        writer.document.append("lsid" as String, .document(["id": session]))
        writer.document.append("$db", string: "shop")
        writer.finish()
        return buffer
    }

    /// Handles a message, which is answered at once.
    func handle(_ message: ByteBuffer) throws {
        client.connection(connection, didReceive: message.bytes)
        let isAnswered = connection.output.count > 0 && connection.isOK
        connection.output.removeAll(keeping: 1 << 20)
        if !isAnswered { throw ServerError(.internalError, "the request failed, or was put off") }
    }
}

private final class OutputOnly: Connection {
    let id: UInt64 = 1
    let peerDescription = "a test"
    let output = ByteBuffer(capacity: 1 << 16)

    /// Whether the reply says so: read without an allocation.
    var isOK: Bool {
        let body = DocumentView(base: UnsafeRawPointer(output.base) + 21)
        return body["ok" as StaticString]?.asDouble == 1
    }

    func flush() {}
    var pendingOutputBytes: Int { 0 }
    func close(graceful: Bool) {}
    func setReading(_ enabled: Bool) {}
}
