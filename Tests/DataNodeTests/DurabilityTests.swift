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
    var isBehind = false
    var isFull = false
    var writeRefusal: ServerError? { isFull ? ServerError(.outOfDiskSpace, "the disk is full") : nil }
    func sync() { durableMark = appliedMark }
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

    @Test("waiting for the disk ends with wtimeout, which is no matter of maxTimeMS")
    func timeout() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        engine.isHeld = true
        let reply = try harness.run([
            "insert": "orders", "documents": [["_id": 1]], "writeConcern": ["j": true, "wtimeout": 50],
            "maxTimeMS": 500,
        ])
        let error = reply["writeConcernError"]?.asDocument
        #expect(error?["codeName"] == "WriteConcernTimeout")
        #expect(error?["errInfo"]?.asDocument?["wtimeout"] == true)
        engine.isHeld = false
    }

    @Test("a client's writes wait while the disk is behind, not when it is full, and as long as maxTimeMS at most")
    func behind() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(engine: engine)
        engine.isHeld = true
        engine.isBehind = true
        let late = harness.begin(Self.insert(1, j: false, maxTimeMS: 700))
        let reply = harness.begin(Self.insert(2, j: false))
        try harness.wait(.seconds(1))
        #expect(late()?["codeName"] == "MaxTimeMSExpired")
        #expect(reply() == nil)
        engine.isBehind = false
        engine.isHeld = false
        try harness.wait(.milliseconds(200))
        #expect(reply()?.isOK == true)
        engine.isBehind = true
        engine.isFull = true
        #expect(try harness.run(Self.insert(3, j: false))["writeErrors"] != nil)
        #expect(try harness.run(["find": "orders"]).batch.count == 1)
    }

    @Test("what an engine has synced of itself counts from then on, whatever is written behind it")
    func ownSyncs() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(setName: "rs", engine: engine)
        let (data, durability) = (harness.node.data, harness.node.data.durability)
        (durability.onAdvance, data.onAppend) = (nil, nil)
        func append() throws -> OpTime {
            let context = WriteContext(term: 1, wall: harness.node.runtime.wallClock, isReplicated: true)
            let note: Document = ["msg": "a test"]
            return try note.withView { try data.appendNoOp($0, context) }
        }
        let first = try append()
        engine.sync()
        durability.request()
        #expect(durability.optime == first)
        engine.isHeld = true
        _ = try append()
        durability.request()
        #expect(durability.optime == first)
        engine.isHeld = false
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

    @Test("what a flush has seen in the middle of a rollback is not called durable behind it")
    func flushInRollback() throws {
        let engine = HeldStorage()
        let harness = try NodeHarness(setName: "rs", engine: engine)
        let (data, durability) = (harness.node.data, harness.node.data.durability)
        (durability.onAdvance, data.onAppend) = (nil, nil)
        func append(_ term: Int64) throws -> OpTime {
            let context = WriteContext(term: term, wall: harness.node.runtime.wallClock, isReplicated: true)
            let note: Document = ["msg": "a test"]
            return try note.withView { try data.appendNoOp($0, context) }
        }
        let common = try append(1)
        _ = try append(1)
        let rollback = try RollbackOperation(data, to: common, rollbackID: 2)
        engine.sync()
        durability.request()
        guard case .done = try rollback.run(until: .distantFuture) else {
            Issue.record("the rollback did not end")
            return
        }
        engine.isHeld = true
        let other = try append(2)
        durability.request()
        try harness.wait(.milliseconds(1))
        #expect(durability.optime == common)
        engine.isHeld = false
        try harness.wait(.milliseconds(1))
        durability.request()
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
