import BSON
import Core
import Data
import Testing

@Suite("Reads")
struct ReadTests {
    private func filled() async throws -> Fixture {
        let node = try await Fixture()
        for id in 0..<10 {
            try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(id % 3)), "t": ["x", "y"]])
        }
        return node
    }

    @Test("sort, skip, limit and projection act in this order")
    func shape() async throws {
        let node = try await filled()
        let found = try node.find([
            "filter": ["a": ["$gte": 1]], "sort": ["_id": -1], "skip": 1, "limit": 2, "projection": ["a": 1],
        ])
        #expect(found == [["_id": 7, "a": 1], ["_id": 5, "a": 2]])
    }

    @Test("natural order is the order of insertion, both ways")
    func natural() async throws {
        let node = try await filled()
        #expect(try node.find(["sort": ["$natural": -1], "limit": 2]).map { $0["_id"] } == [9, 8])
    }

    @Test("a cursor sees what was inserted behind its position, and dies with its collection")
    func cursorOverWrites() async throws {
        let node = try await filled()
        let cursor = try QueryCursor(node.store, try emptyRequest(), at: .latest)
        func next() throws -> [Document] {
            let writer = DocumentWriter(startingIn: ByteBuffer())
            var array = writer.beginArray("b")
            while case .yield = try cursor.next(
                into: &array, maxDocuments: 6 - array.count, maxBytes: 1 << 20, deadline: Fixture.deadline)
            {}
            array.finish()
            writer.finish()
            return Document(trusted: writer.buffer.toArray())["b"]?.asArray?.compactMap { $0.asDocument } ?? []
        }
        #expect(try next().count == 6)
        try node.insertOne(["_id": 10])
        try node.delete(["_id": 7])
        #expect(try next().map { $0["_id"] } == [6, 8, 9, 10])
        try node.store.dropCollection(Fixture.orders, node.context)
        let error = #expect(throws: ServerError.self) { try next() }
        #expect(error?.code == .queryPlanKilled)
    }

    private func emptyRequest() throws -> FindRequest {
        let filter: Document = [:]
        return try filter.withView { try FindRequest(Fixture.orders, filter: $0) }
    }

    @Test("a read at a time does not see later writes")
    func atTime() async throws {
        let node = try await filled()
        let point = try #require(node.store.oplog.last).timestamp
        let before = try node.find()
        try node.update(["q": [:], "u": ["$inc": ["a": 1]], "multi": true])
        try node.delete(["_id": ["$lt": 5]])
        try node.insertOne(["_id": 99])
        #expect(try node.find(at: .at(point)) == before)
    }

    @Test("count and distinct agree with find")
    func countAndDistinct() async throws {
        let node = try await filled()
        func count(_ command: Document) throws -> Int64 {
            let operation = try command.withView {
                try CountOperation(node.store, Fixture.orders, $0, context: node.context.query)
            }
            while case .yield = try operation.run(until: node.runtime.now) {}
            return operation.n
        }
        #expect(try count([:]) == 10)
        #expect(try count(["query": ["a": 0]]) == 4)
        #expect(try count(["query": ["a": 0], "skip": 1, "limit": 2]) == 2)
        let command: Document = ["key": "t", "query": [:]]
        let distinct = try command.withView {
            try DistinctOperation(node.store, Fixture.orders, $0, context: node.context.query)
        }
        while case .yield = try distinct.run(until: node.runtime.now) {}
        #expect(distinct.values == ["x", "y"])
    }

    @Test(
        "a tailable cursor reads in natural order, whatever index there is, and sees what comes later",
        arguments: [["queue": "x"], ["_id": ["$in": [1, 3]]], ["$or": [["_id": 1], ["_id": 3]]]] as [Document])
    func tailable(filter: Document) async throws {
        let node = try await Fixture()
        try node.createCollection(Fixture.orders, ["capped": true, "size": 100_000])
        try node.createIndex(["key": ["queue": 1], "name": "queue_1"])
        try node.insert(["_id": 1, "queue": "x"], ["_id": 2, "queue": "y"])
        let command: Document = ["filter": .document(filter), "tailable": true]
        let request = try command.withView { try FindRequest(Fixture.orders, $0, context: node.context.query) }
        let cursor = try QueryCursor(node.store, request)
        defer { cursor.close() }
        #expect(try node.drain(cursor) == [["_id": 1, "queue": "x"]])
        #expect(cursor.winningPlan["stage"] == "COLLSCAN")
        try node.insert(["_id": 4, "queue": "y"], ["_id": 3, "queue": "x"])
        #expect(try node.drain(cursor) == [["_id": 3, "queue": "x"]])
        let hinted: Document = ["hint": "queue_1", "tailable": true]
        let error = #expect(throws: ServerError.self) {
            _ = try hinted.withView { try FindRequest(Fixture.orders, $0, context: node.context.query) }
        }
        #expect(error?.code == .badValue)
    }

    @Test("an aggregation groups what its match lets through, in batches and slices")
    func aggregate() async throws {
        let node = try await filled()
        let pipeline = Document(array: [
            ["$match": ["_id": ["$gte": 1]]], ["$unwind": "$t"], ["$group": ["_id": "$a", "n": ["$sum": 1]]],
            ["$sort": ["_id": 1]],
        ])
        let cursor = try pipeline.withView {
            try AggregateCursor(node.store, Fixture.orders, pipeline: $0, context: node.context.query)
        }
        let writer = DocumentWriter(startingIn: ByteBuffer())
        var array = writer.beginArray("b")
        while true {
            let progress = try cursor.next(
                into: &array, maxDocuments: 2, maxBytes: 1 << 20, deadline: node.runtime.now)
            if case .exhausted = progress { break }
        }
        array.finish()
        writer.finish()
        let found = Document(trusted: writer.buffer.toArray())["b"]?.asArray
        #expect(found == [["_id": 0, "n": 6], ["_id": 1, "n": 6], ["_id": 2, "n": 6]])
    }

    @Test("the oplog is read as a capped collection, by time and both ways, and can be tailed")
    func oplog() async throws {
        let node = try await filled()
        let oplog = Namespace("local", "oplog.rs")
        let entries = try node.entries()
        #expect(try node.find(in: oplog) == entries)
        #expect(try node.find(["sort": ["$natural": -1], "limit": 2], in: oplog) == [entries[10], entries[9]])
        let time = try #require(entries[6]["ts"])
        #expect(try node.find(["filter": ["ts": ["$gte": time]]], in: oplog).count == 5)
        let command: Document = ["filter": ["ts": ["$gt": time]], "tailable": true, "awaitData": true]
        let request = try command.withView { try FindRequest(oplog, $0, context: node.context.query) }
        let cursor = try QueryCursor(node.store, request)
        #expect(try node.drain(cursor, batch: 20).count == 4)
        try node.insertOne(["_id": 77])
        #expect(try node.drain(cursor, batch: 20).map { $0["o"] } == [["_id": 77]])
    }

    @Test("a member's own documents are replaced in place and survive a reload")
    func local() async throws {
        let node = try await Fixture()
        let vote = Namespace("local", "replset.election")
        #expect(try node.store.getLocal(vote) == nil)
        try node.store.putLocal(vote, ["term": 1])
        try node.store.putLocal(vote, ["term": 2])
        try node.store.load()
        #expect(try node.store.getLocal(vote)?["term"] == 2)
        #expect(try node.find(in: vote).count == 1)
        #expect(try node.entries().isEmpty)
    }
}
