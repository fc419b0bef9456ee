import BSON
import Core
import Testing

@testable import Query

@Suite struct GroupTests {
    private static let input = [
        "{'k': 'a', 'v': 3, 's': {'p': 1}}", "{'k': 'b', 'v': 10}", "{'k': 'a', 'v': 1, 's': {'p': 2, 'q': 3}}",
        "{'k': 'a', 'v': 3}", "{'k': 'b'}",
    ]

    private func group(_ accumulator: String) throws -> [Value?] {
        try aggregate("[{'$group': {'_id': '$k', 'r': \(accumulator)}}]", over: GroupTests.input).map { $0["r"] }
    }

    @Test(
        "accumulators",
        arguments: [
            ("{'$sum': '$v'}", "[7, 10]"),
            ("{'$sum': 1}", "[3, 2]"),
            ("{'$count': {}}", "[3, 2]"),
            ("{'$avg': '$v'}", "[2.3333333333333335, 10.0]"),
            ("{'$min': '$v'}", "[1, 10]"),
            ("{'$max': '$v'}", "[3, 10]"),
            ("{'$first': '$v'}", "[3, 10]"),
            ("{'$last': '$v'}", "[3, null]"),
            ("{'$push': '$v'}", "[[3, 1, 3], [10]]"),
            ("{'$addToSet': '$v'}", "[[3, 1], [10]]"),
            ("{'$mergeObjects': '$s'}", "[{'p': 2, 'q': 3}, {}]"),
            ("{'$stdDevPop': '$v'}", "[0.9428090415820634, 0.0]"),
            ("{'$stdDevSamp': '$v'}", "[1.1547005383792515, null]"),
            ("{'$firstN': {'n': 2, 'input': '$v'}}", "[[3, 1], [10, null]]"),
            ("{'$lastN': {'n': 1, 'input': '$v'}}", "[[3], [null]]"),
            ("{'$minN': {'n': 2, 'input': '$v'}}", "[[1, 3], [10]]"),
            ("{'$maxN': {'n': 2, 'input': '$v'}}", "[[3, 3], [10]]"),
            ("{'$top': {'sortBy': {'v': 1}, 'output': '$v'}}", "[1, null]"),
            ("{'$bottom': {'sortBy': {'v': 1}, 'output': ['$v']}}", "[[3], [10]]"),
            ("{'$topN': {'n': 2, 'sortBy': {'v': -1}, 'output': '$v'}}", "[[3, 3], [10, null]]"),
            ("{'$bottomN': {'n': 2, 'sortBy': {'v': -1}, 'output': '$v'}}", "[[3, 1], [10, null]]"),
            ("{'$sum': {'$multiply': ['$v', 2]}}", "[14, 20]"),
        ])
    func accumulators(_ accumulator: String, _ expected: String) throws {
        let results = try group(accumulator)
        let wanted = try #require(jsonValue(expected).asArray)
        #expect(results == wanted.map { Optional($0) }, "\(results)")
    }

    @Test("keys group by value, whatever the number's type, and come out in the order they came in")
    func keys() throws {
        let results = try aggregate(
            "[{'$group': {'_id': '$k', 'n': {'$sum': 1}}}]",
            over: [
                "{'k': 2}", "{'k': 1}", "{'k': 1.0}", "{'k': {'$numberLong': '1'}}", "{'k': null}", "{}",
                "{'k': {'$numberDecimal': '2.00'}}", "{'k': '1'}",
            ])
        #expect(
            results == [
                ["_id": 2, "n": 2], ["_id": 1, "n": 3], ["_id": nil, "n": 2], ["_id": "1", "n": 1],
            ])
    }

    @Test("a compound key is a document")
    func compound() throws {
        let results = try aggregate(
            "[{'$group': {'_id': {'a': '$a', 'b': '$b'}, 'n': {'$sum': 1}}}]",
            over: ["{'a': 1, 'b': 2}", "{'a': 1}", "{'b': 2, 'a': 1.0}"])
        #expect(results == [["_id": ["a": 1, "b": 2], "n": 2], ["_id": ["a": 1], "n": 1]])
    }

    @Test("sums keep their precision and widen only when they must")
    func sums() throws {
        func sum(_ values: [String]) throws -> Value? {
            try aggregate("[{'$group': {'_id': null, 'r': {'$sum': '$v'}}}]", over: values.map { "{'v': \($0)}" })
                .first?["r"]
        }
        #expect(try sum(["2147483647", "1"]) == .int64(2_147_483_648))
        #expect(try sum(["{'$numberLong': '9223372036854775807'}", "1", "-2"]) == .int64(9_223_372_036_854_775_806))
        #expect(try sum(["{'$numberLong': '9223372036854775807'}", "1"]) == .double(9_223_372_036_854_775_808))
        #expect(try sum(Array(repeating: "0.1", count: 10)) == .double(1.0))
        #expect(try sum(["1e308", "1e308", "-1e308"]) == .double(.infinity))
        #expect(try sum(["1", "{'$numberDecimal': '0.10'}", "'x'"]) == jsonValue("{'$numberDecimal': '1.10'}"))
    }

    @Test("$group stops at the memory limit with MongoDB's code")
    func memory() throws {
        let document: Document = ["v": .string(String(repeating: "x", count: 8 * 1024 * 1024))]
        let error = ServerError.caught {
            _ = try run(
                try pipeline("[{'$group': {'_id': null, 'all': {'$push': '$v'}}}]"),
                over: Array(repeating: document, count: 14))
        }
        #expect(error?.code == .queryExceededMemoryLimitNoDiskUseAllowed)
        #expect(error?.code.rawValue == 292)
    }
}
