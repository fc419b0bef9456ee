import BSON
import Core
import Data
import MemoryStorage
import Testing

@Suite("Catalog")
struct CatalogTests {
    @Test(
        "names that MongoDB refuses are refused with InvalidNamespace",
        arguments: [
            ("", "a"), ("a.b", "c"), ("a b", "c"), ("a$", "c"), ("a/b", "c"), ("db", ""), ("db", ".a"), ("db", "a."),
            ("db", "a..b"), ("db", "a$b"), ("db", "a\0b"), (String(repeating: "d", count: 64), "a"),
            ("db", String(repeating: "c", count: 255)),
        ])
    func badNames(database: String, collection: String) {
        let error = #expect(throws: ServerError.self) { try Namespace(validating: database, collection: collection) }
        #expect(error?.code == .invalidNamespace)
    }

    @Test(
        "names that MongoDB takes are taken", arguments: [("db", "a.b"), ("DB-1", "ü"), ("config", "system.sessions")])
    func goodNames(database: String, collection: String) throws {
        #expect(try Namespace(validating: "\(database).\(collection)") == Namespace(database, collection))
    }

    @Test("a clock ticks with the wall, behind itself, and over a full second")
    func clock() throws {
        var clock = LogicalClock()
        let wall = WallTime(milliseconds: 5000)
        #expect(try clock.tick(wall) == Timestamp(seconds: 5, increment: 1))
        #expect(try clock.tick(wall) == Timestamp(seconds: 5, increment: 2))
        #expect(try clock.tick(WallTime(milliseconds: 3000)) == Timestamp(seconds: 5, increment: 3))
        clock.advance(toLogged: Timestamp(seconds: 9, increment: UInt32(Int32.max)))
        #expect(try clock.tick(wall) == Timestamp(seconds: 10, increment: 1))
        clock.advance(toLogged: Timestamp(seconds: UInt32(Int32.max), increment: UInt32(Int32.max)))
        #expect(throws: ServerError.self) { try clock.tick(wall) }
    }

    @Test("a cluster time too far ahead of the wall clock is refused")
    func drift() throws {
        var clock = LogicalClock()
        let wall = WallTime(milliseconds: 1_000_000)
        try clock.advance(to: Timestamp(seconds: 1_000 + 365 * 24 * 3600, increment: 1), wall: wall)
        let error = #expect(throws: ServerError.self) {
            try clock.advance(to: Timestamp(seconds: 1_001 + 365 * 24 * 3600, increment: 1), wall: wall)
        }
        #expect(error?.code == .clusterTimeFailsRateLimiter)
    }

    @Test("creating again is harmless with the same options and refused with others")
    func createTwice() async throws {
        let node = try await Fixture()
        try node.createCollection()
        try node.createCollection()
        let error = #expect(throws: ServerError.self) {
            try node.createCollection(Fixture.orders, ["capped": true, "size": 5000])
        }
        #expect(error?.code == .namespaceExists)
        #expect(try node.entries().count == 1)
    }

    @Test("a dropped collection's data goes when the drop is majority-committed, at once on a standalone")
    func twoPhaseDrop() async throws {
        let member = try await Fixture()
        try member.insert(["_id": 1], ["_id": 2])
        let table = try member.collection().table
        try member.store.dropCollection(Fixture.orders, member.context)
        #expect(try member.find().isEmpty)
        #expect(member.engine.statistics(table).entries == 2)
        let last = try #require(member.store.oplog.last)
        member.versions.setCommitPoint(last)
        try member.store.catalog.onCommitPoint(last)
        #expect(member.engine.statistics(table).entries == 0)
        let standalone = try await Fixture(isReplicated: false)
        try standalone.insertOne(["_id": 1])
        let other = try standalone.collection().table
        try standalone.store.dropCollection(Fixture.orders, standalone.context)
        #expect(standalone.engine.statistics(other).entries == 0)
    }

    @Test("a read in the past sees a collection that was dropped since, and not one that was created since")
    func readInThePast() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let before = try #require(node.store.oplog.last).timestamp
        try node.update(["q": ["_id": 1], "u": ["$set": ["a": 1]]])
        try node.store.dropCollection(Fixture.orders, node.context)
        let items = Namespace("shop", "items")
        try node.insertOne(["_id": 2], into: items)
        #expect(try node.find(at: .at(before)) == [["_id": 1]])
        #expect(try node.find(in: items, at: .at(before)).isEmpty)
        #expect(try node.find().isEmpty)
    }

    @Test("renaming keeps the documents, over another collection only when told so")
    func rename() async throws {
        let node = try await Fixture()
        let items = Namespace("shop", "items")
        try node.insertOne(["_id": 1])
        try node.insertOne(["_id": 2], into: items)
        let error = #expect(throws: ServerError.self) {
            try node.store.renameCollection(Fixture.orders, to: items, dropTarget: false, node.context)
        }
        #expect(error?.code == .namespaceExists)
        try node.store.renameCollection(Fixture.orders, to: items, dropTarget: true, node.context)
        #expect(try node.find(in: items) == [["_id": 1]])
        #expect(node.store.catalog.find(Fixture.orders) == nil)
        try node.store.load()
        #expect(try node.find(in: items) == [["_id": 1]])
    }

    @Test("a capped collection keeps the newest documents, on a secondary too")
    func capped() async throws {
        let node = try await Fixture()
        try node.createCollection(Fixture.orders, ["capped": true, "size": 4096, "max": 3])
        for id in 0..<7 { try node.insertOne(["_id": .int32(Int32(id))]) }
        #expect(try node.find().map { $0["_id"] } == [4, 5, 6])
        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        #expect(try secondary.find() == node.find())
    }

    @Test(
        "what is not supported is refused in so many words",
        arguments: [
            ["encryptedFields": ["fields": []]], ["timeseries": ["timeField": "t"]], ["collation": ["locale": "de"]],
        ] as [Document])
    func unsupported(options: Document) async throws {
        let node = try await Fixture()
        let error = #expect(throws: ServerError.self) { try node.createCollection(Fixture.orders, options) }
        #expect(error?.code == .commandNotSupported)
    }

    @Test("clients may not write the oplog or system collections")
    func protected() async throws {
        let node = try await Fixture()
        for namespace in [Namespace("local", "oplog.rs"), Namespace("shop", "system.views")] {
            let error = #expect(throws: ServerError.self) { try node.insert(["_id": 1], into: namespace) }
            #expect(error?.code == .invalidNamespace)
        }
    }
}
