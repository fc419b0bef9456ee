import BSON
import Conformance
import Core
import DataNode
import MemoryStorage
import Testing

/// Commands on a node whose storage is larger than memory.
@Suite("Commands that wait for the storage") struct NotResidentCommandTests {
    private func node(oneIn: Int = 1) throws -> (node: NodeHarness, storage: NotResidentStorage) {
        let storage = NotResidentStorage(MemoryStorage(), seed: 11, oneIn: oneIn)
        return (try NodeHarness(enableTestCommands: true, engine: storage), storage)
    }

    @Test("a short write of many statements does each of them once, and counts them once", arguments: [1, 2, 3])
    func shortWrites(oneIn: Int) throws {
        let (node, storage) = try node(oneIn: oneIn)
        let documents = [1, 2, 2, 3, 4].map { (id: Int32) -> Value in ["_id": .int32(id), "n": 0] }
        let inserted = try node.run([
            "insert": "orders", "documents": .array(Document(array: documents)), "ordered": false,
        ])
        #expect(inserted["n"] == 4)
        #expect(inserted["writeErrors"]?.asArray?.first?.asDocument?["index"] == 2)
        let updates = [1, 2, 9, 3, 3].map { (id: Int32) -> Value in
            ["q": ["_id": .int32(id)], "u": ["$inc": ["n": 1]]]
        }
        let updated = try node.run(["update": "orders", "updates": .array(Document(array: updates))])
        #expect(updated["n"] == 4 && updated["nModified"] == 4)
        let found = try node.run(["find": "orders", "sort": ["_id": 1]])
        #expect(found.batch.map { $0["n"] } == [1, 1, 2, 0])
        let deletes = [1, 1, 4].map { (id: Int32) -> Value in ["q": ["_id": .int32(id)], "limit": 1] }
        #expect(try node.run(["delete": "orders", "deletes": .array(Document(array: deletes))])["n"] == 2)
        let status = try node.run(["serverStatus": 1], database: "admin")["opcounters"]?.asDocument
        #expect(["insert", "update", "delete", "query"].map { status?[$0]?.asInteger } == [5, 5, 3, 1])
        #expect(storage.refusals > 5)
    }

    @Test("commands of all kinds answer as they do when all is in memory")
    func answers() throws {
        let (paged, storage) = try node()
        let plain = try NodeHarness(enableTestCommands: true)
        let documents = (0..<120).map { (id: Int32) -> Value in
            ["_id": .int32(id), "rank": .int32(id % 5), "tags": [.int32(id), 1]]
        }
        var commands: [Document] = []
        commands.append(["insert": "orders", "documents": .array(Document(array: documents))])
        commands.append(["find": "orders", "filter": ["_id": 7]])
        commands.append(["find": "orders", "filter": ["_id": 700]])
        commands.append(["createIndexes": "orders", "indexes": [["key": ["rank": 1], "name": "rank"]]])
        commands.append(["createIndexes": "orders", "indexes": [["key": ["tags": 1], "name": "tags"]]])
        commands.append(["createIndexes": "orders", "indexes": [["key": ["rank": -1], "name": "no", "unique": true]]])
        commands.append(["find": "orders", "filter": ["rank": 3], "sort": ["_id": -1], "batchSize": 1000])
        commands.append(["count": "orders", "query": ["tags": 1]])
        commands.append(["distinct": "orders", "key": "rank"])
        commands.append([
            "aggregate": "orders", "cursor": [:],
            "pipeline": [["$group": ["_id": "$rank", "n": ["$sum": 1]]], ["$sort": ["_id": 1]]],
        ])
        commands.append(
            ["aggregate": "orders", "cursor": [:], "pipeline": [["$match": ["rank": 1]], ["$out": "copy"]]])
        commands.append([
            "aggregate": "orders", "cursor": [:],
            "pipeline": [["$merge": ["into": "copy", "whenMatched": "replace"]]],
        ])
        commands.append(["find": "copy", "batchSize": 1000])
        commands.append(["findAndModify": "orders", "query": ["_id": 5], "update": ["$set": ["x": 1]], "new": true])
        commands.append(["findAndModify": "orders", "query": ["rank": 2], "sort": ["_id": -1], "remove": true])
        commands.append(["explain": ["find": "orders", "filter": ["rank": 3]], "verbosity": "queryPlanner"])
        commands.append(["validate": "orders"])
        commands.append(["dataSize": "shop.orders", "keyPattern": ["_id": 1], "min": ["_id": 3], "max": ["_id": 50]])
        commands.append(["collMod": "orders", "index": ["name": "rank", "prepareUnique": true]])
        commands.append(["collMod": "orders", "index": ["name": "rank", "unique": true]])
        commands.append(["cloneCollectionAsCapped": "orders", "toCollection": "last", "size": 4096])
        commands.append(["find": "last", "batchSize": 1000])
        commands.append(["convertToCapped": "copy", "size": 4096])
        commands.append(["find": "copy", "batchSize": 1000])
        commands.append(["delete": "orders", "deletes": [["q": ["rank": ["$gte": 2]], "limit": 0]]])
        commands.append(["renameCollection": "shop.orders", "to": "shop.rest"])
        commands.append(["drop": "rest"])
        for command in commands {
            let isAdmin = command.keys.first == "renameCollection"
            let expected = try plain.run(command, database: isAdmin ? "admin" : "shop")
            let found = try paged.run(command, database: isAdmin ? "admin" : "shop")
            #expect(shown(found) == shown(expected), "\(command)")
        }
        #expect(storage.refusals > 500)
    }

    /// Without what differs from run to run.
    private func shown(_ reply: Document) -> Document {
        var reply = reply
        for field in ["millis", "serverInfo", "uuids", "timeMillis"] { reply[field] = nil }
        return reply
    }
}
