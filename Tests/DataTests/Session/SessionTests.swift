import BSON
import Core
@testable import Data
import Testing

@Suite("Retryable writes")
struct SessionTests {
    @Test("a repeated insert command inserts nothing and counts the same")
    func repeatedInsert() async throws {
        let node = try await Fixture()
        for _ in 0..<2 {
            let operation = try node.insert(
                ["_id": 1], ["_id": 2], ["_id": 3], with: try node.context(session: 1, number: 5))
            #expect(operation.n == 3)
            #expect(operation.errors.isEmpty)
        }
        #expect(try node.find().count == 3)
        #expect(try node.entries().filter { $0["op"] == "i" }.count == 3)
    }

    @Test("a repeated update answers from the record, also after a reload and on a secondary")
    func repeatedUpdate() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "n": 0])
        let statement: Document = ["q": ["_id": 1], "u": ["$inc": ["n": 1]]]
        try node.update(statement, with: try node.context(session: 1, number: 2))
        try node.store.load()
        let repeated = try node.update(statement, with: try node.context(session: 1, number: 2))
        #expect((repeated.n, repeated.nModified) == (1, 1))
        #expect(try node.find() == [["_id": 1, "n": 1]])
        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        let there = try secondary.update(statement, with: try secondary.context(session: 1, number: 2))
        #expect((there.n, there.nModified) == (1, 1))
        #expect(try secondary.find() == [["_id": 1, "n": 1]])
    }

    @Test("a repeated upsert answers with its _id, here and on a secondary")
    func repeatedUpsert() async throws {
        let node = try await Fixture()
        let statement: Document = ["q": ["k": 1], "u": ["$inc": ["n": 1]], "upsert": true]
        let first = try node.update(statement, with: try node.context(session: 1, number: 2))
        let id = try #require(first.upsertedID)
        let repeated = try node.update(statement, with: try node.context(session: 1, number: 2))
        #expect(repeated.upsertedID == id)
        #expect(repeated.n == 1)
        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        let there = try secondary.update(statement, with: try secondary.context(session: 1, number: 2))
        #expect(there.upsertedID == id)
        #expect(try secondary.find().count == 1)
    }

    @Test("an older transaction number is refused, a newer one forgets the older")
    func numbers() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1], with: try node.context(session: 1, number: 5))
        let error = #expect(throws: ServerError.self) {
            try node.insert(["_id": 2], with: try node.context(session: 1, number: 4))
        }
        #expect(error?.code == .transactionTooOld)
        try node.insert(["_id": 2], with: try node.context(session: 1, number: 6))
        let late = #expect(throws: ServerError.self) {
            try node.insert(["_id": 1], with: try node.context(session: 1, number: 5))
        }
        #expect(late?.code == .transactionTooOld)
        #expect(try node.find().count == 2)
    }

    @Test("findAndModify answers a retry with the same document", arguments: [false, true])
    func findAndModify(isNew: Bool) async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "n": 0])
        let command: Document = [
            "query": ["_id": 1], "update": ["$inc": ["n": 1]], "new": .bool(isNew), "fields": ["_id": 0],
        ]
        func run(_ node: Fixture) throws -> FindAndModifyOperation {
            let operation = try command.withView {
                try FindAndModifyOperation(node.store, Fixture.orders, $0, context: node.context.query)
            }
            while case .yield = try operation.run(
                try node.context(session: 1, number: 1), until: Fixture.deadline)
            {}
            return operation
        }
        let expected: Document = ["n": isNew ? 1 : 0]
        #expect(try run(node).value == expected)
        #expect(try run(node).value == expected)
        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        let there = try run(secondary)
        #expect(there.value == expected)
        #expect(there.updatedExisting == true)
        #expect(try secondary.find() == [["_id": 1, "n": 1]])
    }

    @Test("entries of a session are chained by prevOpTime")
    func chain() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1], ["_id": 2], with: try node.context(session: 1, number: 5))
        let entries = try node.entries().filter { $0["op"] == "i" }
        #expect(entries.map { $0["stmtId"] } == [0, 1])
        #expect(entries[0]["prevOpTime"] == ["ts": .timestamp(.zero), "t": .int64(-1)])
        #expect(entries[1]["prevOpTime"]?.asDocument?["ts"] == entries[0]["ts"])
        #expect(entries[0]["lsid"]?.asDocument == Fixture.lsid(1))
    }

    @Test("a rollback undoes the record with the write")
    func rollback() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "n": 0])
        let point = try #require(node.store.oplog.last)
        let statement: Document = ["q": ["_id": 1], "u": ["$inc": ["n": 1]]]
        try node.update(statement, with: try node.context(session: 1, number: 2))
        while try !node.versions.undo(after: point, limit: 10) {}
        try node.versions.truncateLog(after: point.timestamp)
        try node.store.load()
        try node.update(statement, with: try node.context(session: 1, number: 2))
        #expect(try node.find() == [["_id": 1, "n": 1]])
    }
}
