import BSON
import Core
import Data
import Query
import Testing

@Suite("Expired documents")
struct ExpiredDeletionTests {
    private static let now = WallTime(milliseconds: 1_700_000_000_000)
    private static func date(_ secondsAgo: Int64) -> Value { .dateTime(now.milliseconds - secondsAgo * 1000) }

    /// Deletes what has expired by the index, in slices of one reading of the clock each. Returns their number.
    private static func expire(_ node: Fixture, by name: String) throws -> (deleted: Int, slices: Int) {
        let collection = try node.collection()
        let index = try #require(collection.index(named: name))
        let deletion = try #require(ExpiredDeletion(node.store, collection, index, now: now))
        var slices = 1
        while case .yield = try deletion.run(node.context, until: node.runtime.now) { slices += 1 }
        return (deletion.n, slices)
    }

    private static func ids(_ node: Fixture) throws -> [String] {
        try node.find(["sort": ["_id": 1]]).compactMap { $0["_id"]?.asString }
    }

    private static func fill(_ node: Fixture) throws {
        try node.insert(
            ["_id": "past", "at": date(3600)], ["_id": "at the second", "at": date(600)],
            ["_id": "recent", "at": date(599)], ["_id": "future", "at": date(-3600)],
            ["_id": "long ago", "at": .dateTime(.min)], ["_id": "none"], ["_id": "null", "at": .null],
            ["_id": "text", "at": "2000-01-01"], ["_id": "number", "at": 5],
            ["_id": "timestamp", "at": .timestamp(.zero)],
            ["_id": "object id", "at": .objectID(ObjectID(high: 0, low: 0))],
            ["_id": "array", "at": [date(-3600), date(3600)]], ["_id": "late array", "at": [date(-3600), date(-5)]],
            ["_id": "mixed array", "at": ["x", 7]], ["_id": "empty array", "at": []],
            ["_id": "document", "at": ["at": date(3600)]])
    }
    private static let left = [
        "document", "empty array", "future", "late array", "mixed array", "none", "null", "number", "object id",
        "recent", "text",
    ]

    @Test("dates that are old enough expire, the earliest of an array counts, nothing else does", arguments: [1, -1])
    func whatExpires(direction: Int32) async throws {
        let node = try await Fixture()
        try Self.fill(node)
        try node.createIndex(["key": ["at": .int32(direction)], "name": "ttl", "expireAfterSeconds": 600])
        #expect(try Self.expire(node, by: "ttl").deleted == 4)
        // An empty timestamp is filled in by the insert, and is no date.
        #expect(try Self.ids(node).filter { $0 != "timestamp" } == Self.left)
        let deletions = try node.entries().filter { $0["op"] == "d" }
        #expect(deletions.count == 4 && deletions.allSatisfy { $0["o"]?.asDocument?.keys == ["_id"] })
        #expect(try Self.expire(node, by: "ttl").deleted == 0)
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("a unique, a sparse, a hidden and a partial index expire what they hold")
    func kindsOfIndexes() async throws {
        for options: Document in [["unique": true, "sparse": true], ["sparse": true], ["hidden": true]] {
            let node = try await Fixture()
            try node.insert(["_id": "a", "at": Self.date(700)], ["_id": "b", "at": Self.date(1)])
            var index: Document = ["key": ["at": 1], "name": "ttl", "expireAfterSeconds": 600]
            for (key, value) in options.fields { index[key] = value }
            try node.createIndex(index)
            #expect(try Self.expire(node, by: "ttl").deleted == 1)
            #expect(try Self.ids(node) == ["b"])
        }
        let node = try await Fixture()
        try node.insert(
            ["_id": "kept", "at": Self.date(700), "temporary": false],
            ["_id": "temporary", "at": Self.date(700), "temporary": true])
        try node.createIndex([
            "key": ["at": 1], "name": "ttl", "expireAfterSeconds": 600,
            "partialFilterExpression": ["temporary": true],
        ])
        #expect(try Self.expire(node, by: "ttl").deleted == 1)
        #expect(try Self.ids(node) == ["kept"])
    }

    @Test("many documents expire in slices, between which others write, and a change of the index ends it")
    func slices() async throws {
        let node = try await Fixture()
        try node.createIndex(["key": ["at": 1], "name": "ttl", "expireAfterSeconds": 600])
        for id in 0..<1000 {
            try node.insertOne(["_id": .int32(Int32(id)), "at": Self.date(id % 2 == 0 ? 700 : 10)])
        }
        let collection = try node.collection()
        let index = try #require(collection.index(named: "ttl"))
        let deletion = try #require(ExpiredDeletion(node.store, collection, index, now: Self.now))
        node.runtime.nanosecondsPerReading = 1000
        #expect(try deletion.run(node.context, until: node.runtime.now) == .yield)
        #expect((1..<100).contains(deletion.n))
        try node.update(["q": ["_id": 998], "u": ["$set": ["at": Self.date(0)]]])
        try node.update(["q": ["_id": 999], "u": ["$set": ["at": Self.date(5000)]]])
        var slices = 1
        while case .yield = try deletion.run(node.context, until: node.runtime.now) { slices += 1 }
        #expect(slices > 5)
        #expect(deletion.n == 499)
        #expect(try node.find(["filter": ["_id": 998]]).count == 1)
        #expect(try node.store.checkConsistency() == [])

        let second = try #require(ExpiredDeletion(node.store, collection, index, now: Self.now))
        let change: Document = ["collMod": "orders", "index": ["name": "ttl", "expireAfterSeconds": 100_000]]
        _ = try change.withView { try node.store.modifyCollection(Fixture.orders, $0, node.context) }
        #expect(try second.run(node.context, until: .distantFuture) == .done)
        #expect(second.n == 0)
    }

    @Test("which TTL indexes there may be")
    func specifications() async throws {
        func code(_ index: Document, in node: Fixture) -> ErrorCode? {
            do { try node.createIndex(index) } catch let error as ServerError { return error.code } catch {}
            return nil
        }
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        for seconds: Value in [0, .int64(2_147_483_647), 1.5, .double(2_147_483_647)] {
            #expect(code(["key": ["a": 1], "name": "a", "expireAfterSeconds": seconds], in: node) == nil)
            try node.store.dropIndexes(Fixture.orders, "a", node)
        }
        for seconds: Value in [-1, .int64(2_147_483_648), .double(.nan), .double(.infinity), .double(1e300)] {
            #expect(
                code(["key": ["a": 1], "name": "a", "expireAfterSeconds": seconds], in: node) == .cannotCreateIndex)
        }
        for seconds: Value in ["10", true, .null, [:]] {
            #expect(
                code(["key": ["a": 1], "name": "a", "expireAfterSeconds": seconds], in: node) == .cannotCreateIndex)
        }
        for key: Document in [["a": 1, "b": 1], ["a": "hashed"]] {
            #expect(
                code(["key": .document(key), "name": "a", "expireAfterSeconds": 1], in: node) == .cannotCreateIndex)
        }
        #expect(
            code(["key": ["_id": 1], "name": "_id_", "expireAfterSeconds": 1], in: node)
                == .invalidIndexSpecificationOption)
        let capped = try await Fixture()
        let create: Document = ["create": "orders", "capped": true, "size": 4096]
        _ = try create.withView { try capped.store.createCollection(Fixture.orders, $0, capped.context) }
        #expect(code(["key": ["a": 1], "name": "a", "expireAfterSeconds": 1], in: capped) == .cannotCreateIndex)
    }
}

extension DataStore {
    fileprivate func dropIndexes(_ namespace: Namespace, _ which: Value, _ node: Fixture) throws {
        try Document { $0.append("w", which) }.withView { view in
            if let value = view["w"] { try dropIndexes(namespace, value, node.context) }
        }
    }
}
