import BSON
import Core
import Testing

@testable import Query

/// The `output` of `$setWindowFields` over numbers `v` at places `t`, whose windows' results are field `r`.
private func windows(_ output: String, over documents: [String], head: String = "'sortBy': {'t': 1}, ") throws
    -> [String]
{
    try aggregate("[{'$setWindowFields': {\(head)'output': {'r': \(output)}}}]", over: documents).map { document in
        (["r": document["r"] ?? .string("none")] as Document).extendedJSON(.relaxed).replacing(" ", with: "")
    }
}

private func results(_ values: String...) -> [String] { values.map { "{\"r\":\($0)}" } }

@Suite("window functions")
struct WindowTests {
    private let line = [
        "{'_id': 1, 't': 1, 'v': 2}", "{'_id': 2, 't': 2, 'v': 4}", "{'_id': 3, 't': 4, 'v': 6}",
        "{'_id': 4, 't': 8, 'v': 8}",
    ]

    @Test(
        "a window by documents, by value, or open at an end holds what it says",
        arguments: [
            ("{'$sum': '$v'}", ["20", "20", "20", "20"]),
            ("{'$sum': '$v', 'window': {'documents': ['unbounded', 'current']}}", ["2", "6", "12", "20"]),
            ("{'$sum': '$v', 'window': {'documents': [-1, 0]}}", ["2", "6", "10", "14"]),
            ("{'$sum': '$v', 'window': {'documents': [1, 2]}}", ["10", "14", "8", "0"]),
            ("{'$push': '$v', 'window': {'documents': [-3, -2]}}", ["[]", "[]", "[2]", "[2,4]"]),
            (
                "{'$push': '$v', 'window': {'documents': ['current', "
                    + "'unbounded']}}", ["[2,4,6,8]", "[4,6,8]", "[6,8]", "[8]"]
            ),
            ("{'$push': '$v', 'window': {'range': [-2, 0]}}", ["[2]", "[2,4]", "[4,6]", "[8]"]),
            ("{'$push': '$v', 'window': {'range': [1, 4]}}", ["[4,6]", "[6]", "[8]", "[]"]),
            ("{'$max': '$v', 'window': {'documents': [-1, 1]}}", ["4", "6", "8", "8"]),
            ("{'$min': '$v', 'window': {'documents': [-1, 1]}}", ["2", "2", "4", "6"]),
            ("{'$first': '$v', 'window': {'documents': [-1, 1]}}", ["2", "2", "4", "6"]),
            ("{'$last': '$v', 'window': {'documents': [1, 1]}}", ["4", "6", "8", "null"]),
            ("{'$avg': '$v', 'window': {'documents': [-1, 0]}}", ["2.0", "3.0", "5.0", "7.0"]),
            ("{'$count': {}, 'window': {'range': ['unbounded', 2]}}", ["2", "3", "3", "4"]),
            ("{'$stdDevPop': '$v', 'window': {'documents': [-1, 0]}}", ["0.0", "1.0", "1.0", "1.0"]),
            ("{'$covariancePop': ['$t', '$v'], 'window': {'documents': [-1, 0]}}", ["0.0", "0.5", "1.0", "2.0"]),
            (
                "{'$topN': {'n': 1, 'sortBy': {'v': -1}, 'output': '$v'}, 'window': {'documents': [-1, "
                    + "0]}}", ["[2]", "[4]", "[6]", "[8]"]
            ),
            ("{'$shift': {'output': '$v', 'by': 2, 'default': 'end'}}", ["6", "8", "\"end\"", "\"end\""]),
            ("{'$shift': {'output': '$v', 'by': -1}}", ["null", "2", "4", "6"]),
            ("{'$integral': {'input': '$v'}, 'window': {'documents': [-1, 0]}}", ["0.0", "3.0", "10.0", "28.0"]),
            ("{'$derivative': {'input': '$v'}, 'window': {'documents': [-1, 0]}}", ["null", "2.0", "1.0", "0.5"]),
            ("{'$expMovingAvg': {'input': '$v', 'alpha': 0.5}}", ["2.0", "3.0", "4.5", "6.25"]),
            ("{'$documentNumber': {}}", ["1", "2", "3", "4"]),
        ])
    func frames(_ output: String, _ wanted: [String]) throws {
        #expect(try windows(output, over: line) == wanted.map { "{\"r\":\($0)}" })
    }

    @Test("ranks count those before, dense ranks the places before, and numbers the documents")
    func ranks() throws {
        let documents = ["{'t': 1}", "{'t': 1}", "{'t': 2}", "{'t': null}", "{'t': 2}"]
        #expect(try windows("{'$rank': {}}", over: documents) == results("1", "2", "2", "4", "4"))
        #expect(try windows("{'$denseRank': {}}", over: documents) == results("1", "2", "2", "3", "3"))
        #expect(try windows("{'$documentNumber': {}}", over: documents) == results("1", "2", "3", "4", "5"))
    }

    @Test("gaps are filled with the last value, or along the line between two")
    func fills() throws {
        let documents = [
            "{'t': 0, 'v': null}", "{'t': 1, 'v': 10}", "{'t': 2}", "{'t': 4, 'v': null}", "{'t': 5, 'v': 30}",
            "{'t': 6, 'v': null}",
        ]
        #expect(try windows("{'$locf': '$v'}", over: documents) == results("null", "10", "10", "10", "30", "30"))
        #expect(
            try windows("{'$linearFill': '$v'}", over: documents) == results("null", "10", "15.0", "25.0", "30", "null")
        )
    }

    @Test("partitions come one after the other and know nothing of each other")
    func partitions() throws {
        let documents = [
            "{'p': 'b', 't': 1, 'v': 1}", "{'p': 'a', 't': 2, 'v': 2}", "{'t': 0, 'v': 5}",
            "{'p': 'b', 't': 0, 'v': 3}",
        ]
        let head = "'partitionBy': '$p', 'sortBy': {'t': 1}, "
        #expect(
            try windows(
                "{'$sum': '$v', 'window': {'documents': ['unbounded', "
                    + "'current']}}", over: documents, head: head)
                == results("5", "2", "3", "4"))
    }

    @Test("a window by time goes by the calendar")
    func time() throws {
        let documents = ["2024-01-31", "2024-02-29", "2024-03-01", "2024-03-31"].enumerated().map { index, day in
            "{'t': {'$date': '\(day)T00:00:00Z'}, 'v': \(index)}"
        }
        #expect(
            try windows("{'$push': '$v', 'window': {'range': [-1, 0], 'unit': 'month'}}", over: documents)
                == results("[0]", "[0,1]", "[1,2]", "[1,2,3]"))
    }

    @Test("what came in and went out again leaves nothing behind in a sum")
    func exactness() throws {
        let documents = [
            "{'t': 1, 'v': 1e16}", "{'t': 2, 'v': 0.1}", "{'t': 3, 'v': 0.2}",
            "{'t': 4, 'v': {'$numberDouble': 'NaN'}}",
            "{'t': 5, 'v': 3}", "{'t': 6, 'v': 4}",
        ]
        let sums = try windows("{'$sum': '$v', 'window': {'documents': [-1, 0]}}", over: documents)
        #expect(sums[2] == "{\"r\":0.30000000000000004}")
        #expect(sums[5] == "{\"r\":7}")
    }

    @Test("fields of dotted names go into documents, also those in arrays")
    func dotted() throws {
        let found = try aggregate(
            "[{'$setWindowFields': {'output': {'a.n': {'$count': {}}}}}]",
            over: ["{'a': {'b': 1}}", "{'a': [{'b': 2}, {}]}"])
        let wanted = try ["{'a': {'b': 1, 'n': 2}}", "{'a': [{'b': 2, 'n': 2}, {'n': 2}]}"].map { try json($0) }
        #expect(found == wanted)
    }

    @Test(
        "what is wrong is refused with MongoDB's code",
        arguments: [
            ("{'output': {'r': {'$sum': 1, 'window': {'documents': [1, 0]}}}, 'sortBy': {'t': 1}}", 5_339_900),
            ("{'output': {'r': {'$sum': 1, 'window': {'documents': [-1, 0]}}}}", 5_339_901),
            ("{'output': {'r': {'$sum': 1, 'window': {'range': [-1, 0]}}}, 'sortBy': {'t': 1, 'u': 1}}", 5_339_902),
            ("{'output': {'r': {'$sum': 1, 'window': {'range': [-1, 0]}}}, 'sortBy': {'t': -1}}", 8_947_401),
            (
                "{'output': {'r': {'$sum': 1, 'window': {'range': [-1, 0], 'documents': [0, 1]}}}, "
                    + "'sortBy': {'t': 1}}", 9
            ),
            ("{'output': {'r': {'$sum': 1, 'window': {'range': [-1, 0], 'unit': 'eon'}}}, 'sortBy': {'t': 1}}", 9),
            ("{'output': {'r': {'$sum': 1, 'more': 1}}}", 9), ("{'output': {'r': {'$nothing': 1}}}", 9),
            ("{'output': {'r': {'$rank': {}}}}", 5_371_602),
            ("{'output': {'r': {'$rank': 1}}, 'sortBy': {'t': 1}}", 5_371_603),
            ("{'output': {'r': {'$rank': {}, 'window': {}}}, 'sortBy': {'t': 1}}", 5_371_601),
            ("{'output': {'r': {'$shift': {'output': 1, 'by': 1.5}}}, 'sortBy': {'t': 1}}", 9),
            ("{'output': {'r': {'$expMovingAvg': {'input': 1, 'N': 0}}}, 'sortBy': {'t': 1}}", 9),
            ("{'sortBy': {'t': 1}}", 40414), ("{'output': {}, 'more': 1}", 40415), ("{'output': {}, 'sortBy': 1}", 14),
        ])
    func refusals(_ argument: String, _ code: Int32) {
        let error = #expect(throws: ServerError.self) { try pipeline("[{'$setWindowFields': \(argument)}]") }
        #expect(error?.code.rawValue == code)
    }

    @Test("values that a window cannot go by are errors when a document comes to them")
    func positions() {
        func code(_ output: String, _ documents: [String]) -> Int32? {
            do {
                _ = try windows(output, over: documents)
                return nil
            } catch { return (error as? ServerError)?.code.rawValue }
        }
        #expect(code("{'$sum': 1, 'window': {'range': [0, 1]}}", ["{'t': 'x'}"]) == 5_429_414)
        #expect(code("{'$sum': 1, 'window': {'range': [0, 1], 'unit': 'day'}}", ["{'t': 1}"]) == 5_429_513)
        #expect(code("{'$linearFill': '$v'}", ["{'t': 1}", "{'t': 1}"]) == 6_050_106)
        #expect(code("{'$integral': {'input': '$v'}}", ["{'t': 1, 'v': 'x'}"]) == 5_423_900)
    }
}

/// Windows against the plain definition: each one made anew of the documents that belong to it.
@Suite("windows against their definition")
struct WindowModelTests {
    private static let functions = [
        "$sum", "$avg", "$min", "$max", "$first", "$last", "$push", "$stdDevPop", "$stdDevSamp",
    ]

    @Test("any function over any window gives what the accumulator gives over its documents", arguments: 0..<60)
    func model(_ seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        let count = random.below(24)
        var place = 0
        let documents = (0..<count).map { index -> Document in
            place += random.below(3)
            let values: [Value] = [.int32(Int32(random.below(9))), .double(Double(random.below(5)) / 2), .null, "x"]
            return ["_id": .int32(Int32(index)), "t": .int32(Int32(place)), "v": values[random.below(4)]]
        }
        let function = WindowModelTests.functions[random.below(WindowModelTests.functions.count)]
        let low = random.below(7) - 3
        let high = low + random.below(4)
        let isRange = random.oneIn(2)
        let bounds = "[\(random.oneIn(4) ? "'unbounded'" : "\(low)"), \(random.oneIn(4) ? "'unbounded'" : "\(high)")]"
        let window = "{'\(isRange ? "range" : "documents")': \(bounds)}"
        let found = try run(
            try pipeline(
                "[{'$setWindowFields': {'sortBy': {'t': 1}, 'output': {'r': {'\(function)': '$v', "
                    + "'window': \(window)}}}}]"),
            over: documents)
        #expect(found.count == documents.count)
        for (index, document) in found.enumerated() {
            let here = documents[index]["t"]?.asInteger ?? 0
            let inside = documents.indices.filter { other in
                let distance =
                    isRange ? Int((documents[other]["t"]?.asInteger ?? 0) - here) : other - index
                return (bounds.hasPrefix("['") || distance >= low) && (bounds.hasSuffix("']") || distance <= high)
            }
            let group = try run(
                try pipeline("[{'$group': {'_id': null, 'r': {'\(function)': '$v'}}}]"),
                over: inside.map { documents[$0] })
            let wanted =
                group.first?["r"] ?? (function == "$sum" ? .int32(0) : function == "$push" ? .array([]) : .null)
            let result = document["r"] ?? .string("none")
            #expect(isNear(result, wanted), "\(function) \(window) at \(index): \(result), not \(wanted)")
        }
    }

    private func isNear(_ a: Value, _ b: Value) -> Bool {
        if case .double(let x) = a, case .double(let y) = b { return abs(x - y) < 1e-6 }
        return a == b
    }
}
