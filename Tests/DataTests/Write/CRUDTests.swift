import BSON
import Core
import Data
import Testing

@Suite("Single-document writes")
struct CRUDTests {
    @Test("an inserted document is found as it was, with an _id in front when it had none")
    func insertAndFind() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1, "a": "x"], ["a": 2, "b": [1, 2]], ["b": 3, "_id": "k"])
        let found = try node.find()
        #expect(found.count == 3)
        #expect(found[0] == ["_id": 1, "a": "x"])
        #expect(found[1].keys == ["_id", "a", "b"])
        #expect(found[1]["_id"]?.asObjectID != nil)
        #expect(found[2] == ["_id": "k", "b": 3])
    }

    @Test("a second document with an _id is refused, with MongoDB's words and details")
    func duplicate() async throws {
        let node = try await Fixture()
        let operation = try node.insert(["_id": 1], ["_id": 2], ["_id": 1], ["_id": 3])
        #expect(operation.n == 2)
        let error = try #require(operation.errors.first)
        #expect(error.index == 2)
        #expect(error.error.code == .duplicateKey)
        #expect(
            error.error.message
                == "E11000 duplicate key error collection: shop.orders index: _id_ dup key: { _id: 1 }")
        #expect(error.error.details == ["keyPattern": ["_id": 1], "keyValue": ["_id": 1]])
        #expect(try node.find().count == 2)
    }

    @Test("an unordered insert goes on behind an error")
    func unordered() async throws {
        let node = try await Fixture()
        let operation = try node.insert(["_id": 1], ["_id": 1], ["_id": 2], ordered: false)
        #expect(operation.n == 2)
        #expect(operation.errors.map(\.index) == [1])
    }

    @Test(
        "values that cannot be an _id are refused",
        arguments: [
            (Value.array([1]), ErrorCode.invalidIdField), (.regex(pattern: "a", options: ""), .invalidIdField),
            (.undefined, .invalidIdField), (.document(["$x": 1]), .dollarPrefixedFieldName),
        ])
    func badID(id: Value, code: ErrorCode) async throws {
        let node = try await Fixture()
        let error = #expect(throws: ServerError.self) { try node.insertOne(["_id": id]) }
        #expect(error?.code == code)
        #expect(try node.find().isEmpty)
    }

    @Test("a document above 16 MiB is refused")
    func tooLarge() async throws {
        let node = try await Fixture()
        let text = String(repeating: "x", count: Limits.documentBytesMax)
        let error = #expect(throws: ServerError.self) { try node.insertOne(["_id": 1, "a": .string(text)]) }
        #expect(error?.code == .bsonObjectTooLarge)
    }

    @Test("an empty timestamp at the top level becomes the cluster time")
    func emptyTimestamp() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "t": .timestamp(.zero)])
        let stored = try #require(try node.find().first?["t"]?.asTimestamp)
        #expect(stored > .zero)
    }

    @Test("update counts what it matched and what it changed")
    func update() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1, "a": 1], ["_id": 2, "a": 1], ["_id": 3, "a": 2])
        var operation = try node.update(["q": ["_id": 1], "u": ["$set": ["a": 5]]])
        #expect((operation.n, operation.nModified) == (1, 1))
        operation = try node.update(["q": ["a": ["$gte": 1]], "u": ["$max": ["a": 2]], "multi": true])
        #expect((operation.n, operation.nModified) == (3, 1))
        operation = try node.update(["q": ["_id": 9], "u": ["$set": ["a": 5]]])
        #expect((operation.n, operation.nModified) == (0, 0))
        #expect(try node.find().map { $0["a"] } == [5, 2, 2])
    }

    @Test("an upsert inserts when nothing matches, once")
    func upsert() async throws {
        let node = try await Fixture()
        let statement: Document = ["q": ["_id": 7, "k": "v"], "u": ["$set": ["a": 1]], "upsert": true]
        var operation = try node.update(statement)
        #expect(operation.n == 1)
        #expect(operation.upsertedID == 7)
        operation = try node.update(statement)
        #expect((operation.n, operation.nModified) == (1, 0))
        #expect(operation.upsertedID == nil)
        #expect(try node.find() == [["_id": 7, "k": "v", "a": 1]])
    }

    @Test("a replacement keeps the _id and may not be for many")
    func replacement() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "a": 1])
        try node.update(["q": ["a": 1], "u": ["b": 2]])
        #expect(try node.find() == [["_id": 1, "b": 2]])
        let error = #expect(throws: ServerError.self) {
            try node.update(["q": [:], "u": ["b": 3], "multi": true])
        }
        #expect(error?.code == .failedToParse)
        let immutable = #expect(throws: ServerError.self) { try node.update(["q": ["b": 2], "u": ["_id": 2]]) }
        #expect(immutable?.code == .immutableField)
    }

    @Test("delete removes one or all that match")
    func delete() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1, "a": 1], ["_id": 2, "a": 1], ["_id": 3, "a": 1], ["_id": 4, "a": 2])
        #expect(try node.delete(["a": 1], limit: 1) == 1)
        #expect(try node.find().count == 3)
        #expect(try node.delete(["a": 1]) == 2)
        #expect(try node.delete(["_id": 4], limit: 1) == 1)
        #expect(try node.delete(["_id": 4], limit: 1) == 0)
        #expect(try node.find().isEmpty)
        #expect(try node.collection().count == 0)
        #expect(try node.collection().dataBytes == 0)
    }

    @Test("each write is one entry in MongoDB's shape")
    func entries() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "n": 1])
        try node.update([
            "q": ["_id": 1], "u": ["$inc": ["n": 4], "$set": ["text": .string(String(repeating: "t", count: 90))]],
        ])
        try node.update(["q": ["_id": 1], "u": ["$inc": ["n": 1]]])
        try node.update(["q": ["_id": 1], "u": ["r": 1]])
        try node.delete(["_id": 1])
        let entries = try node.entries()
        #expect(entries.map { $0["op"]?.asString } == ["c", "i", "u", "u", "u", "d"])
        #expect(entries[0]["ns"] == "shop.$cmd")
        #expect(entries[0]["o"]?.asDocument?.keys == ["create", "idIndex"])
        #expect(entries[1].keys == ["op", "ns", "ui", "o", "ts", "t", "v", "wall"])
        #expect(entries[1]["ns"] == "shop.orders")
        #expect(entries[1]["o"] == ["_id": 1, "n": 1])
        #expect(entries[1]["v"] == .int64(2))
        #expect(entries[3]["o"] == ["$v": 2, "diff": ["u": ["n": 6]]])
        #expect(entries[3]["o2"] == ["_id": 1])
        #expect(entries[4]["o"] == ["_id": 1, "r": 1])
        #expect(entries[5]["o"] == ["_id": 1])
        let times = entries.compactMap { $0["ts"]?.asTimestamp }
        #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
        #expect(Set(entries.compactMap { $0["ui"] }).count == 1)
    }

    @Test("a standalone and the local database log nothing")
    func unlogged() async throws {
        let standalone = try await Fixture(isReplicated: false)
        try standalone.insertOne(["_id": 1])
        try standalone.update(["q": ["_id": 1], "u": ["$set": ["a": 1]]])
        #expect(try standalone.entries().isEmpty)
        #expect(try standalone.find() == [["_id": 1, "a": 1]])
        let member = try await Fixture()
        try member.insertOne(["_id": 1], into: Namespace("local", "notes"))
        #expect(try member.entries().isEmpty)
        #expect(try member.find(in: Namespace("local", "notes")).count == 1)
    }
}
