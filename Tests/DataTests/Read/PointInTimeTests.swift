import BSON
import Core
import Query
import Testing

@testable import Data

extension Fixture {
    /// The time of the last write.
    var time: Timestamp { store.oplog.last?.timestamp ?? .zero }

    /// Lets a majority have everything, and the wall clock move on.
    func commit(after seconds: Int64 = 0) throws {
        runtime.wallClock.milliseconds += seconds * 1000
        let note: Document = ["msg": "tick"]
        if seconds > 0 { _ = try note.withView { try store.appendNoOp($0, context) } }
        try store.onCommitPoint(try #require(store.oplog.last))
    }

    fileprivate func count(_ query: Document, at point: ReadPoint) throws -> Int64 {
        let command: Document = ["query": .document(query)]
        let operation = try command.withView {
            try CountOperation(store, Fixture.orders, $0, context: context.query, at: point)
        }
        while case .yield = try operation.run(until: .zero) {}
        return operation.n
    }

    fileprivate func distinct(_ key: String, at point: ReadPoint) throws -> [Value] {
        let command: Document = ["distinct": "orders", "key": .string(key)]
        let operation = try command.withView {
            try DistinctOperation(store, Fixture.orders, $0, context: context.query, at: point)
        }
        while case .yield = try operation.run(until: .zero) {}
        return operation.values
    }
}

@Suite("Reads at a point in time")
struct PointInTimeTests {
    private static let window = Duration.seconds(10)
    private static let items = Namespace("shop", "items")

    @Test("index scans, counts, distinct values and joins all show the time that was asked for")
    func everyKindOfRead() async throws {
        let node = try await Fixture(historyWindow: Self.window)
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        for id: Int32 in 0..<20 { try node.insertOne(["_id": .int32(id), "a": .int32(id % 4)]) }
        try node.insertOne(["_id": 1, "name": "tea"], into: Self.items)
        let then = node.time
        try node.update(["q": ["a": 1], "u": ["$set": ["a": 3]], "multi": true])
        _ = try node.delete(["a": 0])
        try node.insertOne(["_id": 50, "a": 1])
        try node.update(["q": ["_id": 1], "u": ["$set": ["name": "cake"]]], in: Self.items)
        try node.commit()
        let point = ReadPoint.at(then)

        let request: Document = ["filter": ["a": 1], "hint": ["a": 1]]
        let ids: [Value] = [1, 5, 9, 13, 17]
        #expect(try node.find(request, at: point).compactMap { $0["_id"] } == ids)
        #expect(try node.find(request).map { $0["_id"] } == [50])
        #expect(try node.find(["filter": ["a": 3], "sort": ["a": -1]], at: point).count == 5)
        #expect(try node.count([:], at: point) == 20)
        #expect(try node.count(["a": 0], at: point) == 5)
        #expect(try node.count(["a": 0], at: .latest) == 0)
        #expect(try node.distinct("a", at: point) == [0, 1, 2, 3])
        #expect(try node.distinct("a", at: .latest).count == 3)
        let join: [Value] = [
            ["$match": ["_id": 1]],
            ["$lookup": ["from": "items", "localField": "_id", "foreignField": "_id", "as": "item"]],
        ]
        let joined = try node.aggregate(join, at: point)
        #expect(joined == [["_id": 1, "a": 1, "item": [["_id": 1, "name": "tea"]]]])
    }

    @Test("an index that was created since is not used for a read before it, and the read is right")
    func laterIndex() async throws {
        let node = try await Fixture(historyWindow: Self.window)
        for id: Int32 in 0..<6 { try node.insertOne(["_id": .int32(id), "a": .int32(id % 2)]) }
        let then = node.time
        try node.update(["q": ["_id": 0], "u": ["$set": ["a": 1]]])
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        try node.commit()
        #expect(try node.find(["filter": ["a": 0]], at: .at(then)).map { $0["_id"] } == [0, 2, 4])
        #expect(try node.find(["filter": ["a": 0]]).map { $0["_id"] } == [2, 4])
        #expect(throws: ServerError.self) { try node.find(["hint": "a_1"], at: .at(then)) }
    }

    @Test("a dropped collection is there for reads before the drop as long as any may ask, also after a new start")
    func droppedSince() async throws {
        let node = try await Fixture(engine: LastingStorage(), historyWindow: Self.window)
        try node.insertOne(["_id": 1])
        let table = try node.collection().table
        try node.commit()
        let then = node.time
        try node.update(["q": ["_id": 1], "u": ["$set": ["a": 1]]])
        try node.store.dropCollection(Fixture.orders, node.context)
        try node.insertOne(["_id": 2])
        try node.commit()
        #expect(try node.find(at: .at(then)) == [["_id": 1]])
        #expect(try node.find() == [["_id": 2]])
        // Loaded from the tables, as after a rollback.
        try node.store.load()
        #expect(try node.find(at: .at(then)) == [["_id": 1]])
        try node.commit(after: 5)
        #expect(try node.find(at: .at(then)) == [["_id": 1]])
        try node.commit(after: 10)
        #expect(node.engine.statistics(table).entries == 0)
        let error = #expect(throws: ServerError.self) { try node.find(at: .at(then)) }
        #expect(error?.code == .snapshotTooOld)
    }

    @Test("a renamed collection has its old name for reads before, and the one it replaced is there")
    func renamedSince() async throws {
        let node = try await Fixture(historyWindow: Self.window)
        try node.insertOne(["_id": "order"])
        try node.insertOne(["_id": "item"], into: Self.items)
        let then = node.time
        let other = Namespace("shop", "other")
        try node.store.renameCollection(Fixture.orders, to: other, dropTarget: false, node.context)
        let between = node.time
        try node.store.renameCollection(other, to: Self.items, dropTarget: true, node.context)
        try node.commit()
        for _ in 0..<2 {
            #expect(try node.find(at: .at(then)) == [["_id": "order"]])
            #expect(try node.find(in: Self.items, at: .at(then)) == [["_id": "item"]])
            #expect(try node.find(in: other, at: .at(then)) == [])
            #expect(try node.find(in: other, at: .at(between)) == [["_id": "order"]])
            #expect(try node.find(in: Self.items, at: .at(between)) == [["_id": "item"]])
            #expect(try node.find(at: .at(between)) == [])
            #expect(try node.find(in: Self.items) == [["_id": "order"]])
            try node.store.load()
        }
        // Names that no read can ask for any more are forgotten with the next one.
        try node.commit(after: 20)
        try node.store.renameCollection(Self.items, to: Fixture.orders, dropTarget: false, node.context)
        #expect(try node.collection().formerNames.map(\.namespace) == [Self.items])
    }

    @Test("a rename or drop that was rolled back leaves nothing behind for reads in the past")
    func rolledBackCatalog() async throws {
        let node = try await Fixture(historyWindow: Self.window)
        try node.insertOne(["_id": 1])
        let common = try #require(node.store.oplog.last)
        try node.store.renameCollection(Fixture.orders, to: Self.items, dropTarget: false, node.context)
        try node.insertOne(["_id": "ghost"])
        try node.store.dropCollection(Fixture.orders, node.context)
        try node.store.dropCollection(Self.items, node.context)
        try node.rollBack(to: common)
        #expect(try node.find() == [["_id": 1]])
        #expect(try node.find(at: .at(common.timestamp)) == [["_id": 1]])
        #expect(node.store.catalog.pendingDrops.isEmpty)
        #expect(try node.collection().formerNames.isEmpty)
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("while no majority takes part, writes that could not be undone are refused, and a new primary's entry is not")
    func undoLimit() async throws {
        let node = try await Fixture(undoBytesMax: 100_000)
        try node.insertOne(["_id": 1, "n": 0, "filler": .string(String(repeating: "x", count: 10_000))])
        var writes = 0
        let error = #expect(throws: ServerError.self) {
            while writes < 100 {
                try node.update(["q": ["_id": 1], "u": ["$inc": ["n": 1]]])
                writes += 1
            }
        }
        #expect(error?.code == .exceededMemoryLimit)
        #expect((5...12).contains(writes))
        // The log is small: it is the document before each write that takes the room.
        #expect(node.store.oplog.byteCount < 20_000)
        let note: Document = ["msg": "new primary"]
        _ = try note.withView { view in
            #expect(throws: ServerError.self) { try node.store.appendNoOp(view, node.context) }
            var context = node.context
            context.isNeededBySet = true
            return try node.store.appendNoOp(view, context)
        }
        try node.commit()
        try node.update(["q": ["_id": 1], "u": ["$inc": ["n": 1]]])
        #expect(try node.find().first?["n"] == .int32(Int32(writes + 1)))
    }
}
