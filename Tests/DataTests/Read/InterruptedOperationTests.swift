import BSON
import Core
import Data
import Query
import Testing

/// Reads and writes whose expressions take many slices for one document, interrupted at every look at the time.
@Suite("Operations over documents that take many slices") struct InterruptedOperationTests {
    /// Counts two thousand elements; matches where `n` is odd.
    private static let heavy: Value = [
        "$eq": [["$mod": [["$add": ["$n", ["$size": ["$map": ["input": "$a", "in": 1]]]]], 2]], 1]
    ]
    private static let count: Value = ["$size": ["$filter": ["input": "$a", "cond": ["$in": ["$$this", "$a"]]]]]

    private func filled() async throws -> Fixture {
        let node = try await Fixture()
        let array = Value.array((0..<2000).map { .int32(Int32($0)) })
        for id in 0..<6 { try node.insertOne(["_id": .int32(Int32(id)), "n": .int32(Int32(id)), "a": array]) }
        return node
    }

    private func context(_ node: Fixture) -> QueryContext {
        var context = node.context.query
        context.budget = Confined(EvaluationBudget(node.runtime, looksPerSlice: 0))
        return context
    }

    /// Runs an operation to its end; how many slices it took.
    private func slices(_ run: () throws -> WriteProgress) throws -> Int {
        var slices = 1
        while case .yield = try run() {
            slices += 1
            try #require(slices < 100_000)
        }
        return slices
    }

    @Test("a find with a filter, a projection and an order shows every document once")
    func find() async throws {
        let node = try await filled()
        try node.createIndex(["key": ["n": 1], "name": "n"])
        for extra: Document in [[:], ["sort": ["n": -1]], ["sort": ["a": 1], "skip": 1], ["hint": "n"], ["limit": 2]] {
            var command: Document = [
                "filter": ["$expr": Self.heavy], "projection": ["x": Self.count, "y": Self.heavy],
            ]
            for field in extra.fields { command.append(field.key, field.value) }
            let wanted = try node.find(command)
            let request = try command.withView { try FindRequest(Fixture.orders, $0, context: context(node)) }
            let cursor = try QueryCursor(node.store, request)
            #expect(try node.drain(cursor) == wanted)
            cursor.close()
            #expect(!wanted.isEmpty)
        }
    }

    @Test("an aggregation feeds its stages every document once")
    func aggregate() async throws {
        let node = try await filled()
        let stages: [Value] = [
            ["$match": ["$expr": Self.heavy]], ["$set": ["x": Self.count]], ["$unset": "a"],
            [
                "$lookup": [
                    "from": "orders", "let": ["n": "$n"],
                    "pipeline": [
                        ["$match": ["$expr": ["$and": [Self.heavy, ["$gte": ["$n", "$$n"]]]]]], ["$project": ["n": 1]],
                    ],
                    "as": "others",
                ]
            ],
            ["$group": ["_id": "$x", "n": ["$sum": "$n"], "others": ["$push": "$others"]]],
        ]
        let wanted = try node.aggregate(stages)
        let cursor = try Document(array: stages).withView {
            try AggregateCursor(node.store, Fixture.orders, pipeline: $0, context: context(node))
        }
        defer { cursor.close() }
        let buffer = ByteBuffer()
        var array = ArrayWriter(startingIn: buffer)
        var slices = 0
        while try cursor.next(into: &array, maxDocuments: 9, maxBytes: 1 << 20, deadline: .distantFuture) != .exhausted
        {
            slices += 1
            try #require(slices < 100_000)
        }
        array.finish()
        #expect(Document(trusted: buffer.toArray()).values == wanted)
        #expect(wanted.count == 1)
    }

    @Test("count, distinct and delete look at every document once")
    func others() async throws {
        let node = try await filled()
        let command: Document = ["query": ["$expr": Self.heavy], "key": "n"]
        let count = try command.withView {
            try CountOperation(node.store, Fixture.orders, $0, context: context(node))
        }
        #expect(try slices { try count.run(until: .distantFuture) } > 6)
        #expect(count.n == 3)
        let distinct = try command.withView {
            try DistinctOperation(node.store, Fixture.orders, $0, context: context(node))
        }
        #expect(try slices { try distinct.run(until: .distantFuture) } > 6)
        #expect(distinct.values == [1, 3, 5])
        let statement: Document = ["q": ["$expr": Self.heavy], "limit": 0]
        let delete = try statement.withView {
            try DeleteOperation(node.store, Fixture.orders, $0, context: context(node))
        }
        #expect(try slices { try delete.run(node.context, until: .distantFuture) } > 6)
        #expect(delete.n == 3)
        #expect(try node.find(["projection": ["_id": 1]]) == [["_id": 0], ["_id": 2], ["_id": 4]])
    }

    @Test("an update is applied once, and to the document as it is when the update is through")
    func update() async throws {
        for isMulti in [false, true] {
            let node = try await filled()
            let statement: Document = [
                "q": isMulti ? ["$expr": Self.heavy] : ["_id": 1],
                "u": [["$set": ["n": ["$add": ["$n", Self.count]], "seen": "$x"]]], "multi": .bool(isMulti),
            ]
            let operation = try statement.withView {
                UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: context(node)))
            }
            var slices = 0
            while case .yield = try operation.run(node.context, until: .distantFuture) {
                slices += 1
                // Behind the first interruption the document changes.
                if slices == 1 { try node.update(["q": ["_id": 1], "u": ["$set": ["x": 7]]]) }
                try #require(slices < 100_000)
            }
            #expect(slices > 3)
            #expect(operation.n == (isMulti ? 3 : 1))
            #expect(
                try node.find(["filter": ["_id": 1], "projection": ["a": 0]]) == [
                    ["_id": 1, "n": 2001, "x": 7, "seen": 7]
                ])
        }
    }

    @Test("findAndModify changes its document once")
    func findAndModify() async throws {
        let node = try await filled()
        let command: Document = [
            "query": ["$expr": Self.heavy], "sort": ["n": -1],
            "update": [["$set": ["n": Self.count]], ["$unset": "a"]],
            "new": true,
        ]
        let operation = try command.withView {
            try FindAndModifyOperation(node.store, Fixture.orders, $0, context: context(node))
        }
        #expect(try slices { try operation.run(node.context, until: .distantFuture) } > 6)
        #expect(operation.value == ["_id": 5, "n": 2000])
        #expect(operation.n == 1)
    }

    @Test("a regular expression over a long text is searched for in slices")
    func regex() async throws {
        let node = try await Fixture()
        for id in 0..<3 {
            let text = String(repeating: "ab", count: 100_000) + (id == 1 ? "needle" : "")
            try node.insertOne(["_id": .int32(Int32(id)), "s": .string(text)])
        }
        let command: Document = ["query": ["s": .regex(pattern: "ne+dle", options: "")]]
        let count = try command.withView {
            try CountOperation(node.store, Fixture.orders, $0, context: context(node))
        }
        #expect(try slices { try count.run(until: .distantFuture) } > 3)
        #expect(count.n == 1)
    }

    @Test("a regular expression comes to the end of a document with several long texts")
    func regexOverSeveralTexts() async throws {
        let node = try await Fixture()
        let texts = (0..<4).map { String(repeating: "ab", count: 60_000 + $0) }
        for id in 0..<3 {
            try node.insertOne([
                "_id": .int32(Int32(id)), "s": .array(texts.map { .string($0 + (id == 1 ? "needle" : "")) }),
                "t": .string(texts[0]),
            ])
        }
        let regex = Value.regex(pattern: "ne+dle", options: "")
        let found: [(Document, [Value])] = [
            (["s": regex], [1]), (["s": ["$not": regex]], [0, 2]), (["s": ["$in": [regex]]], [1]),
            (["$or": [["t": regex], ["s": regex]]], [1]), (["$nor": [["s": regex], ["t": regex]]], [0, 2]),
        ]
        for (filter, ids) in found {
            let command: Document = ["query": .document(filter), "key": "_id"]
            let operation = try command.withView {
                try DistinctOperation(node.store, Fixture.orders, $0, context: context(node))
            }
            #expect(try slices { try operation.run(until: .distantFuture) } > 3)
            #expect(operation.values == ids)
        }
    }

    @Test("an update whose first stage makes a random number comes to its end")
    func updateWithRandomNumbers() async throws {
        let node = try await filled()
        let statement: Document = [
            "q": ["_id": 1], "u": [["$set": ["r": ["$rand": [:]]]], ["$set": ["c": Self.count]], ["$unset": "a"]],
        ]
        var context = context(node)
        context.random = QueryContext(randomSeed: 1).random
        let operation = try statement.withView {
            UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: context))
        }
        #expect(try slices { try operation.run(node.context, until: .distantFuture) } > 3)
        #expect(operation.nModified == 1)
        #expect(try node.find(["filter": ["_id": 1], "projection": ["r": 0]]) == [["_id": 1, "n": 1, "c": 2000]])
    }
}
