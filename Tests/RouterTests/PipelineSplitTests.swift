import BSON
import Core
import Query
import Testing

/// A pipeline that is split gives what it gives as a whole, however its documents lie on shards.
@Suite struct PipelineSplitTests {
    /// Documents that a generator makes: numbers of several types, missing fields, arrays.
    private static func documents(_ random: inout SplitMix64, _ count: Int) -> [Document] {
        (0..<count).map { index in
            var document: Document = ["_id": .int32(Int32(index)), "g": .int32(Int32(random.next(below: 5)))]
            switch random.next(below: 5) {
            case 0: document.append("x", .double(Double(random.next(below: 1000)) / 8))
            case 1: document.append("x", .int64(Int64(random.next(below: 1 << 40))))
            case 2: document.append("x", .null)
            case 3: document.append("x", .int32(Int32(random.next(below: 100))))
            default: break
            }
            document.append("t", .array((0..<random.next(below: 4)).map { .string("t\($0)") }))
            return document
        }
    }

    private static let pipelines: [[Document]] = [
        [["$match": ["g": ["$lt": 3]]], ["$project": ["x": 1]], ["$sort": ["_id": 1]]],
        [["$sort": ["x": -1, "_id": 1]], ["$skip": 3], ["$limit": 11]],
        [["$sort": ["_id": 1]], ["$skip": 2], ["$match": ["g": 1]]],
        [["$match": ["g": ["$gt": 0]]], ["$count": "n"]],
        [["$match": ["g": 77]], ["$count": "n"]],
        [
            [
                "$group": [
                    "_id": "$g", "n": ["$sum": 1], "sum": ["$sum": "$x"], "mean": ["$avg": "$x"],
                    "least": ["$min": "$x"],
                    "most": ["$max": "$x"], "all": ["$addToSet": "$x"], "spread": ["$stdDevSamp": "$x"],
                    "low": ["$minN": ["n": 2, "input": "$_id"]],
                    "top": ["$topN": ["n": 2, "sortBy": ["_id": -1], "output": "$_id"]],
                ]
            ], ["$set": ["all": ["$size": "$all"]]], ["$sort": ["_id": 1]],
        ],
        [["$group": ["_id": ["g": "$g"], "n": ["$count": [:]]]], ["$sort": ["_id.g": 1]]],
        [["$group": ["_id": nil, "median": ["$median": ["input": "$x", "method": "approximate"]]]]],
        [["$unwind": "$t"], ["$sortByCount": "$t"], ["$sort": ["count": -1, "_id": 1]]],
        [["$bucket": ["groupBy": "$_id", "boundaries": [0, 20, 60, 1000], "output": ["n": ["$sum": "$g"]]]]],
        [["$bucketAuto": ["groupBy": "$_id", "buckets": 3]]],
        [["$facet": ["a": [["$match": ["g": 1]], ["$count": "n"]], "b": [["$sort": ["_id": -1]], ["$limit": 2]]]]],
    ]

    @Test("the parts of a pipeline give what the whole gives", arguments: 0..<pipelines.count)
    func sameResults(_ number: Int) throws {
        for seed in UInt64(1)...20 {
            var random = SplitMix64(seed: seed)
            let documents = Self.documents(&random, Int(random.next(below: 120)))
            let pipeline = Self.pipelines[number]
            let whole = try Self.run(pipeline, over: documents, .whole)
            var shards: [[Document]] = Array(repeating: [], count: 1 + Int(random.next(below: 4)))
            for document in documents { shards[Int(random.next(below: UInt64(shards.count)))].append(document) }
            let split = PipelineSplit(pipeline)
            var parts: [Document] = []
            for shard in shards {
                parts += try Self.run(split.shards, over: shard, split.isGrouped ? .shard : .whole)
            }
            if let sort = split.sort { parts = try Self.run([["$sort": .document(sort)]], over: parts, .whole) }
            let merged = try Self.run(split.merge, over: parts, split.isGrouped ? .merge : .whole)
            #expect(merged.map(Self.rounded) == whole.map(Self.rounded), "seed \(seed), \(pipeline)")
        }
    }

    @Test("what a shard may leave out it leaves out")
    func limits() {
        #expect(PipelineSplit([["$skip": 5], ["$limit": 10], ["$match": ["a": 1]]]).shards == [["$limit": .int64(15)]])
        #expect(
            PipelineSplit([["$sort": ["a": 1]], ["$limit": 4]]).shards
                == [["$sort": ["a": 1]], ["$limit": .int64(4)]])
        #expect(PipelineSplit([["$skip": 5], ["$match": ["a": 1]], ["$limit": 10]]).shards.isEmpty)
        #expect(PipelineSplit([["$match": ["a": 1]], ["$lookup": [:]]]).merge == [["$lookup": [:]]])
    }

    @Test("collections that a pipeline reads besides its own are found wherever they are named")
    func joined() {
        let pipeline: [Document] = [
            ["$lookup": ["from": "a", "pipeline": [["$unionWith": "b"]], "as": "x"]],
            ["$facet": ["f": [["$graphLookup": ["from": "c"]]]]], ["$unionWith": ["coll": "d"]],
        ]
        #expect(PipelineSplit.joined(pipeline) == ["a", "b", "c", "d"])
    }

    private static func run(_ stages: [Document], over documents: [Document], _ part: PipelinePart) throws -> [Document]
    {
        var now = Instant.zero
        let clock = PipelineClock {
            now = now + .nanoseconds(1)
            return now
        }
        let array = Document(array: stages.map { .document($0) })
        let pipeline = try array.withView { try Pipeline($0, context: QueryContext(), part: part) }
        let output = try pipeline.makeExecution(
            over: DocumentsSource(documents, clock),
            PipelineEnvironment(clock: clock) { stage, _ in
                throw ServerError(.commandNotSupported, stage.name)
            })
        var results: [Document] = []
        while true {
            clock.begin(until: now + .seconds(1))
            switch try output.next() {
            case .document(let document): results.append(document.document)
            case .yield: continue
            case .end: return results
            }
        }
    }

    /// Sums of fractions differ in their last bits by the order in which they were added, and of equal numbers of two
    /// types the first that comes is kept.
    private static func rounded(_ document: Document) -> Document {
        Document { writer in
            for (name, value) in document.fields {
                guard let number = value.asNumber, number.isFinite, number != 0 else {
                    writer.append(name, value)
                    continue
                }
                var scale = 1.0
                while number.magnitude / scale >= 10 { scale *= 10 }
                writer.append(name, .double((number / scale * 1e8).rounded() / 1e8 * scale))
            }
        }
    }
}
