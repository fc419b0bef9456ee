import BSON
import Core
@testable import Data
import Testing

/// Random writes of all kinds on one node.
struct RandomWrites {
    var numbers: SplitMix64
    let node: Fixture
    let namespaces = [Fixture.orders, Namespace("shop", "items"), Namespace("store", "a.b")]

    mutating func pick(_ bound: Int) -> Int { Int(numbers.next() % UInt64(bound)) }

    mutating func document() -> Document {
        var document: Document = ["_id": .int32(Int32(pick(40)))]
        if pick(4) > 0 { document.append("a", .int32(Int32(pick(10)))) }
        if pick(3) == 0 { document.append("b", .array((0..<pick(4)).map { _ in .int32(Int32(pick(6))) })) }
        if pick(3) == 0 { document.append("c", .document(["d": .string(String(repeating: "x", count: pick(80)))])) }
        return document
    }

    mutating func filter() -> Document {
        switch pick(5) {
        case 0: ["_id": .int32(Int32(pick(40)))]
        case 1: ["a": .int32(Int32(pick(10)))]
        case 2: ["a": ["$gte": .int32(Int32(pick(10)))], "_id": ["$lt": .int32(Int32(pick(40)))]]
        case 3: ["b": .int32(Int32(pick(6)))]
        default: ["_id": ["$in": [.int32(Int32(pick(40))), .int32(Int32(pick(40)))]]]
        }
    }

    mutating func change() -> Value {
        switch pick(6) {
        case 0: ["$inc": ["a": 1]]
        case 1: ["$set": ["c.d": .string(String(repeating: "y", count: pick(60)))]]
        case 2: ["$push": ["list": .int32(Int32(pick(5)))]]
        case 3: ["$unset": ["a": ""]]
        case 4: ["$set": ["a": .int32(Int32(pick(10))), "e": true]]
        default: .document(["a": .int32(Int32(pick(10))), "z": 1])
        }
    }

    mutating func run() throws {
        let namespace = namespaces[pick(namespaces.count)]
        do {
            switch pick(20) {
            case 0..<8: try node.insert(document(), document(), into: namespace, ordered: false)
            case 8..<13:
                let change = change()
                let isReplacement = change.asDocument?.keys.first?.hasPrefix("$") == false
                try node.update(
                    [
                        "q": .document(filter()), "u": change, "multi": .bool(!isReplacement && pick(2) == 0),
                        "upsert": .bool(pick(4) == 0),
                    ], in: namespace)
            case 13..<17: try node.delete(filter(), limit: Int32(pick(2)), in: namespace)
            case 17:
                try node.createIndex(["key": ["a": 1], "name": "a_1"], on: namespace)
                try node.createIndex(["key": ["b": -1, "a": 1], "name": "b_a", "sparse": .bool(true)], on: namespace)
            case 18:
                try node.createIndex(["key": ["z": 1], "name": "z_1", "unique": true, "sparse": true], on: namespace)
                let any: Document = ["index": "a_1"]
                try any.withView { try $0["index"].map { _ = try node.store.dropIndexes(namespace, $0, node.context) } }
            default:
                switch pick(6) {
                case 0: try node.store.dropCollection(namespace, node.context)
                case 1:
                    try node.store.renameCollection(
                        namespace, to: namespaces[pick(namespaces.count)], dropTarget: true, node.context)
                case 2: try node.store.dropDatabase(namespace.database, node.context)
                default: try node.createCollection(namespace)
                }
            }
        } catch is ServerError {
            // Duplicate keys, namespaces that are not there: part of the game.
        }
        node.runtime.wallClock.milliseconds += Int64(pick(2000))
    }
}

@Suite("Oplog application")
struct ApplyTests {
    @Test("applying all entries in order gives equal data and a consistent copy", arguments: 1...12)
    func applyAll(seed: UInt64) async throws {
        let primary = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed), node: primary)
        let secondary = try await Fixture(seed: seed + 100)
        var applied = 0
        for round in 0..<300 {
            try writes.run()
            guard round % 60 == 59 else { continue }
            try secondary.apply(try primary.entries().dropFirst(applied))
            applied = try primary.entries().count
            #expect(try secondary.store.hashOfEverything() == primary.store.hashOfEverything())
            #expect(try primary.store.checkConsistency() == [])
            #expect(try secondary.store.checkConsistency() == [])
        }
        #expect(try secondary.entries() == primary.entries())
        #expect(applied > 100)
    }

    @Test("applying any suffix again gives equal data", arguments: 1...10)
    func applySuffixTwice(seed: UInt64) async throws {
        let primary = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 77), node: primary)
        for _ in 0..<120 { try writes.run() }
        let clone = try await Fixture(keepsHistory: false, seed: seed + 100)
        let entries = try primary.entries()
        try clone.apply(entries, .initialSync)
        for _ in 0..<4 {
            let start = writes.pick(entries.count)
            try clone.apply(entries.dropFirst(start), .replay)
            while let build = try clone.store.nextDeferredBuild() {
                while case .yield = try build.step(until: clone.runtime.now, .committing) {}
                try clone.store.finishDeferredBuild(build)
            }
            #expect(try clone.store.hashOfEverything() == primary.store.hashOfEverything())
            #expect(try clone.store.checkConsistency() == [])
        }
    }

    @Test("an entry for a document that is not there stops a secondary and is passed over by a clone")
    func missingTarget() async throws {
        let primary = try await Fixture()
        try primary.insertOne(["_id": 1])
        try primary.update(["q": ["_id": 1], "u": ["$set": ["a": 1]]])
        let entries = try primary.entries()
        let secondary = try await Fixture()
        try secondary.apply([entries[0]])
        #expect(throws: InvariantViolation.self) { try secondary.apply([entries[2]]) }
        let clone = try await Fixture(keepsHistory: false)
        try clone.apply([entries[0]], .initialSync)
        let outcome = try entries[2].withView { try clone.store.apply($0, .initialSync) }
        guard case .needsFetch(let documents) = outcome, documents.count == 1 else {
            Issue.record("the document is not asked for: \(outcome)")
            return
        }
        #expect(documents[0].namespace == Fixture.orders)
        #expect(documents[0].id == 1)
    }

    @Test("what is in memory after a reload equals what it was before", arguments: 1...6)
    func reload(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 31), node: node)
        for _ in 0..<150 { try writes.run() }
        let before = try node.store.hashOfEverything()
        let counters = node.store.catalog.collections.map { [$0.count, $0.dataBytes] }
        try node.store.load()
        #expect(try node.store.hashOfEverything() == before)
        #expect(node.store.catalog.collections.map { [$0.count, $0.dataBytes] } == counters)
        #expect(try node.store.checkConsistency() == [])
        for _ in 0..<50 { try writes.run() }
        #expect(try node.store.checkConsistency() == [])
    }

    @Test("a rollback brings back the data, the catalog and the dropped collections", arguments: 1...8)
    func rollback(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 131), node: node)
        for _ in 0..<80 { try writes.run() }
        let hash = try node.store.hashOfEverything()
        let point = try #require(node.store.oplog.last)
        for _ in 0..<80 { try writes.run() }
        while try !node.versions.undo(after: point, limit: 10) {}
        try node.versions.truncateLog(after: point.timestamp)
        try node.store.load()
        #expect(try node.store.hashOfEverything() == hash)
        #expect(try node.store.checkConsistency() == [])
        for _ in 0..<40 { try writes.run() }
        #expect(try node.store.checkConsistency() == [])
    }
}
