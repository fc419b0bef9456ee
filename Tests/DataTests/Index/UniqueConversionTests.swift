import BSON
import Core
import Data
import Testing

@Suite("An index that becomes unique")
struct UniqueConversionTests {
    private static func modify(_ node: Fixture, _ change: Document) throws -> Document {
        let command: Document = ["collMod": "orders", "index": .document(change)]
        return try command.withView { command in
            if let conversion = try node.store.uniqueConversion(Fixture.orders, command) {
                while case .yield = try conversion.step(until: node.runtime.now) {}
                try conversion.finish()
            }
            return try node.store.modifyCollection(Fixture.orders, command, node.context)
        }
    }

    @Test("it refuses duplicates from when it is prepared, and names those that are there")
    func steps() async throws {
        let node = try await Fixture()
        try node.createIndex(["key": ["k": 1], "name": "k_1"])
        for id in 0..<300 { try node.insertOne(["_id": .int32(Int32(id)), "k": .int32(Int32(id))]) }
        try node.insertOne(["_id": "x", "k": [7, 7, 8]])
        #expect(throws: ServerError.self) { try Self.modify(node, ["name": "k_1", "unique": true]) }
        let prepared = try Self.modify(node, ["name": "k_1", "prepareUnique": true])
        #expect(prepared == ["prepareUnique_old": false, "prepareUnique_new": true])
        let refused = #expect(throws: ServerError.self) { try node.insertOne(["_id": "y", "k": [1000, 9]]) }
        #expect(refused?.details?["keyValue"] == ["k": 9])
        // What is there already may stay, and move away.
        try node.update(["q": ["_id": "x"], "u": ["$set": ["other": 1]]])
        let error = #expect(throws: ServerError.self) { try Self.modify(node, ["name": "k_1", "unique": true]) }
        #expect(error?.code == .cannotConvertIndexToUnique)
        #expect(error?.details == ["violations": [["ids": [7, "x"]], ["ids": [8, "x"]]]])
        try node.update(["q": ["_id": "x"], "u": ["$set": ["k": [500, 501]]]])
        #expect(try Self.modify(node, ["name": "k_1", "unique": true]) == ["unique_new": true])
        let index = try #require(try node.collection().index(named: "k_1"))
        #expect(index.definition == ["v": 2, "key": ["k": 1], "name": "k_1", "unique": true])
        #expect(throws: ServerError.self) { try node.insertOne(["_id": "y", "k": 500]) }
        #expect(throws: ServerError.self) { try node.update(["q": ["_id": 1], "u": ["$set": ["k": 501]]]) }
        try node.delete(["_id": "x"])
        try node.insertOne(["_id": "y", "k": 500])
        #expect(try node.find(["filter": ["k": 500], "hint": "k_1"]).count == 1)
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("another member comes to have the same")
    func elsewhere() async throws {
        let node = try await Fixture()
        let other = try await Fixture()
        try node.createIndex(["key": ["k": 1], "name": "k_1"])
        for id in 0..<100 { try node.insertOne(["_id": .int32(Int32(id)), "k": .int32(Int32(id))]) }
        _ = try Self.modify(node, ["name": "k_1", "prepareUnique": true])
        _ = try Self.modify(node, ["name": "k_1", "unique": true])
        try node.update(["q": ["_id": 3], "u": ["$set": ["k": 300]]])
        for entry in try node.entries() { _ = try entry.withView { try other.store.apply($0, .steady) } }
        for store in [node.store, other.store] {
            #expect(try store.checkConsistency() == [])
            #expect(store.catalog.find(Fixture.orders)?.index(named: "k_1")?.refusesDuplicates == true)
        }
        #expect(try node.store.hashOfEverything() == other.store.hashOfEverything())
    }

    @Test("it is what it was after a rollback behind it, and only prepared after one to before it")
    func rolledBack() async throws {
        let node = try await Fixture()
        try node.createIndex(["key": ["k": 1], "name": "k_1"])
        for id in 0..<100 { try node.insertOne(["_id": .int32(Int32(id)), "k": .int32(Int32(id))]) }
        _ = try Self.modify(node, ["name": "k_1", "prepareUnique": true])
        let prepared = try #require(node.store.oplog.last)
        _ = try Self.modify(node, ["name": "k_1", "unique": true])
        let unique = try #require(node.store.oplog.last)
        try node.insertOne(["_id": "lost", "k": 1000])
        for (common, options) in [(unique, ["unique"]), (prepared, ["prepareUnique"])] {
            try node.rollBack(to: common)
            let index = try #require(try node.collection().index(named: "k_1"))
            #expect(index.definition.keys == ["v", "key", "name"] + options)
            #expect(try node.store.checkConsistency() == [])
            #expect(throws: ServerError.self) { try node.insertOne(["_id": "x", "k": 5]) }
        }
    }
}
