import BSON
import Core
import Testing

@testable import Query

/// A clock that moves a little whenever it is read.
private final class TickingClock: MonotonicClock {
    private var time = Instant(nanoseconds: 0)
    var now: Instant {
        time = time + .microseconds(100)
        return time
    }
}

/// Evaluates an expression, interrupted at every look at the time; the value and how many slices it took.
private func evaluateInSlices(_ expression: String, over root: Document) throws -> (Value?, Int) {
    let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
    var context = QueryContext()
    context.budget = Confined(budget)
    let wrapped = try json("{'value': \(expression)}")
    let compiled = try wrapped.withView { try Expression(#require($0["value"]), context: context) }
    for slices in 1...100_000 {
        // Each slice sees the document in another place.
        let copy = Document(trusted: Array(root.bytes))
        budget.beginSlice(until: .distantFuture)
        let outcome = try copy.withView { view in
            try budget.interruptibly { () throws(ServerError) in try compiled.evaluate(root: view) }
        }
        if let outcome { return (outcome, slices) }
    }
    Issue.record("no end: \(expression)")
    return (nil, 0)
}

private func numbers(_ count: Int) -> Document {
    ["a": .array((0..<count).map { .int32(Int32($0)) }), "s": .string(String(repeating: "ab,", count: count))]
}

/// Expressions with work in loops, at every place that an interruption can come to.
private let expressions = [
    "{'$map': {'input': '$a', 'in': {'$arrayElemAt': ['$a', '$$this']}}}",
    "{'$map': {'input': '$a', 'in': {'$arrayElemAt': ['$a', {'$multiply': ['$$this', -1]}]}}}",
    "{'$size': {'$filter': {'input': '$a', 'cond': {'$in': [{'$add': ['$$this', 1.0]}, '$a']}}}}",
    """
    {'$filter': {'input': '$a', 'cond': {'$gt': ['$$this', 5]}, 'limit': {'$add': [1,
    {'$size': {'$filter': {'input': '$a', 'cond': {'$lt': ['$$this', 40]}}}}]}}}
    """,
    "{'$reduce': {'input': '$a', 'initialValue': [], 'in': {'$concatArrays': ['$$value', ['$$this', [1]]]}}}",
    "{'$reduce': {'input': '$a', 'initialValue': '', 'in': {'$concat': ['$$value', {'$toString': '$$this'}, ';']}}}",
    """
    {'$reduce': {'input': '$a', 'initialValue': [0], 'in': {'$cond': [{'$eq': [{'$mod': ['$$this', 3]}, 0]},
        {'$concatArrays': ['$$value', [{'$add': [{'$last': '$$value'}, '$$this']}]]}, '$$value']}}}
    """,
    """
    {'$reduce': {'input': '$a', 'initialValue': [], 'in': {'$switch': {'branches': [
        {'case': {'$eq': [{'$mod': ['$$this', 7]}, 6]}, 'then': []},
        {'case': {'$lt': ['$$this', 100]}, 'then': {'$let': {'vars': {'x': '$$this'},
        'in': {'$concatArrays': ['$$value', ['$$x']]}}}}],
        'default': {'$concatArrays': ['$$value', '$$value']}}}}}
    """,
    """
    {'$map': {'input': {'$range': [0, 40]}, 'as': 'i', 'in': {'$sum': {'$map': {'input': '$a', 'as': 'j',
    'in': {'$multiply': ['$$i', '$$j']}}}}}}
    """,
    "{'$add': [{'$sum': '$a'}, {'$sum': {'$map': {'input': '$a', 'in': 1}}}, {'$size': {'$split': ['$s', ',']}}]}",
    """
    {'x': {'$sum': {'$map': {'input': '$a', 'in': 2}}}, 'y': {'z': {'$map': {'input': '$a',
    'in': {'q': '$$this'}}}}, 'w': 1}
    """,
    """
    [{'$sum': {'$map': {'input': '$a', 'in': 2}}}, {'$and': [{'$gt': [{'$sum': {'$map': {'input': '$a',
    'in': 2}}}, 1]}, {'$ifNull': [null, {'$map': {'input': '$a', 'in': 1}}]}]}]
    """,
    "{'$setUnion': ['$a', {'$map': {'input': '$a', 'in': {'$mod': ['$$this', 10]}}}, [null, 'x']]}",
    "{'$setIntersection': ['$a', {'$range': [10, 5000]}]}",
    "{'$setDifference': [{'$concatArrays': ['$a', '$a']}, {'$range': [10, 20]}]}",
    """
    [{'$setEquals': ['$a', {'$reverseArray': '$a'}]}, {'$setIsSubset': [[3, 4.0], '$a']}, {'$setIsSubset': [[3,
    -4.0], '$a']}]
    """,
    """
    {'$sortArray': {'input': {'$map': {'input': '$a', 'in': {'$mod': [{'$multiply': ['$$this', 7]}, 101]}}},
    'sortBy': -1}}
    """,
    "{'$zip': {'inputs': ['$a', {'$range': [0, 3]}], 'useLongestLength': true, 'defaults': ['x', {'$size': '$a'}]}}",
    "{'$regexFindAll': {'input': '$s', 'regex': 'a(b)|(c)'}}",
    "{'$replaceAll': {'input': '$s', 'find': 'b,', 'replacement': {'$concat': ['<', '>']}}}",
    """
    {'$let': {'vars': {'x': {'$map': {'input': '$a', 'in': 1}}, 'y': {'$sum': {'$map': {'input': '$a',
    'in': 2}}}}, 'in': {'$add': [{'$size': '$$x'}, '$$y']}}}
    """,
    """
    {'$getField': {'field': 'k', 'input': {'$setField': {'field': 'k', 'input': {'$arrayToObject': [[['a',
    1]]]}, 'value': {'$sum': {'$map': {'input': '$a', 'in': 3}}}}}}}
    """,
]

@Suite("Interrupted evaluations")
struct InterruptionTests {
    @Test(
        "an evaluation that is interrupted again and again gives what one without interruptions gives",
        arguments: expressions)
    func same(expression: String) throws {
        for count in [0, 1, 3, 300, 1500] {
            let root = numbers(count)
            let compiled = try json("{'value': \(expression)}").withView {
                try Expression(#require($0["value"]), context: QueryContext())
            }
            let wanted = try root.withView { try compiled.evaluate(root: $0) }
            let (value, slices) = try evaluateInSlices(expression, over: root)
            #expect(value == wanted)
            if count == 1500 { #expect(slices > 3) }
        }
    }

    @Test("an evaluation begins anew with another document")
    func otherDocument() throws {
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
        var context = QueryContext()
        context.budget = Confined(budget)
        let expression = try json("{'value': {'$sum': {'$map': {'input': '$a', 'in': '$$this'}}}}").withView {
            try Expression(#require($0["value"]), context: context)
        }
        func slice(_ root: Document) throws -> Value?? {
            budget.beginSlice(until: .distantFuture)
            return try root.withView { view in
                try budget.interruptibly { () throws(ServerError) in try expression.evaluate(root: view) }
            }
        }
        func finish(_ root: Document) throws -> Value? {
            while true { if let value = try slice(root) { return value } }
        }
        #expect(try slice(numbers(2000)) == nil)
        #expect(try finish(numbers(3)) == .int32(3))
        // The same document again and again, each time from the beginning to the end.
        for _ in 0..<3 {
            #expect(try finish(numbers(2000)) == .int32(1_999_000))
            #expect(try finish(numbers(2)) == .int32(1))
        }
    }

    @Test("an evaluation ends when the client's time is over, where it can be interrupted and where it cannot")
    func deadline() throws {
        for isInterruptible in [false, true] {
            let clock = TickingClock()
            var context = QueryContext()
            context.budget = Confined(EvaluationBudget(clock, deadline: Instant(nanoseconds: 0) + .milliseconds(1)))
            let expression = try json(
                "{'value': {'$sum': {'$map': {'input': {'$range': [0, 100000]}, 'in': '$$this'}}}}"
            ).withView {
                try Expression(#require($0["value"]), context: context)
            }
            let error = ServerError.caught {
                if isInterruptible {
                    _ = try context.budget?.value.interruptibly { () throws(ServerError) in
                        try expression.evaluate(root: .empty)
                    }
                } else {
                    _ = try expression.evaluate(root: .empty)
                }
            }
            #expect(error?.code == .maxTimeMSExpired)
        }
    }

    @Test("an evaluation that nothing watches over is bounded in its steps")
    func steps() throws {
        let expression = """
            {'$map': {'input': {'$range': [0, 100000]}, 'as': 'i', 'in': {'$map': {'input': {'$range': [0,
            100000]}, 'in': {'$add': ['$$this', '$$i']}}}}}
            """
        let error = ServerError.caught { _ = try evaluate(expression) }
        #expect(error?.code == .exceededTimeLimit || error?.code == .exceededMemoryLimit)
    }

    @Test(
        "memory is bounded while an array is built",
        arguments: [
            "{'$map': {'input': {'$range': [0, 1000000]}, 'in': '$s'}}",
            """
            {'$reduce': {'input': {'$range': [0, 1000000]}, 'initialValue': [],
            'in': {'$concatArrays': ['$$value', ['$s']]}}}
            """,
            """
            {'$reduce': {'input': {'$range': [0, 1000000]}, 'initialValue': '', 'in': {'$concat': ['$$value',
            '$s']}}}
            """,
            "{'$replaceAll': {'input': '$s', 'find': 'a', 'replacement': '$s'}}",
        ])
    func memory(expression: String) throws {
        let compiled = try json("{'value': \(expression)}").withView {
            try Expression(#require($0["value"]), context: QueryContext())
        }
        let root: Document = ["s": .string(String(repeating: "a", count: 20_000))]
        let error = ServerError.caught { _ = try root.withView { try compiled.evaluate(root: $0) } }
        #expect(error?.code == .exceededMemoryLimit)
    }

    @Test("what a stage was interrupted in, it finishes: no document is lost or seen twice")
    func stages() throws {
        let stages = """
            [{'$match': {'$expr': {'$gt': [{'$sum': {'$map': {'input': '$a', 'in': '$$this'}}}, 0]}}},
             {'$set': {'x': {'$sum': {'$map': {'input': '$a', 'in': 1}}},
             'y': {'$size': {'$filter': {'input': '$a', 'cond': {'$in': ['$$this', '$a']}}}}}},
             {'$facet': {'all': [{'$project': {'x': 1, 'z': {'$sum': {'$map': {'input': '$a', 'in': 2}}}}},
             {'$unset': 'a'}],
                       'sums': [{'$group': {'_id': {'$mod': ['$x', 2]},
                       'n': {'$sum': {'$sum': {'$map': {'input': '$a', 'in': 3}}}}, 'c': {'$sum': 1}}}]}}]
            """
        let documents = [0, 1, 700, 3, 900].map { numbers($0) }
        let wanted = try run(try pipeline(stages), over: documents)
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
        var context = QueryContext()
        context.budget = Confined(budget)
        let results = try run(try pipeline(stages, context: context), over: documents) {
            budget.beginSlice(until: .distantFuture)
        }
        #expect(results == wanted)
        #expect(wanted.count == 1)
    }

    @Test(
        "many short expressions over one document come to an end, though together they take many slices",
        arguments: ["$project", "$set"])
    func manyShort(stage: String) throws {
        let fields = (0..<400).map { "'g\($0)': {'$getField': 'f\($0)'}" }.joined(separator: ", ")
        let document = Document { writer in for index in 0..<400 { writer.append("f\(index)", .int32(Int32(index))) } }
        let stages = "[{'\(stage)': {\(fields)}}]"
        let wanted = try run(try pipeline(stages), over: [document])
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
        var context = QueryContext()
        context.budget = Confined(budget)
        var slices = 0
        let results = try run(try pipeline(stages, context: context), over: [document]) {
            slices += 1
            // Fails instead of going on for ever.
            if slices == 10_000 { budget.deadline = Instant(nanoseconds: 0) }
            budget.beginSlice(until: .distantFuture)
        }
        #expect(results == wanted)
        #expect(slices > 3)
    }
}

@Suite("Regular expressions in expressions")
struct RegexExpressionTests {
    static let cases: [ExpressionCase] = [
        // A group that takes no part is null.
        ExpressionCase(
            "{'$regexFind': {'input': 'b', 'regex': '(a)|(b)'}}", "{'match': 'b', 'idx': 0, 'captures': [null, 'b']}"),
        ExpressionCase(
            "{'$regexFind': {'input': 'a', 'regex': '(a)|(b)'}}", "{'match': 'a', 'idx': 0, 'captures': ['a', null]}"),
        ExpressionCase(
            "{'$regexFind': {'input': 'x', 'regex': 'x(y)?(z)?'}}", "{'match': 'x', 'idx': 0, 'captures': [null, null]}"
        ),
        ExpressionCase(
            "{'$regexFindAll': {'input': 'éab', 'regex': '(a)|(b)'}}",
            "[{'match': 'a', 'idx': 1, 'captures': ['a', null]}, {'match': 'b', 'idx': 2, 'captures': [null, 'b']}]"),
        ExpressionCase(
            "{'$map': {'input': {'$regexFindAll': {'input': 'aé', 'regex': 'x*'}}, 'in': '$$this.idx'}}", "[0, 1]"),
        ExpressionCase("{'$regexFindAll': {'input': '', 'regex': 'x*'}}", "[{'match': '', 'idx': 0, 'captures': []}]"),
        ExpressionCase("{'$regexMatch': {'input': 'aab', 'regex': '\\\\Gb'}}", "false"),
    ]

    @Test("groups that take no part, empty matches and anchors", arguments: cases)
    func values(_ one: ExpressionCase) throws { try one.check() }

    @Test("a match is found wherever it starts in a long text")
    func longText() throws {
        for length in [4095, 4096, 4097, 12_287, 12_288, 200_000] {
            let text = String(repeating: "é", count: length / 2) + String(repeating: "a", count: length % 2) + "needle"
            let wrapped = try json("{'value': {'$regexFindAll': {'input': '$s', 'regex': 'ne+dle|[x]'}}}")
            let expression = try wrapped.withView { try Expression(#require($0["value"]), context: QueryContext()) }
            let found = try (["s": .string(text)] as Document).withView { try expression.evaluate(root: $0) }
            #expect(found == [["match": "needle", "idx": .int32(Int32(length / 2 + length % 2)), "captures": []]])
        }
    }

    private func regex(_ pattern: String, over text: String) throws -> Value? {
        let expression = try (["$regexFind": ["input": "$s", "regex": .string(pattern)]] as Document).withView { view in
            try Expression(
                ValueView(type: .document, pointer: view.base, byteCount: view.byteCount), context: QueryContext())
        }
        return try (["s": .string(text)] as Document).withView { try expression.evaluate(root: $0) }
    }

    @Test(
        "a match that takes too long at one place of a long text is refused",
        arguments: [
            "a*a*a*a*[xy]", "(a|aa)+[xy]",
        ])
    func tooLong(pattern: String) throws {
        let error = ServerError.caught { _ = try regex(pattern, over: String(repeating: "a", count: 200_000)) }
        #expect(error?.code.rawValue == 51156)
    }

    @Test("a search that takes long at every place of a text goes on in parts until it is through")
    func longEverywhere() throws {
        let text = String(repeating: "a", count: 40_000)
        #expect(try regex("a{0,300}[xy]", over: text) == .null)
        let found = try regex("a{0,300}[xy]", over: text + "éx" + text)
        #expect(found == ["match": "x", "idx": 40_001, "captures": []])
        let last = try regex("a{0,300}[xy]", over: text + "x")
        #expect(last == ["match": .string(String(repeating: "a", count: 300) + "x"), "idx": 39_700, "captures": []])
    }
}
