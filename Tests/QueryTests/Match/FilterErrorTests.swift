import BSON
import Core
import Testing

@testable import Query

struct FilterErrorCase: Sendable, CustomStringConvertible {
    let filter: Document
    let code: Int32
    let message: String
    init(_ filter: Document, _ code: Int32, _ message: String = "") {
        self.filter = filter
        self.code = code
        self.message = message
    }
    var description: String { "\(ValueText.document(filter)) is refused with \(code)" }
}

@Suite("Filter errors") struct FilterErrorTests {
    static let cases: [FilterErrorCase] = [
        FilterErrorCase(["a": ["$foo": 1]], 2, "unknown operator: $foo"),
        FilterErrorCase(["a": ["$gt": 1, "b": 1]], 2, "unknown operator: b"),
        FilterErrorCase(["$foo": 1], 2, "unknown top level operator: $foo"),
        FilterErrorCase(["$gt": 1], 2, "unknown top level operator: $gt"),
        FilterErrorCase(["a": ["$in": 1]], 2, "$in needs an array"),
        FilterErrorCase(["a": ["$nin": 1]], 2, "$nin needs an array"),
        FilterErrorCase(["a": ["$in": [["$gt": 1]]]], 2, "cannot nest $ under $in"),
        FilterErrorCase(["$and": []], 2, "$and/$or/$nor must be a nonempty array"),
        FilterErrorCase(["$or": 1], 2, "$or must be an array"),
        FilterErrorCase(["$nor": [1]], 2, "$or/$and/$nor entries need to be full objects"),
        FilterErrorCase(["a": ["$not": 1]], 2, "$not needs a regex or a document"),
        FilterErrorCase(["a": ["$not": [:]]], 2, "$not cannot be empty"),
        FilterErrorCase(["a": ["$not": ["b": 1]]], 2, "unknown operator: b"),
        FilterErrorCase(["a": ["$all": 1]], 2, "$all needs an array"),
        FilterErrorCase(["a": ["$all": [["$gt": 1]]]], 2, "no $ expressions in $all"),
        FilterErrorCase(["a": ["$all": [["$elemMatch": [:]], 1]]], 2, "$all/$elemMatch has to be consistent"),
        FilterErrorCase(["a": ["$elemMatch": 1]], 2, "$elemMatch needs an Object"),
        FilterErrorCase(["a": ["$size": "x"]], 2, "Failed to parse $size."),
        FilterErrorCase(["a": ["$size": 1.5]], 2, "Failed to parse $size."),
        FilterErrorCase(["a": ["$size": -1]], 2, "Failed to parse $size."),
        FilterErrorCase(["a": ["$mod": 1]], 2, "malformed mod, needs to be an array"),
        FilterErrorCase(["a": ["$mod": [1]]], 2, "malformed mod, not enough elements"),
        FilterErrorCase(["a": ["$mod": [1, 2, 3]]], 2, "malformed mod, too many elements"),
        FilterErrorCase(["a": ["$mod": ["x", 1]]], 2, "malformed mod, divisor not a number"),
        FilterErrorCase(["a": ["$mod": [1, "x"]]], 2, "malformed mod, remainder not a number"),
        FilterErrorCase(["a": ["$mod": [0, 1]]], 2, "divisor cannot be 0"),
        FilterErrorCase(["a": ["$mod": [.double(.infinity), 1]]], 2, "malformed mod, divisor value is invalid"),
        FilterErrorCase(["a": ["$type": "foo"]], 2, "Unknown type name alias: foo"),
        FilterErrorCase(["a": ["$type": 99]], 2, "Invalid numerical type code: 99"),
        FilterErrorCase(["a": ["$type": true]], 14, "type must be represented as a number or a string"),
        FilterErrorCase(["a": ["$type": []]], 9, "$type must match at least one type"),
        FilterErrorCase(["a": ["$regex": 1]], 2, "$regex has to be a string"),
        FilterErrorCase(["a": ["$regex": "a", "$options": 1]], 2, "$options has to be a string"),
        FilterErrorCase(["a": ["$options": "i"]], 2, "$options needs a $regex"),
        FilterErrorCase(["a": ["$regex": "("]], 51091, "Regular expression is invalid"),
        FilterErrorCase(["a": ["$regex": "a", "$options": "z"]], 51108, "invalid flag in regex options: z"),
        FilterErrorCase(
            ["a": ["$regex": .regex(pattern: "a", options: "i"), "$options": "m"]], 51075,
            "options set in both $regex and $options"),
        FilterErrorCase(["a": ["$regex": "a\0b"]], 2, "Regular expression cannot contain an embedded null byte"),
        FilterErrorCase(["a": ["$ne": .regex(pattern: "a", options: "")]], 2, "Can't have regex as arg to $ne."),
        FilterErrorCase(
            ["a": ["$gt": .regex(pattern: "a", options: "")]], 2, "Can't have RegEx as arg to predicate over field 'a'."
        ),
        FilterErrorCase(["a": ["$gt": .undefined]], 2, "cannot compare to undefined"),
        FilterErrorCase(["a": ["$bitsAllSet": -1]], 9, "Expected a non-negative number"),
        FilterErrorCase(["a": ["$bitsAllSet": "x"]], 2, "$bitsAllSet takes an Array, a number, or a BinData"),
        FilterErrorCase(["a": ["$bitsAllSet": [-1]]], 2, "Failed to parse bit position."),
        FilterErrorCase(["$where": "1"], 115, "$where is not supported"),
        FilterErrorCase(["$text": ["$search": "x"]], 115, "$text is not supported"),
        FilterErrorCase(["a": ["$near": [1, 2]]], 115, "$near is not supported"),
    ]

    @Test("a bad filter is refused with MongoDB's code and message", arguments: cases)
    func refused(_ test: FilterErrorCase) {
        #expect(code { _ = try compile(test.filter) } == test.code)
        #expect(message { _ = try compile(test.filter) }.hasPrefix(test.message))
    }

    @Test("a path with more names than a document has levels is refused")
    func longPath() {
        let path = Array(repeating: "a", count: Limits.fieldPathPartsMax + 1).joined(separator: ".")
        let document = Document { $0.append(path, .int32(1)) }
        #expect(code { _ = try compile(document) } == 15)
        #expect(code { _ = try sortPattern(document) } == 15)
    }

    @Test("a filter that nests too deep is refused, not run")
    func depth() {
        var filter: Document = ["a": 1]
        for _ in 0..<200 { filter = ["$and": [.document(filter)]] }
        #expect(code { _ = try compile(filter) } == 2)
        var negation: Value = ["$eq": 1]
        for _ in 0..<200 { negation = ["$not": negation] }
        #expect(code { _ = try compile(["a": negation]) } == 2)
        var element: Value = ["$eq": 1]
        for _ in 0..<200 { element = ["$elemMatch": element] }
        #expect(code { _ = try compile(["a": element]) } == 2)
    }
}
