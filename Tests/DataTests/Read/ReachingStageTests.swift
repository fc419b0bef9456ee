import BSON
import Core
import Data
import Testing

@Suite("Stages that read other collections")
struct ReachingStageTests {
    private func filled() async throws -> Fixture {
        let node = try await Fixture()
        for id in 0..<6 { try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(id % 3))]) }
        let stock = Namespace(Fixture.orders.database, "stock")
        for id in 0..<4 { try node.insertOne(["_id": .int32(Int32(id)), "n": .int32(Int32(id % 2))], into: stock) }
        return node
    }

    @Test("$lookup by equality gives each document its partners, whatever the slices and batches are")
    func lookup() async throws {
        let node = try await filled()
        let found = try node.aggregate(
            [
                ["$lookup": ["from": "stock", "localField": "a", "foreignField": "n", "as": "s"]],
                ["$project": ["count": ["$size": "$s"]]],
            ])
        let counts: [Int32] = [2, 2, 0, 2, 2, 0]
        #expect(
            found
                == counts.enumerated().map {
                    ["_id": .int32(Int32($0.offset)), "count": .int32($0.element)] as Value
                })
    }

    @Test("a variable of $lookup whose field is missing is missing inside of its pipeline")
    func missingVariable() async throws {
        let node = try await filled()
        let found = try node.aggregate(
            [
                ["$limit": 1],
                [
                    "$lookup": [
                        "from": "stock", "let": ["v": "$none", "w": "$a"],
                        "pipeline": [
                            ["$limit": 1],
                            [
                                "$project": [
                                    "_id": 0, "type": ["$type": "$$v"], "x": "$$v", "y": "$$v.z",
                                    "same": ["$eq": ["$$v", nil]], "w": "$$w",
                                ]
                            ],
                        ], "as": "p",
                    ]
                ], ["$project": ["_id": 0, "p": 1]],
            ])
        #expect(found == [["p": [["type": "missing", "same": false, "w": 0]]]])
    }

    @Test("$unionWith shows its input first, then the other collection, and stops at a limit behind it")
    func union() async throws {
        let node = try await filled()
        let all = try node.aggregate([["$unionWith": "stock"], ["$project": ["_id": 1]]])
        #expect(all.count == 10)
        #expect(all[6] == ["_id": 0])
        #expect(try node.aggregate([["$unionWith": "stock"], ["$limit": 7]]).count == 7)
    }

    @Test("pipelines inside pipelines end at a limit instead of on the stack")
    func depth() async throws {
        let node = try await filled()
        var pipeline: [Value] = []
        for _ in 0..<(Limits.subPipelineDepthMax + 1) {
            pipeline = [["$unionWith": ["coll": "stock", "pipeline": .array(pipeline)]]]
        }
        let error = #expect(throws: ServerError.self) { try node.aggregate(pipeline) }
        #expect(error?.code == .maxSubPipelineDepthExceeded)
    }

    @Test("an output stage inside a pipeline is refused")
    func output() async throws {
        let node = try await filled()
        let error = #expect(throws: ServerError.self) { try node.aggregate([["$out": "x"]]) }
        #expect(error?.code.rawValue == 40601)
    }

    @Test("a result larger than a document may be is refused")
    func resultTooLarge() async throws {
        let node = try await Fixture()
        for id in 0..<2 {
            try node.insertOne(["_id": .int32(Int32(id)), "v": .string(String(repeating: "x", count: 9 << 20))])
        }
        let error = #expect(throws: ServerError.self) {
            try node.aggregate([["$group": ["_id": .null, "all": ["$push": "$v"]]]])
        }
        #expect(error?.code == .bsonObjectTooLarge)
    }

    @Test("$documents feeds $lookup and $unionWith without a collection")
    func documents() async throws {
        let node = try await filled()
        let made: Value = ["$documents": [["n": 1, "x": "one"], ["n": 2, "x": "two"]]]
        let joined = try node.aggregate(
            [
                ["$match": ["_id": ["$lt": 3]]],
                [
                    "$lookup": [
                        "localField": "a", "foreignField": "n", "pipeline": [made, ["$project": ["n": 0]]], "as": "s",
                    ]
                ], ["$project": ["a": 0]],
            ])
        #expect(
            joined == [["_id": 0, "s": []], ["_id": 1, "s": [["x": "one"]]], ["_id": 2, "s": [["x": "two"]]]])
        let all = try node.aggregate([["$project": ["_id": 1]], ["$unionWith": ["pipeline": [made]]]])
        #expect(all.count == 8)
        #expect(all[7] == ["n": 2, "x": "two"])
    }

    @Test(
        "joins that cannot be are refused with MongoDB's codes",
        arguments: [
            (["$lookup": ["as": "x", "localField": "a", "foreignField": "b"]], 9),
            (["$lookup": ["as": "x", "pipeline": []]], 9),
            (["$lookup": ["from": "s", "as": "x", "pipeline": [["$out": "y"]]]], 51047),
            (["$lookup": ["from": "s", "as": "x", "pipeline": [["$documents": []]]]], 73),
            (["$lookup": ["from": "s", "as": "$x", "localField": "a", "foreignField": "b"]], 16410),
            (["$lookup": ["from": "s", "as": "", "localField": "a", "foreignField": "b"]], 40352),
            (["$lookup": ["from": "s", "as": "x", "pipeline": [["$nope": 1]]]], 40324),
            (["$unionWith": ["pipeline": [["$match": [:]]]]], 9),
            (["$unionWith": ["coll": "s", "pipeline": [["$merge": "y"]]]], 31441),
            (["$documents": []], 73),
        ] as [(Value, Int32)])
    func refused(stage: Value, code: Int32) async throws {
        let node = try await filled()
        #expect(#expect(throws: ServerError.self) { try node.aggregate([stage]) }?.code.rawValue == code)
    }

    @Test("a dotted target of $lookup replaces an array in its way")
    func dottedTarget() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "a": [["x": 1], ["x": 2]], "b": ["c": 1]])
        let join = { (target: Value) -> Value in
            ["$lookup": ["from": "none", "localField": "_id", "foreignField": "_id", "as": target]]
        }
        #expect(
            try node.aggregate([join("a.b"), join("b.d"), join("_id")])
                == [["_id": [], "a": ["b": []], "b": ["c": 1, "d": []]]])
    }

    // MARK: $graphLookup

    private func graph() async throws -> Fixture {
        let node = try await Fixture()
        let edges = Namespace(Fixture.orders.database, "edges")
        try node.insertOne(["_id": 0, "start": [1, 7]])
        for (id, to) in [(1, 2), (2, 3), (3, 1), (7, 8)] {
            try node.insertOne(
                ["_id": .int32(Int32(id)), "to": .int32(Int32(to)), "w": .int32(Int32(id % 2))], into: edges)
        }
        try node.insertOne(["_id": 8, "to": [9, 3]], into: edges)
        return node
    }

    private func reached(_ node: Fixture, _ options: Document = Document()) throws -> [Value] {
        var lookup: Document = [
            "from": "edges", "startWith": "$start", "connectFromField": "to", "connectToField": "_id", "as": "found",
        ]
        for (key, value) in options.fields { lookup[key] = value }
        let results = try node.aggregate([
            ["$graphLookup": .document(lookup)], ["$project": ["found._id": 1, "found.d": 1]],
        ])
        return results.first?.asDocument?["found"]?.asArray ?? []
    }

    @Test("$graphLookup finds each document that is reached once, cycles or not, and along the elements of arrays")
    func graphLookup() async throws {
        let found = try reached(try await graph())
        #expect(found.compactMap { $0.asDocument?["_id"]?.asInteger }.sorted() == [1, 2, 3, 7, 8])
    }

    @Test("the depth of $graphLookup counts the steps, and bounds them")
    func graphDepth() async throws {
        let node = try await graph()
        let near = try reached(node, ["maxDepth": 1, "depthField": "d"])
        let depths = near.map { "\($0.asDocument?["_id"]?.asInteger ?? -1):\($0.asDocument?["d"]?.asInteger ?? -1)" }
        #expect(depths.sorted() == ["1:0", "2:1", "7:0", "8:1"])
        #expect(try reached(node, ["maxDepth": 0]).count == 2)
    }

    @Test("what does not match the restriction of $graphLookup is not found, and leads nowhere")
    func graphRestriction() async throws {
        let found = try reached(try await graph(), ["restrictSearchWithMatch": ["w": 1]])
        #expect(found.compactMap { $0.asDocument?["_id"]?.asInteger }.sorted() == [1, 7])
    }

    private static let wrong: [(Document, Int32)] = [
        (["from": "e"], 40105), (["maxDepth": -1], 40101), (["maxDepth": 1.5], 40102), (["maxDepth": "x"], 40100),
        (["more": 1], 40104), (["restrictSearchWithMatch": 1], 40185), (["as": 1], 40103),
    ]

    @Test("a $graphLookup that is wrong is refused with MongoDB's code", arguments: wrong)
    func graphRefusals(_ options: Document, _ code: Int32) async throws {
        let node = try await graph()
        let isWhole = options["from"] == nil
        let error = #expect(throws: ServerError.self) {
            if isWhole {
                _ = try reached(node, options)
            } else {
                _ = try node.aggregate([["$graphLookup": .document(options)]])
            }
        }
        #expect(error?.code.rawValue == code)
    }
}
