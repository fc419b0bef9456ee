import BSON
import Core
import Sharding
import Testing

@testable import Router

/// What becomes of a batch whose statements go to several shards.
@Suite struct WriteBatchTests {
    private func batch(_ count: Int, isOrdered: Bool) -> (ClientBatch, [Document]) {
        let documents = (0..<count).map { ["_id": .int32(Int32($0))] as Document }
        let bytes = ByteBuffer()
        for document in documents { document.withView { bytes.append($0.bytes) } }
        // The views point into memory that outlives the test.
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 8)
        copy.copyMemory(from: bytes.base, byteCount: bytes.count)
        var views: [DocumentView] = []
        var at = UnsafeRawPointer(copy)
        for _ in documents {
            views.append(DocumentView(base: at))
            at += DocumentView(base: at).byteCount
        }
        return (ClientBatch(.insert, views, isOrdered: isOrdered), documents)
    }

    private func reply(_ batch: ClientBatch) -> Document { Document { batch.write(to: $0) } }

    private static let stale: Value = [
        "ns": "d.c", "vReceived": ["t": .timestamp(Timestamp(seconds: 1, increment: 1)), "v": .timestamp(.zero)],
        "shardId": "s",
    ]

    @Test("errors have the client's indexes")
    func indexes() throws {
        let (batch, _) = batch(6, isOrdered: false)
        _ = try batch.take(["n": 2, "writeErrors": [["index": 1, "code": 11000, "errmsg": "twice"]]], for: [0, 2, 4])
        _ = try batch.take(["n": 3], for: [1, 3, 5])
        #expect(batch.isOver)
        let reply = reply(batch)
        #expect(reply["n"]?.asInteger == 5)
        #expect(reply["writeErrors"]?.asArray?.map { $0.asDocument?["index"]?.asInteger } == [2])
    }

    @Test("statements that a shard did not start stay, those of an ordered batch behind an error too")
    func unstarted() throws {
        let (ordered, _) = batch(5, isOrdered: true)
        let refusals = try ordered.take(
            ["n": 2, "writeErrors": [["index": 2, "code": 13388, "errInfo": Self.stale]]], for: [0, 1, 2, 3])
        #expect(refusals.count == 1)
        #expect(Array(ordered.pending) == [2, 3, 4])
        #expect(!ordered.isOver)
        let (unordered, _) = batch(5, isOrdered: false)
        _ = try unordered.take(
            ["n": 3, "writeErrors": [["index": 1, "code": 13388, "errInfo": Self.stale]]], for: [0, 1, 2, 3])
        #expect(Array(unordered.pending) == [1, 4])
        #expect(reply(unordered)["writeErrors"] == nil)
    }

    @Test("an ordered batch ends at an error, an unordered one goes on")
    func ends() {
        let error = ServerError(.badValue, "no")
        let (ordered, _) = batch(3, isOrdered: true)
        ordered.fail(0, error)
        #expect(ordered.isOver)
        let (unordered, _) = batch(3, isOrdered: false)
        unordered.fail(0, error)
        #expect(!unordered.isOver)
        unordered.done([1, 2])
        #expect(unordered.isOver)
    }
}
