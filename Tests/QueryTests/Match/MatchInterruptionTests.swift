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

/// A document of many arrays, some in others; not so long that a test takes long.
private func large(_ count: Int) -> Document {
    let text = String(repeating: "ab", count: 10 * count)
    return [
        "_id": 1, "n": .array((0..<count).map { .int32(Int32($0)) }),
        "d": .array(
            (0..<count).map { index -> Value in
                ["x": .int32(Int32(index)), "y": .array((0..<20).map { .int32(Int32(index * 20 + $0)) })]
            }),
        "nested": [.array((0..<count).map { .int32(Int32(-$0)) }), "end"],
        "s": .string(text),
        "o": .document(
            Document { writer in
                for index in 0..<count { writer.append("k\(index)", .int32(Int32(index))) }
            }),
    ]
}

private let filters = [
    "{'n': 5}", "{'n': -5}", "{'n': {'$gt': 100, '$lt': 50}}", "{'n': {'$in': [-1, -2, 900]}}",
    "{'n': {'$nin': [-1, -2]}}",
    "{'n': {'$all': [1, 2, 3, 900, 1999]}}", "{'n': {'$all': [1, 2, -3]}}", "{'d.x': 1500}", "{'d.x': -1}",
    "{'d.y': 39999}", "{'d.y': -1}", "{'d.y.3': 39983}", "{'d.1500.x': 1500}", "{'d.1500.y.2': 30002}",
    "{'d.1500.x': 3}",
    "{'nested.0': -1999}", "{'nested': 'end'}", "{'nested': {'$elemMatch': {'$elemMatch': {'$lt': -1998}}}}",
    "{'d': {'$elemMatch': {'x': {'$gt': 1990}, 'y': {'$gt': 39990}}}}",
    "{'d': {'$elemMatch': {'y': {'$elemMatch': {'$gt': 39998, '$lt': 40000}}}}}",
    "{'d': {'$elemMatch': {'y': {'$elemMatch': {'$gt': 39998, '$lt': 39999}}}}}",
    "{'$and': [{'n': 1}, {'n': 1999}, {'d.x': 1999}, {'d.y': 39999}]}",
    "{'$or': [{'n': -1}, {'d.x': -1}, {'d.y': -1}, {'n': 1999}]}", "{'$nor': [{'n': -1}, {'d.x': -1}, {'d.y': -1}]}",
    "{'d.y': {'$not': {'$gt': 39999}}}", "{'n': {'$ne': 1999}}", "{'n': {'$not': {'$elemMatch': {'$gt': 2000}}}}",
    "{'s': {'$regex': 'ba$'}}", "{'s': {'$regex': 'b$'}, 'n': 1999}",
    """
    {'n': 1999, 's': {'$in': [{'$regularExpression': {'pattern': 'c', 'options': ''}}, \
    {'$regularExpression': {'pattern': 'abab$', 'options': ''}}]}}
    """,
    "{'$expr': {'$gt': [{'$sum': '$n'}, 5]}, 'd.y': 39999}", "{'d.y': 39999, '$expr': {'$in': [1999, '$n']}}",
    "{'$or': [{'$expr': {'$in': [-1, '$n']}}, {'$and': [{'d.y': 39999}, {'s': {'$not': {'$regex': 'c'}}}]}]}",
    "{'$jsonSchema': {'properties': {'n': {'items': {'bsonType': 'int', 'maximum': 1999}}}}}",
    "{'$jsonSchema': {'properties': {'n': {'items': {'bsonType': 'int', 'maximum': 1998}}}}}",
    "{'$jsonSchema': {'properties': {'n': {'uniqueItems': true}, 'd': {'uniqueItems': true}}}}",
    """
    {'$jsonSchema': {'properties': {'o': {'patternProperties': {'^k': {'maximum': 1999}}, \
    'additionalProperties': false}}}}
    """,
    "{'$jsonSchema': {'properties': {'o': {'patternProperties': {'^k1': {'maximum': 1998}}}}}}",
    "{'$jsonSchema': {'properties': {'o': {'properties': {'k3': {}}, 'additionalProperties': {'maximum': 1999}}}}}",
    "{'$jsonSchema': {'properties': {'o': {'required': ['k1', 'k1999', 'k7'], 'dependencies': {'k1': ['k1998']}}}}}",
    "{'$jsonSchema': {'properties': {'o': {'dependencies': {'k1': ['k5000'], 'k1999': {'required': ['k2']}}}}}}",
    """
    {'$jsonSchema': {'properties': {'n': {'oneOf': [{'uniqueItems': true}, {'items': {'minimum': 1}}, \
    {'maxItems': 1}]}}}}
    """,
    "{'$jsonSchema': {'properties': {'n': {'oneOf': [{'uniqueItems': true}, {'items': {'minimum': 0}}]}}}}",
    "{'$jsonSchema': {'properties': {'n': {'anyOf': [{'items': {'minimum': 1}}, {'items': {'maximum': 1999}}]}}}}",
    "{'$jsonSchema': {'properties': {'n': {'allOf': [{'uniqueItems': true}, {'not': {'items': {'maximum': 1}}}]}}}}",
    """
    {'$jsonSchema': {'properties': {'n': {'items': [{'maximum': 0}, {'minimum': 1}], \
    'additionalItems': {'minimum': 2}}}}}
    """,
    "{'$jsonSchema': {'properties': {'s': {'pattern': 'b$', 'minLength': 5}}}}",
    "{'$jsonSchema': {'properties': {'s': {'pattern': 'c'}}}}",
]

@Suite("Interrupted matches")
struct MatchInterruptionTests {
    private func filter(_ text: String, _ context: QueryContext) throws -> Filter {
        try json(text).withView { try Filter($0, context: context) }
    }

    @Test(
        "a match that is interrupted at every look finds what one without interruptions finds, and where",
        arguments: filters)
    func same(text: String) throws {
        let document = large(2000)
        let plain = try filter(text, QueryContext())
        var wantedPosition: Int?
        let wanted = try document.withView { try plain.matches($0, position: &wantedPosition) }
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
        var context = QueryContext()
        context.budget = Confined(budget)
        // So many conditions that a document of some kilobytes is a long one.
        let padding = (0..<2000).map { "{'absent\($0)': {'$exists': false}}" }.joined(separator: ", ")
        let interrupted = try filter("{'$and': [\(text), \(padding)]}", context)
        for _ in 0..<2 {
            var (position, slices): (Int?, Int) = (nil, 0)
            var found: Bool?
            while found == nil {
                slices += 1
                try #require(slices < 100_000, "no end")
                // Each slice sees the document in another place.
                let copy = Document(trusted: Array(document.bytes))
                budget.beginSlice(until: .distantFuture)
                found = try copy.withView { try interrupted.matchesInterruptibly($0, position: &position) }
            }
            #expect(found == wanted)
            if wanted { #expect(position == wantedPosition) }
            #expect(slices > 3 || !wanted)
        }
    }

    @Test("a match begins anew with another document")
    func otherDocument() throws {
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 0)
        var context = QueryContext()
        context.budget = Confined(budget)
        let conditions = (0..<2000).map { "{'n': {'$ne': \(-1 - $0)}}" }.joined(separator: ", ")
        let filter = try filter("{'$and': [\(conditions)]}", context)
        func slice(_ document: Document) throws -> Bool? {
            budget.beginSlice(until: .distantFuture)
            return try document.withView { try filter.matchesInterruptibly($0) }
        }
        let (matching, failing) = (
            large(300), Document(dictionaryLiteral: ("n", .array([1, -2000, .array(large(300).values)])))
        )
        for _ in 0..<3 {
            #expect(try slice(matching) == nil)
            var found: Bool?
            while found == nil { found = try slice(failing) }
            #expect(found == false)
        }
        var found: Bool?
        while found == nil { found = try slice(matching) }
        #expect(found == true)
    }

    @Test("a match ends when the client's time is over")
    func deadline() throws {
        var context = QueryContext()
        context.budget = Confined(
            EvaluationBudget(TickingClock(), deadline: Instant(nanoseconds: 0) + .milliseconds(1)))
        let conditions = (0..<2000).map { "{'n': {'$ne': \(-1 - $0)}}" }.joined(separator: ", ")
        let filter = try filter("{'$and': [\(conditions)]}", context)
        let document = large(2000)
        let error = ServerError.caught { _ = try document.withView { try filter.matchesInterruptibly($0) } }
        #expect(error?.code == .maxTimeMSExpired)
    }
}
