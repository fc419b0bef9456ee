import BSON
import Core
import Data
import Query
import Testing

@Suite("Indexes")
struct IndexTests {
    @Test("reads by any plan find what a look at every document finds", arguments: 1...10)
    func agreesWithScan(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 991), node: node)
        try node.insertOne(["_id": 1000])
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        try node.createIndex(["key": ["b": -1, "a": 1], "name": "b_a"])
        for _ in 0..<60 {
            try node.insert(writes.document(), ordered: false)
            try node.update(["q": .document(writes.filter()), "u": ["$inc": ["a": 1]], "multi": true])
            try node.delete(["_id": .int32(Int32(writes.pick(40)))])
            let filter = writes.filter()
            let sort: Document = writes.pick(2) == 0 ? ["a": 1, "_id": 1] : ["_id": -1]
            let planned = try node.find(["filter": .document(filter), "sort": .document(sort)])
            let scanned = try node.find(
                ["filter": .document(filter), "sort": .document(sort), "hint": ["$natural": 1]])
            #expect(planned == scanned)
            let compiled = try filter.withView { try Filter($0, context: QueryContext()) }
            let dumb = try node.find().filter { try $0.withView { try compiled.matches($0) } }
            #expect(dumb.count == scanned.count)
        }
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("a unique index refuses a second key, on insert, update and build")
    func unique() async throws {
        let node = try await Fixture()
        try node.insert(["_id": 1, "k": 1], ["_id": 2, "k": 2])
        try node.createIndex(["key": ["k": 1], "name": "k_1", "unique": true])
        let error = #expect(throws: ServerError.self) { try node.insertOne(["_id": 3, "k": 1]) }
        #expect(
            error?.message == "E11000 duplicate key error collection: shop.orders index: k_1 dup key: { k: 1 }")
        #expect(error?.details == ["keyPattern": ["k": 1], "keyValue": ["k": 1]])
        let update = #expect(throws: ServerError.self) {
            try node.update(["q": ["_id": 2], "u": ["$set": ["k": 1]]])
        }
        #expect(update?.code == .duplicateKey)
        try node.insert(["_id": 3, "k": 3, "j": 1], ["_id": 4, "k": 4, "j": 1])
        let build = #expect(throws: ServerError.self) {
            try node.createIndex(["key": ["j": 1], "name": "j_1", "unique": true, "sparse": true])
        }
        #expect(build?.code == .duplicateKey)
        #expect(try node.collection().indexes.map(\.name) == ["_id_", "k_1"])
        #expect(
            try node.entries().compactMap { $0["o"]?.asDocument?.keys.first }.suffix(2) == [
                "startIndexBuild", "abortIndexBuild",
            ])
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("a build goes on while documents are written, and a secondary ends with the same", arguments: 1...6)
    func concurrentBuild(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed), node: node)
        for id in 0..<300 { try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(writes.pick(20)))]) }
        let specification: Document = ["key": ["a": 1], "name": "a_1"]
        let outcome = try specification.withView { try node.store.createIndexes(Fixture.orders, [$0], node.context) }
        let build = try #require(outcome.build)
        var steps = 0
        while case .yield = try build.step(until: node.runtime.now) {
            steps += 1
            try #require(steps < 100, "the build does not come to an end")
            for _ in 0..<5 {
                try node.update(
                    [
                        "q": ["_id": .int32(Int32(writes.pick(300)))],
                        "u": ["$set": ["a": .int32(Int32(writes.pick(20)))]],
                    ])
                try node.delete(["_id": .int32(Int32(writes.pick(300)))])
                try node.insert(["a": .int32(Int32(writes.pick(20)))])
            }
            #expect(try node.store.checkConsistency() == [])
        }
        #expect(steps > 2)
        try node.store.commitIndexBuild(build, node.context)
        #expect(try node.store.checkConsistency() == [])
        let secondary = try await Fixture(seed: seed + 50)
        try secondary.apply(try node.entries())
        #expect(try secondary.store.checkConsistency() == [])
        #expect(try secondary.store.hashOfEverything() == node.store.hashOfEverything())
    }

    @Test("a restart in the middle of a build scans again")
    func restart() async throws {
        let node = try await Fixture()
        for id in 0..<200 { try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(id % 7))]) }
        let specification: Document = ["key": ["a": 1], "name": "a_1"]
        let outcome = try specification.withView { try node.store.createIndexes(Fixture.orders, [$0], node.context) }
        _ = try outcome.build?.step(until: node.runtime.now)
        try node.store.load()
        let build = try #require(node.store.indexBuilds.first)
        while case .yield = try build.step(until: node.runtime.now) {}
        try node.store.commitIndexBuild(build, node.context)
        #expect(try node.store.checkConsistency() == [])
        #expect(try node.find(["filter": ["a": 3], "hint": "a_1"]).count == 29)
    }

    @Test(
        "conflicting definitions are refused with MongoDB's codes",
        arguments: [
            (["key": ["a": 1], "name": "other"], .indexOptionsConflict),
            (["key": ["b": 1], "name": "a_1"], .indexKeySpecsConflict),
            (["key": ["a": 1], "name": "a_1", "unique": true], .indexKeySpecsConflict),
            (["key": ["a": 0], "name": "zero"], .cannotCreateIndex),
        ] as [(Document, ErrorCode)])
    func conflicts(specification: Document, code: ErrorCode) async throws {
        let node = try await Fixture()
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        let error = #expect(throws: ServerError.self) { try node.createIndex(specification) }
        #expect(error?.code == code)
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        #expect(try node.collection().indexes.count == 2)
    }

    @Test("the _id index cannot be dropped, and others by name, key or all")
    func dropping() async throws {
        let node = try await Fixture()
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        try node.createIndex(["key": ["b": 1], "name": "b_1"])
        try node.createIndex(["key": ["c": 1], "name": "c_1"])
        func drop(_ which: Value) throws {
            let command: Document = ["index": which]
            try command.withView { view in
                if let which = view["index"] { _ = try node.store.dropIndexes(Fixture.orders, which, node.context) }
            }
        }
        #expect(throws: ServerError.self) { try drop("_id_") }
        #expect(throws: ServerError.self) { try drop("nope") }
        try drop("a_1")
        try drop(["b": 1])
        #expect(try node.collection().indexes.map(\.name) == ["_id_", "c_1"])
        try drop("*")
        #expect(try node.collection().indexes.map(\.name) == ["_id_"])
    }
}
