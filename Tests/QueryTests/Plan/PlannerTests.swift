import BSON
import Core
import Testing

@testable import Query

@Suite("Planner") struct PlannerTests {
    private func plan(
        _ filter: Document, sort: Document? = nil, hint: Document? = nil, _ indexes: [IndexSpec]
    ) throws -> QueryPlan {
        let hint = try hint.map { try $0.withView { try QueryHint($0["hint"]!) } } ?? nil
        return try Planner.plan(
            filter: try compile(filter), sort: try sort.map { try sortPattern($0) }, hint: hint, indexes: indexes)
    }

    private func scan(_ plan: QueryPlan) throws -> IndexScan {
        guard case .indexScan(let scan) = plan.access else {
            throw ServerError(.internalError, "no index scan: \(ValueText.document(plan.winningPlan()))")
        }
        return scan
    }

    private func bounds(_ filter: Document, _ key: Document, multikey: [UInt64]? = nil) throws -> [[String]] {
        var index = try indexSpec(key)
        if let multikey { index.multikeyPaths = multikey }
        return try scan(plan(filter, [index])).boundsText.map(\.intervals)
    }

    @Test("an equality on _id is a lookup, a list of them several")
    func lookups() throws {
        guard case .idLookup(5) = try plan(["_id": 5, "a": 1], []).access else {
            throw ServerError(.internalError, "lookup")
        }
        guard case .idsLookup(let ids) = try plan(["_id": ["$in": [3, 1, 3]]], []).access else {
            throw ServerError(.internalError, "lookups")
        }
        #expect(ids == [1, 3])
        #expect(try plan(["_id": 5], []).winningPlan()["stage"] == "IDHACK")
        #expect(try plan(["_id": ["$in": [3, 1]]], sort: ["_id": 1], []).providesSort)
        #expect(try !plan(["_id": ["$in": [3, 1]]], sort: ["_id": -1], []).providesSort)
    }

    @Test("bounds print as MongoDB prints them")
    func boundsText() throws {
        #expect(try bounds(["a": 1000.0], ["a": 1]) == [["[1000.0, 1000.0]"]])
        #expect(try bounds(["a": ["$gt": 5]], ["a": 1]) == [["(5, inf.0]"]])
        #expect(try bounds(["a": ["$lte": 5]], ["a": 1]) == [["[-inf.0, 5]"]])
        #expect(try bounds(["a": ["$gt": 1, "$lt": 5]], ["a": 1]) == [["(1, 5)"]])
        #expect(try bounds(["a": ["$gte": "b"]], ["a": 1]) == [["[\"b\", {})"]])
        #expect(try bounds(["a": ["$in": [3, 1]]], ["a": 1]) == [["[1, 1]", "[3, 3]"]])
        #expect(try bounds(["a": ["$in": [3, 1]]], ["a": -1]) == [["[3, 3]", "[1, 1]"]])
        #expect(try bounds(["a": nil], ["a": 1]) == [["[null, null]"]])
        #expect(try bounds(["a": ["$ne": 3]], ["a": 1]) == [["[MinKey, 3)", "(3, MaxKey]"]])
        #expect(try bounds(["a": 1], ["a": 1, "b": 1]) == [["[1, 1]"], ["[MinKey, MaxKey]"]])
        #expect(try bounds(["a": 1], ["a": 1, "b": -1]) == [["[1, 1]"], ["[MaxKey, MinKey]"]])
        #expect(
            try bounds(["a": .regex(pattern: "^ab", options: "")], ["a": 1]) == [
                ["[\"ab\", \"ac\")", "[/^ab/, /^ab/]"]
            ])
        #expect(try bounds(["a": ["$gte": true]], ["a": 1]) == [["[true, true]"]])
        #expect(try bounds(["a": ["$gt": 5, "$lt": 3]], ["a": 1]) == [[]])
    }

    @Test("an index with arrays uses one of two ranges, both only inside $elemMatch")
    func multikeyRanges() throws {
        #expect(try bounds(["a": ["$gt": 1, "$lt": 5]], ["a": 1], multikey: [1]) == [["(1, inf.0]"]])
        #expect(try bounds(["a": ["$elemMatch": ["$gt": 1, "$lt": 5]]], ["a": 1], multikey: [1]) == [["(1, 5)"]])
    }

    @Test("fields that share an array combine only inside $elemMatch")
    func multikeyCompound() throws {
        let key: Document = ["a.x": 1, "a.y": 1]
        #expect(try bounds(["a.x": 1, "a.y": 2], key, multikey: [1, 1]) == [["[1, 1]"], ["[MinKey, MaxKey]"]])
        #expect(
            try bounds(["a": ["$elemMatch": ["x": 1, "y": 2]]], key, multikey: [1, 1]) == [["[1, 1]"], ["[2, 2]"]])
        #expect(try bounds(["a": 1, "b": 2], ["a": 1, "b": 1], multikey: [1, 0]) == [["[1, 1]"], ["[2, 2]"]])
    }

    @Test("more equalities win, then a range, then the sort, then the shorter index")
    func choice() throws {
        let a = try indexSpec(["a": 1])
        let ab = try indexSpec(["a": 1, "b": 1])
        let b = try indexSpec(["b": 1])
        let unique = try indexSpec(["c": 1], ["unique": true])
        #expect(try scan(plan(["a": 1, "b": 2], [a, ab, b])).index.name == "a_1_b_1")
        #expect(try scan(plan(["a": 1], [ab, a])).index.name == "a_1")
        #expect(try scan(plan(["a": ["$gt": 1, "$lt": 3], "b": 2], [a, b])).index.name == "b_1")
        #expect(try scan(plan(["a": 1, "b": 2, "c": 3], [ab, unique])).index.name == "c_1")
        #expect(try scan(plan(["a": 1], sort: ["b": 1], [a, ab])).index.name == "a_1_b_1")
        #expect(try scan(plan(["z": 1], sort: ["b": -1], [a, b])).direction == .backward)
        #expect(try plan(["a": 1, "b": 2], [a, b]).winningPlan() == plan(["a": 1, "b": 2], [a, b]).winningPlan())
    }

    @Test("an index gives a sort whose fields follow its own, all forward or all backward")
    func sorts() throws {
        let index = try indexSpec(["a": 1, "b": -1])
        #expect(try plan([:], sort: ["a": 1, "b": -1], [index]).providesSort)
        #expect(try scan(plan([:], sort: ["a": -1, "b": 1], [index])).direction == .backward)
        #expect(try !plan([:], sort: ["a": 1, "b": 1], [index]).providesSort)
        #expect(try plan(["a": 3], sort: ["b": 1], [index]).providesSort)
        #expect(try plan(["a": 3], sort: ["a": 1, "b": 1], [index]).providesSort)
        #expect(try !plan(["a": ["$gt": 3]], sort: ["b": 1], [index]).providesSort)
        var multikey = index
        multikey.multikeyPaths = [1, 0]
        #expect(try plan([:], sort: ["a": 1], [multikey]).providesSort)
        #expect(try !plan(["a": ["$gt": 1]], sort: ["a": 1], [multikey]).providesSort)
    }

    @Test("a sparse index is used only when a missing field cannot match")
    func sparse() throws {
        let index = try indexSpec(["a": 1], ["sparse": true])
        #expect(try scan(plan(["a": 1], [index])).index.isSparse)
        #expect(try scan(plan(["a": ["$exists": true]], [index])).isFull)
        for filter in [["a": nil], ["a": ["$ne": 1]], ["a": ["$exists": false]], ["b": 1]] as [Document] {
            #expect(try plan(filter, [index]).winningPlan()["stage"] == "COLLSCAN")
        }
        #expect(try plan([:], sort: ["a": 1], [index]).winningPlan()["stage"] == "COLLSCAN")
    }

    @Test("a sparse index with arrays has no key for an element without the field, so neither null nor a sort uses it")
    func sparseMultikey() throws {
        var index = try indexSpec(["a.b": 1], ["sparse": true])
        index.multikeyPaths = [1]
        #expect(try scan(plan(["a.b": ["$eq": nil, "$exists": true]], [index])).isFull)
        #expect(try !plan(["a.b": ["$exists": true]], sort: ["a.b": 1], [index]).providesSort)
        #expect(try plan(["a.b": ["$not": ["$gt": nil]]], [index]).winningPlan()["stage"] == "COLLSCAN")
    }

    @Test("a partial index is used only when the query implies its filter")
    func partial() throws {
        let index = try indexSpec(["a": 1], ["partialFilterExpression": ["b": ["$gt": 5]]])
        for (condition, isUsed) in [
            (["$gt": 5], true), (["$gt": 7], true), (["$gte": 6], true), (["$eq": 6], true), (["$in": [6, 7]], true),
            (["$gte": 5], false), (["$gt": 4], false), (["$in": [6, 5]], false), (["$lt": 9], false),
            (["$ne": 1], false),
            (["$gt": "x"], false),
        ] as [(Value, Bool)] {
            let stage = try plan(["a": 1, "b": condition], [index]).winningPlan()["stage"]
            #expect(stage == (isUsed ? "FETCH" : "COLLSCAN"), "\(condition)")
        }
        let typed = try indexSpec(["a": 1], ["partialFilterExpression": ["b": ["$type": "int"]]])
        #expect(try plan(["a": 1, "b": 5], [typed]).winningPlan()["stage"] == "COLLSCAN")
    }

    @Test("an $or takes an index for each branch, or none")
    func union() throws {
        let indexes = [try indexSpec(["a": 1]), try indexSpec(["b": 1])]
        let both = try plan(["$or": [["a": 1], ["b": 2]]], indexes)
        #expect(both.needsDeduplication)
        #expect(both.winningPlan()["inputStage"]?.asDocument?["stage"] == "OR")
        #expect(try plan(["$or": [["a": 1], ["c": 2]]], indexes).winningPlan()["stage"] == "COLLSCAN")
    }

    @Test("a hidden index is as good as none")
    func hidden() throws {
        let index = try indexSpec(["a": 1], ["hidden": true])
        #expect(try plan(["a": 1], [index]).winningPlan()["stage"] == "COLLSCAN")
        #expect(code { _ = try plan(["a": 1], hint: ["hint": "a_1"], [index]) } == 2)
    }

    @Test("a hint is followed, by name, key pattern or natural order")
    func hints() throws {
        let indexes = [try indexSpec(["a": 1]), try indexSpec(["b": 1])]
        #expect(try scan(plan(["a": 1], hint: ["hint": "b_1"], indexes)).index.name == "b_1")
        #expect(try scan(plan(["a": 1], hint: ["hint": ["b": 1]], indexes)).isFull)
        guard case .collectionScan(.backward) = try plan(["a": 1], hint: ["hint": ["$natural": -1]], indexes).access
        else {
            throw ServerError(.internalError, "natural")
        }
        #expect(code { _ = try plan([:], hint: ["hint": "z"], indexes) } == 2)
        #expect(
            message { _ = try plan([:], hint: ["hint": ["z": 1]], indexes) }.contains(
                "hint provided does not correspond"))
        #expect(code { _ = try plan([:], hint: ["hint": 1], indexes) } == 9)
    }

    @Test("a hashed index finds equalities by their hash, and nothing else")
    func hashed() throws {
        var index = try indexSpec(["a": "hashed"])
        index.hash = { ($0.asInteger ?? 0) * 7 }
        #expect(try scan(plan(["a": 3], [index])).boundsText.map(\.intervals) == [["[21, 21]"]])
        #expect(try plan(["a": ["$gt": 3]], [index]).winningPlan()["stage"] == "COLLSCAN")
    }

    @Test("explain nests the stages from the last to the first")
    func explain() throws {
        let index = try indexSpec(["a": 1])
        let query = try plan(["a": 1000.0], [index])
        let projection: Document = ["a": 1]
        let stages = QueryPlan.Stages(
            sort: try sortPattern(["b": 1]), skip: 2, limit: 3,
            projection: try projection.withView { try Projection($0, context: QueryContext()) })
        #expect(
            query.winningPlan()["inputStage"] == [
                "stage": "IXSCAN", "keyPattern": ["a": 1], "indexName": "a_1", "isMultiKey": false,
                "multiKeyPaths": ["a": []], "isUnique": false, "isSparse": false, "isPartial": false, "indexVersion": 2,
                "direction": "forward", "indexBounds": ["a": ["[1000.0, 1000.0]"]],
            ])
        var names: [String] = []
        var stage: Document? = try plan(["a": 1000.0], sort: ["b": 1], [index]).winningPlan(stages)
        while let current = stage {
            names.append(current["stage"]?.asString ?? "")
            stage = current["inputStage"]?.asDocument
        }
        #expect(names == ["LIMIT", "PROJECTION_SIMPLE", "SKIP", "SORT", "FETCH", "IXSCAN"])
        #expect(try plan([:], []).winningPlan() == ["stage": "COLLSCAN", "direction": "forward"])
        #expect(
            try plan(["b": 1], []).winningPlan()
                == ["stage": "COLLSCAN", "filter": ["b": ["$eq": 1]], "direction": "forward"])
    }

    @Test("a scan of too many points uses fewer fields instead")
    func manyPoints() throws {
        let index = try indexSpec(["a": 1, "b": 1])
        let many = Value.array((0..<60).map { .int32($0) })
        let scan = try scan(plan(["a": ["$in": many], "b": ["$in": many]], [index]))
        #expect(scan.ranges.count == 60)
        let long = Value.array((0..<5000).map { .int32($0) })
        #expect(try self.scan(plan(["a": ["$in": long]], [index])).ranges.count == 5000)
    }
}
