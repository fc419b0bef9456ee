import BSON
import Core
import Data
import Query
import Testing

/// Random pipelines whose expressions are interrupted at every look at the time give what they give in one piece.
@Suite("Interrupted pipelines") struct InterruptedPipelineTests {
    /// Makes pipelines.
    private struct Maker {
        var random: SplitMix64

        mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        mutating func one<T>(_ values: [T]) -> T { values[below(values.count)] }

        /// Some hundred steps of work, whose outcome depends on the document.
        mutating func heavy() -> Value {
            one([
                ["$size": ["$filter": ["input": "$a", "cond": ["$lt": ["$$this", ["$multiply": ["$n", 10]]]]]]],
                ["$reduce": ["input": "$a", "initialValue": "$n", "in": ["$add": ["$$value", "$$this"]]]],
                [
                    "$sum": [
                        "$map": ["input": ["$range": [0, 400]], "in": ["$multiply": ["$$this", ["$size": "$b"]]]]
                    ]
                ],
                [
                    "$size": [
                        "$reduce": ["input": "$a", "initialValue": [], "in": ["$concatArrays": ["$$value", ["$n"]]]]
                    ]
                ],
                "$n",
            ])
        }

        mutating func document(_ id: Int) -> Document {
            [
                "_id": .int32(Int32(id)), "n": .int32(Int32(below(9))),
                "a": .array((0..<one([0, 3, 300, 700])).map { .int32(Int32($0)) }),
                "b": .array((0..<below(4)).map { .int32(Int32($0)) }), "s": .string(one(["x", "y", "zz"])),
            ]
        }

        private mutating func condition() -> Value { ["$eq": [["$mod": [heavy(), 2]], .int32(Int32(below(2)))]] }

        mutating func stage(_ depth: Int) -> [Value] {
            switch below(depth > 0 ? 12 : 9) {
            case 0: return [["$match": ["$expr": condition()]]]
            case 1: return [["$match": ["n": ["$gte": .int32(Int32(below(5)))]]]]
            case 2: return [["$set": ["x": heavy(), "y": ["z": heavy()]]]]
            case 3:
                return [
                    ["$project": ["n": 1, "a": 1, "b": heavy(), "x": 1]], ["$set": ["b": ["$ifNull": [[1], []]]]],
                ]
            case 4:
                return [
                    ["$unwind": ["path": "$b", "preserveNullAndEmptyArrays": .bool(below(2) == 0)]],
                    ["$set": ["b": ["$b"]]],
                ]
            case 5:
                return [
                    ["$group": ["_id": heavy(), "n": ["$sum": heavy()], "c": ["$push": heavy()]]],
                    ["$set": ["a": ["$range": [0, 300]], "b": [1, 2]]],
                ]
            case 6: return [["$sort": ["n": .int32(one([1, -1])), "_id": 1]]]
            case 7: return [["$limit": .int32(Int32(1 + below(6)))]]
            case 8: return [["$skip": .int32(Int32(below(3)))]]
            case 9:
                let facets = Document { writer in
                    for index in 0...below(3) { writer.append("f\(index)", .array(pipeline(depth - 1, 2))) }
                }
                return [["$facet": .document(facets)], ["$set": ["n": 3, "a": ["$range": [0, 300]], "b": "$f0"]]]
            case 10:
                let inner: [Value] = [
                    ["$match": ["$expr": ["$and": [condition(), ["$lte": ["$n", "$$m"]]]]]], ["$limit": 2],
                ]
                return [
                    [
                        "$lookup": [
                            "from": "stock", "let": ["m": heavy()], "pipeline": .array(inner + pipeline(depth - 1, 1)),
                            "as": "others",
                        ]
                    ]
                ]
            default: return [["$unionWith": ["coll": "stock", "pipeline": .array(pipeline(depth - 1, 2))]]]
            }
        }

        mutating func pipeline(_ depth: Int, _ most: Int) -> [Value] {
            var stages: [Value] = []
            for _ in 0...below(most) { stages += stage(depth) }
            return stages
        }
    }

    /// How a cursor is asked.
    private enum Asking: CaseIterable {
        case whole, everyLook, shortSlices
    }

    private func results(_ node: Fixture, _ stages: [Value], _ asking: Asking, batch: Int) throws -> [Document] {
        var context = node.context.query
        context.random = QueryContext(randomSeed: 1).random
        if asking != .whole {
            context.budget = Confined(
                EvaluationBudget(node.runtime, looksPerSlice: asking == .everyLook ? 0 : .max))
        }
        let cursor = try Document(array: stages).withView {
            try AggregateCursor(node.store, Fixture.orders, pipeline: $0, context: context)
        }
        defer { cursor.close() }
        node.runtime.nanosecondsPerReading = asking == .shortSlices ? 1000 : 0
        var results: [Document] = []
        var slices = 0
        while true {
            let buffer = ByteBuffer()
            var array = ArrayWriter(startingIn: buffer)
            var progress = CursorProgress.yield
            while case .yield = progress {
                slices += 1
                try #require(slices < 100_000, "no end")
                progress = try cursor.next(
                    into: &array, maxDocuments: batch - array.count, maxBytes: Limits.cursorBatchBytesMax,
                    deadline: asking == .shortSlices ? node.runtime.now + .nanoseconds(2500) : .distantFuture)
            }
            array.finish()
            results += DocumentView(base: UnsafeRawPointer(buffer.base)).compactMap { $0.value.asDocument?.document }
            if case .exhausted = progress { return results }
        }
    }

    @Test("what comes is the same, in the same order", arguments: 1...8)
    func same(seed: UInt64) async throws {
        var maker = Maker(random: SplitMix64(seed: seed))
        let node = try await Fixture()
        for id in 0..<12 { try node.insertOne(maker.document(id)) }
        for id in 0..<6 { try node.insertOne(maker.document(id), into: Namespace("shop", "stock")) }
        try node.createIndex(["key": ["n": 1], "name": "n"])
        for _ in 0..<20 {
            let stages = maker.pipeline(2, 4)
            let wanted = Result { try results(node, stages, .whole, batch: 100) }
            for (asking, batch) in [(Asking.everyLook, 1), (.shortSlices, 2)] {
                let found = Result { try results(node, stages, asking, batch: batch) }
                switch (wanted, found) {
                case (.success(let wanted), .success(let found)): #expect(found == wanted, "\(stages), \(asking)")
                case (.failure(let wanted as ServerError), .failure(let found as ServerError)):
                    #expect(found.code == wanted.code, "\(stages), \(asking)")
                default: Issue.record("\(stages), \(asking): \(found) instead of \(wanted)")
                }
            }
        }
    }
}
