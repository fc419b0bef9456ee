import BSON
import Core
import MemoryStorage
import Simulation
import Testing

@testable import Data
@testable import DataNode

/// An engine with a disk whose flushes end when the test lets them.
private final class HeldStorage: StorageEngine {
    struct Failed: Error {}

    private let inner = MemoryStorage()
    private(set) var durableMark: UInt64 = 0
    /// How many have begun.
    private(set) var flushes = 0
    var fails = false
    var isHeld = false {
        didSet {
            guard !isHeld else { return }
            let released = waiting
            waiting = []
            for flush in released { flush.resume() }
        }
    }
    private var waiting: [UnsafeContinuation<Void, Never>] = []

    func flush(upTo mark: UInt64) async throws {
        flushes += 1
        while isHeld {
            await withUnsafeContinuation { waiting.append($0) }
        }
        if fails { throw Failed() }
        durableMark = max(durableMark, mark)
    }

    var survivesRestart: Bool { true }
    func open() async throws { try await inner.open() }
    func close() async { await inner.close() }
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try inner.get(table, key) }
    func makeCursor(_ table: TableID) throws -> any StorageCursor { try inner.makeCursor(table) }
    func apply(_ batch: WriteBatch) throws { try inner.apply(batch) }
    var appliedMark: UInt64 { inner.appliedMark }
    func checkpoint() async throws {}
    func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    var statistics: Document { inner.statistics }
}

@Suite("Durability")
struct DurabilityTests {
    private static func insert(_ id: Int32, j: Bool, maxTimeMS: Int32? = nil) -> Document {
        var command: Document = [
            "insert": "orders", "documents": [["_id": .int32(id)]], "writeConcern": ["j": .bool(j)],
        ]
        if let maxTimeMS { command.append("maxTimeMS", .int32(maxTimeMS)) }
        return command
    }

    @Test("a standalone acknowledges j: true when the write is flushed, and anything else at once")
    func standalone() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        engine.isHeld = true
        #expect(try harness.run(Self.insert(1, j: false)).isOK)
        let reply = harness.begin(Self.insert(2, j: true))
        try harness.wait(.seconds(1))
        #expect(reply() == nil)
        engine.isHeld = false
        try harness.wait(.milliseconds(1))
        #expect(reply()?.isOK == true)
        #expect(reply()?["writeConcernError"] == nil)
    }

    @Test("waiting for the disk ends with maxTimeMS; the write stays")
    func deadline() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        engine.isHeld = true
        let reply = try harness.run(Self.insert(1, j: true, maxTimeMS: 50))
        #expect(reply["writeConcernError"]?.asDocument?["codeName"] == "MaxTimeMSExpired")
        #expect(reply["n"] == 1)
        engine.isHeld = false
        #expect(try harness.run(["find": "orders"]).batch.count == 1)
    }

    @Test("one flush is under way; what is written meanwhile shares the next")
    func sharing() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        engine.isHeld = true
        let before = engine.flushes
        let replies = (1...5 as ClosedRange<Int32>).map { id in
            let reply = harness.begin(Self.insert(id, j: true))
            try? harness.wait(.milliseconds(1))
            return reply
        }
        #expect(engine.flushes == before + 1)
        engine.isHeld = false
        try harness.wait(.milliseconds(1))
        #expect(engine.flushes == before + 2)
        #expect(replies.allSatisfy { $0()?.isOK == true })
    }

    @Test("a flush that fails stops the node, and nothing is acknowledged any more")
    func failure() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        var failure: (any Error)?
        harness.node.onFailure = { failure = $0 }
        engine.fails = true
        let reply = harness.begin(Self.insert(1, j: true))
        try harness.wait(.seconds(1))
        #expect(reply()?.isOK != true)
        #expect("\(failure.map { "\($0)" } ?? "")".contains("HeldStorage failed"))
        #expect(harness.node.isStopped)
        engine.fails = false
        #expect(!harness.node.data.durability.isCurrent)
    }

    @Test("a member calls an entry durable when it is flushed, and not what was taken back since the flush began")
    func branches() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(setName: "rs", engine: engine)
        let (data, durability) = (harness.node.data, harness.node.data.durability)
        durability.onAdvance = nil
        func append(_ term: Int64) throws -> OpTime {
            let context = WriteContext(term: term, wall: harness.node.runtime.wallClock, isReplicated: true)
            let note: Document = ["msg": "a test"]
            return try note.withView { try data.appendNoOp($0, context) }
        }
        data.onAppend = nil
        let first = try append(1)
        durability.request()
        try harness.wait(.milliseconds(1))
        #expect(durability.optime == first)
        engine.isHeld = true
        _ = try append(1)
        durability.request()
        try harness.wait(.milliseconds(1))
        #expect(durability.optime == first)
        durability.entriesTakenBack(behind: first)
        let other = try append(2)
        engine.isHeld = false
        try harness.wait(.milliseconds(1))
        #expect(durability.optime == first)
        durability.request()
        try harness.wait(.milliseconds(1))
        #expect(durability.optime == other)
    }

    @Test("what a node finds when it starts is flushed before it is shown")
    func start() throws {
        let engine = HeldStorage()
        _ = try NodeHarness(setName: "rs", engine: engine)
        #expect(engine.flushes == 1)
        #expect(engine.durableMark > 0)
    }
}
