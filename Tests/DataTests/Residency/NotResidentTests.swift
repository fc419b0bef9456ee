import BSON
import Conformance
import Core
import MemoryStorage
import Query
import Testing

@testable import Data

/// Operations over an engine in which nothing is in memory that was not prefetched, beside the same ones over an engine
/// in which everything is.
@Suite("What is not in memory") struct NotResidentTests {
    /// A member and its twin, whose storage makes it wait.
    struct Twins {
        let plain: Fixture
        let paged: Fixture
        let storage: NotResidentStorage

        init(oneIn: Int, isReplicated: Bool = true) async throws {
            storage = NotResidentStorage(MemoryStorage(), seed: 7, oneIn: oneIn)
            plain = try await Fixture(isReplicated: isReplicated)
            paged = try await Fixture(isReplicated: isReplicated, engine: storage)
        }

        /// Does the same to both, and compares what they answer.
        @discardableResult
        func both<Answer: Equatable>(_ body: (Fixture) async throws -> Answer) async throws -> Answer {
            let expected = try await body(plain)
            let found = try await body(paged)
            #expect(found == expected)
            return found
        }
    }

    static let rarities = [1, 2, 5]

    @Test("inserts, updates and deletes write what they would have written", arguments: rarities)
    func writes(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        try await twins.both { node in
            try await node.createIndexWaiting(["key": ["rank": 1], "name": "rank"])
            try await node.createIndexWaiting(["key": ["mail": 1], "name": "mail", "unique": true])
            var errors: [Int32] = []
            for id in 0..<60 as Range<Int32> {
                let document: Document = [
                    "_id": .int32(id % 50), "rank": .int32(id % 7), "mail": .string("m\(id % 40)"),
                    "tags": ["a", .int32(id)],
                ]
                errors += try await node.insertWaiting(document).map(\.error.code.rawValue)
            }
            return errors
        }
        try await twins.both { node in
            var counts: [Int] = []
            var statements: [Document] = []
            statements.append(["q": ["rank": ["$gte": 3]], "u": ["$inc": ["rank": 10]], "multi": true])
            statements.append(["q": ["rank": ["$gte": 15]], "u": ["$set": ["seen": true]], "multi": true])
            statements.append(["q": ["_id": 4], "u": ["$set": ["rank": 1]]])
            statements.append(["q": ["_id": 400], "u": ["$set": ["rank": 1]], "upsert": true])
            statements.append(["q": ["mail": "m9"], "u": ["rank": 2, "mail": "new"]])
            statements.append(["q": ["seen": true], "u": ["$set": ["rank": -1]], "sort": ["_id": -1]])
            for statement in statements {
                let operation = try statement.withView {
                    UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: node.context.query))
                }
                try await node.waiting { try operation.run(node.context, until: node.runtime.now) }
                counts += [operation.n, operation.nModified]
            }
            return counts
        }
        try await twins.both { node in
            var counts: [Int] = []
            for filter in [["rank": 11], ["_id": 2], ["tags": "a"]] as [Document] {
                let statement: Document = ["q": .document(filter), "limit": filter == ["tags": "a"] ? 1 : 0]
                let operation = try statement.withView {
                    try DeleteOperation(node.store, Fixture.orders, $0, context: node.context.query)
                }
                try await node.waiting { try operation.run(node.context, until: node.runtime.now) }
                counts.append(operation.n)
            }
            return counts
        }
        try await twins.both { try await $0.findWaiting([:]) }
        try await twins.both { try await $0.hashWaiting() }
        try await twins.both { try await $0.validateWaiting() }
        #expect(twins.storage.refusals > 100)
    }

    @Test("a document without an _id gets one, however often its insert has to wait", arguments: rarities)
    func identified(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        for _ in 0..<20 { try await twins.both { try await $0.insertWaiting(["a": 1]).count } }
        let found = try await twins.paged.findWaiting([:])
        #expect(found.count == 20 && Set(found.compactMap { $0["_id"] }).count == 20)
        let statement: Document = ["q": ["b": 1], "u": ["$set": ["c": 1]], "upsert": true]
        try await twins.both { node in
            let operation = try statement.withView {
                UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: node.context.query))
            }
            try await node.waiting { try operation.run(node.context, until: node.runtime.now) }
            return operation.upsertedID != nil
        }
    }

    @Test("reads find what is there, by every plan and through every stage", arguments: rarities)
    func reads(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        try await twins.both { node in
            for id in 0..<300 as Range<Int32> {
                _ = try await node.insertWaiting([
                    "_id": .int32(id), "rank": .int32(id % 13), "tags": [.int32(id % 5), 9],
                ])
            }
            // On data, so that it is built in slices.
            try await node.createIndexWaiting(["key": ["rank": 1], "name": "rank"])
            try await node.createIndexWaiting(["key": ["tags": 1], "name": "tags"])
            return true
        }
        var finds: [Document] = [[:], ["filter": ["rank": 3]], ["filter": ["_id": 17]]]
        finds.append(["filter": ["rank": ["$gte": 11]], "sort": ["rank": -1]])
        finds.append(["filter": ["tags": ["$in": [1, 9]]]])
        finds.append(["filter": ["_id": ["$in": [4, 7, 1000]]]])
        finds.append(["filter": ["$or": [["rank": 2], ["tags": 4]]], "projection": ["tags": 1]])
        finds.append(["sort": ["tags": 1, "_id": -1], "skip": 10, "limit": 20])
        for find in finds { try await twins.both { try await $0.findWaiting(find) } }
        var pipelines: [[Value]] = []
        pipelines.append([["$group": ["_id": "$rank", "n": ["$sum": 1]]], ["$sort": ["_id": 1]]])
        let few: Value = ["$match": ["_id": ["$lt": 9]]]
        let lookup: Value = [
            "$lookup": ["from": "orders", "localField": "rank", "foreignField": "rank", "as": "same"]
        ]
        pipelines.append([few, lookup, ["$unwind": "$same"], ["$project": ["same._id": 1]]])
        let union: Value = ["$unionWith": ["coll": "orders", "pipeline": [["$match": ["rank": 5]]]]]
        pipelines.append([["$match": ["rank": 4]], union])
        let facet: Value = ["$facet": ["a": [["$count": "n"]], "b": [["$skip": 5]]]]
        pipelines.append([["$sort": ["rank": 1, "_id": 1]], ["$limit": 7], facet])
        for pipeline in pipelines { try await twins.both { try await $0.aggregateWaiting(pipeline) } }
        try await twins.both { node in
            let operation = try (["query": ["rank": ["$lt": 6]]] as Document).withView {
                try CountOperation(node.store, Fixture.orders, $0, context: node.context.query)
            }
            try await node.waiting { try operation.run(until: node.runtime.now) }
            return operation.n
        }
        try await twins.both { node in
            let operation = try (["key": "tags", "query": ["rank": 1]] as Document).withView {
                try DistinctOperation(node.store, Fixture.orders, $0, context: node.context.query)
            }
            try await node.waiting { try operation.run(until: node.runtime.now) }
            return operation.values.map { "\($0)" }.sorted()
        }
        try await twins.both { try await $0.validateWaiting() }
    }

    @Test("a capped collection keeps its size, and its newest documents", arguments: rarities)
    func capped(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        try await twins.both { node in
            try node.createCollection(Fixture.orders, ["capped": true, "size": 4096, "max": 5])
            for id in 0..<40 as Range<Int32> { _ = try await node.insertWaiting(["_id": .int32(id)]) }
            return try await node.findWaiting([:])
        }
    }

    @Test("a statement of a retryable write is executed once, however often it has to wait", arguments: rarities)
    func retries(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        try await twins.both { node in
            var counts: [Int] = []
            for round in 0..<3 {
                // What is in memory of the session is forgotten in between.
                if round == 2 { try await node.store.whenResident { try node.store.load() } }
                let documents = (0..<12).map { (id: Int32) -> Value in ["_id": .int32(id)] }
                let array = Document(array: documents)
                try await array.withBytesWaiting { view in
                    var operation = InsertOperation(into: .namespace(Fixture.orders), DocumentRun(array: view))
                    try await node.waiting {
                        try operation.run(
                            node.store, try node.context(session: 1, number: 5), until: node.runtime.now)
                    }
                    counts += [operation.n, operation.retried.count]
                }
            }
            return counts
        }
        try await twins.both { try await $0.findWaiting([:]) }
    }

    @Test("a secondary applies the same entries, and rolls them back", arguments: rarities)
    func secondary(oneIn: Int) async throws {
        let twins = try await Twins(oneIn: oneIn)
        let primary = try await Fixture()
        try primary.createIndex(["key": ["rank": 1], "name": "rank"])
        for id in 0..<40 as Range<Int32> { try primary.insertOne(["_id": .int32(id), "rank": .int32(id % 3)]) }
        try primary.update(["q": ["rank": 1], "u": ["$inc": ["rank": 5]], "multi": true])
        try primary.createIndex(["key": ["rank": -1], "name": "down"])
        let common = try #require(primary.store.oplog.last)
        try primary.delete(["rank": 6])
        try primary.update(["q": [:], "u": ["$set": ["gone": true]], "multi": true])
        let entries = try primary.entries()
        try await twins.both { node in
            for entry in entries { try await node.applyWaiting(entry) }
            return try await node.hashWaiting()
        }
        try await twins.both { try $0.store.oplog.contains(common) ? 1 : 0 }
        try await twins.both { node in
            let operation = try await node.store.whenResident {
                try RollbackOperation(node.store, to: common, rollbackID: 2)
            }
            try await node.waiting { try operation.run(until: node.runtime.now) }
            return try await node.hashWaiting()
        }
        try await twins.both { $0.store.oplog.last }
        try await twins.both { try await $0.validateWaiting() }
    }
}

/// The log in a table of an engine that is larger than memory.
@Suite("An oplog that is not in memory") struct NotResidentOplogTests {
    @Test("old entries go in front, and the ends are known, though their entries are not in memory", arguments: [1, 3])
    func front(oneIn: Int) async throws {
        let storage = NotResidentStorage(LastingStorage(), seed: 3, oneIn: oneIn)
        let node = try await Fixture(engine: storage)
        node.store.oplog.bytesMax = 40_000
        for id in 0..<600 as Range<Int32> {
            _ = try await node.insertWaiting(["_id": .int32(id), "text": .string(String(repeating: "x", count: 100))])
            let last = try #require(node.store.oplog.last)
            try node.store.onCommitPoint(last)
            // Nobody waits for the front to be read: it is asked for, and dropped with a later write.
            try await node.store.whenResident { _ = try node.store.oplog.log.frontPiece(1) }
        }
        let oplog = node.store.oplog
        #expect(oplog.storedBytes < 60_000)
        let first = try #require(oplog.first)
        let seen = try await node.store.whenResident {
            var seen: [OpTime] = []
            try oplog.read(
                from: .zero, inclusive: true, direction: .forward, limitEntries: .max, limitBytes: .max
            ) { entry in
                if let base = entry.baseAddress, let optime = OpTime(DocumentView(base: base)) { seen.append(optime) }
                return true
            }
            return seen
        }
        #expect(seen.first == first && seen.last == oplog.last && seen.count == oplog.count)
        #expect(storage.refusals > 50)
    }
}
