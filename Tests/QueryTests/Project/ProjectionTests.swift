import BSON
import Core
import Testing

@testable import Query

struct ProjectionCase: Sendable, CustomStringConvertible {
    let projection: Document
    let document: Document
    let expected: Document
    let position: Int?
    init(_ projection: Document, _ document: Document, _ expected: Document, position: Int? = nil) {
        self.projection = projection
        self.document = document
        self.expected = expected
        self.position = position
    }
    var description: String { "\(ValueText.document(projection)) of \(ValueText.document(document))" }
}

private func projection(_ document: Document) throws -> Projection {
    try document.withView { try Projection($0, context: QueryContext()) }
}

private func project(_ projection: Projection, _ document: Document, position: Int? = nil) throws -> Document {
    let buffer = ByteBuffer()
    try document.withView { try projection.apply($0, position: position, to: buffer) }
    return try Document(validating: buffer.toArray())
}

@Suite("Projection") struct ProjectionTests {
    static let cases: [ProjectionCase] = [
        ProjectionCase([:], ["_id": 1, "a": 2], ["_id": 1, "a": 2]),
        ProjectionCase(["a": 1], ["_id": 1, "b": 3, "a": 2], ["_id": 1, "a": 2]),
        ProjectionCase(["b": 1, "a": true], ["_id": 1, "a": 2, "b": 3, "c": 4], ["_id": 1, "a": 2, "b": 3]),
        ProjectionCase(["a": 1, "_id": 0], ["_id": 1, "a": 2], ["a": 2]),
        ProjectionCase(["_id": 0, "a": 1], ["_id": 1, "a": 2], ["a": 2]),
        ProjectionCase(["_id": 1], ["_id": 1, "a": 2], ["_id": 1]),
        ProjectionCase(["_id": 0], ["_id": 1, "a": 2], ["a": 2]),
        ProjectionCase(["a": 0], ["_id": 1, "a": 2, "b": 3], ["_id": 1, "b": 3]),
        ProjectionCase(["a": 0, "_id": 0], ["_id": 1, "a": 2, "b": 3], ["b": 3]),
        ProjectionCase(["z": 1], ["_id": 1, "a": 2], ["_id": 1]),
        ProjectionCase(["a.b": 1], ["_id": 1, "a": ["b": 1, "c": 2]], ["_id": 1, "a": ["b": 1]]),
        ProjectionCase(["a": ["b": 1]], ["_id": 1, "a": ["b": 1, "c": 2]], ["_id": 1, "a": ["b": 1]]),
        ProjectionCase(["a.b": 1], ["_id": 1, "a": ["c": 2]], ["_id": 1, "a": [:]]),
        ProjectionCase(["a.b": 1], ["_id": 1, "a": 5], ["_id": 1]),
        ProjectionCase(
            ["a.b": 1], ["a": [["b": 1, "c": 2], 5, [["b": 3, "d": 4]], ["c": 1]]],
            ["a": [["b": 1], [["b": 3]], [:]]]),
        ProjectionCase(["a.b": 0], ["a": ["b": 1, "c": 2]], ["a": ["c": 2]]),
        ProjectionCase(["a.b": 0], ["a": 5], ["a": 5]),
        ProjectionCase(["a.b": 0], ["a": [["b": 1, "c": 2], 5, [["b": 3]]]], ["a": [["c": 2], 5, [[:]]]]),
        ProjectionCase(["a.b": 1, "a.c": 1], ["a": ["b": 1, "c": 2, "d": 3]], ["a": ["b": 1, "c": 2]]),
        ProjectionCase(["a": ["$slice": 2]], ["_id": 1, "a": [1, 2, 3], "b": 1], ["_id": 1, "a": [1, 2], "b": 1]),
        ProjectionCase(["a": ["$slice": -2]], ["a": [1, 2, 3]], ["a": [2, 3]]),
        ProjectionCase(["a": ["$slice": [1, 1]]], ["a": [1, 2, 3]], ["a": [2]]),
        ProjectionCase(["a": ["$slice": [-2, 1]]], ["a": [1, 2, 3]], ["a": [2]]),
        ProjectionCase(["a": ["$slice": [-9, 2]]], ["a": [1, 2, 3]], ["a": [1, 2]]),
        ProjectionCase(["a": ["$slice": [9, 2]]], ["a": [1, 2, 3]], ["a": []]),
        ProjectionCase(["a": ["$slice": 2]], ["a": 5], ["a": 5]),
        ProjectionCase(["a": ["$slice": .int64(.min)]], ["a": [1, 2]], ["a": [1, 2]]),
        ProjectionCase(
            ["a": ["$slice": 1], "b": 1], ["_id": 1, "a": [1, 2], "b": 1, "c": 1], ["_id": 1, "a": [1], "b": 1]),
        ProjectionCase(["a.b": ["$slice": 1]], ["a": ["b": [1, 2], "c": 3]], ["a": ["b": [1], "c": 3]]),
        ProjectionCase(
            ["a": ["$elemMatch": ["x": 2]]], ["_id": 1, "a": [["x": 1], ["x": 2], ["x": 2, "y": 1]], "b": 1],
            ["_id": 1, "a": [["x": 2]]]),
        ProjectionCase(["a": ["$elemMatch": ["$gt": 1]]], ["_id": 1, "a": [1, 2, 3]], ["_id": 1, "a": [2]]),
        ProjectionCase(["a": ["$elemMatch": ["x": 9]]], ["_id": 1, "a": [["x": 1]]], ["_id": 1]),
        ProjectionCase(
            ["a": ["$elemMatch": ["x": 1]], "b": 1], ["_id": 1, "a": [["x": 1]], "b": 2],
            ["_id": 1, "b": 2, "a": [["x": 1]]]),
        ProjectionCase(["a.$": 1], ["_id": 1, "a": [1, 2, 3], "b": 1], ["_id": 1, "a": [2]], position: 1),
        ProjectionCase(
            ["a.b.$": 1], ["_id": 1, "a": ["b": [1, 2], "c": 3]], ["_id": 1, "a": ["b": [1]]], position: 0),
        ProjectionCase(
            ["a.b.$": 1], ["_id": 1, "a": [["b": [1, 2]], ["b": [3, 4], "c": 1]]], ["_id": 1, "a": [["b": [3, 4]]]],
            position: 1),
        ProjectionCase(["a.$": 1], ["_id": 1, "a": [[1, 2], [3]]], ["_id": 1, "a": [[3]]], position: 1),
        ProjectionCase(["a.$": 1], ["_id": 1, "a": 7], ["_id": 1, "a": 7]),
    ]

    @Test("a projection keeps what it names, in the document's order", arguments: cases)
    func table(_ test: ProjectionCase) throws {
        let projection = try projection(test.projection)
        #expect(try project(projection, test.document, position: test.position) == test.expected)
        #expect(projection.needsPosition == ValueText.document(test.projection).contains(".$:"))
    }

    static let errors: [FilterErrorCase] = [
        FilterErrorCase(["a": 1, "b": 0], 31254, "Cannot do exclusion on field b in inclusion projection"),
        FilterErrorCase(["a": 0, "b": 1], 31253, "Cannot do inclusion on field b in exclusion projection"),
        FilterErrorCase(["a": 0, "_id": 1], 31253, "Cannot do inclusion on field _id in exclusion projection"),
        FilterErrorCase(["_id": 1, "a": 0], 31254, "Cannot do exclusion on field a in inclusion projection"),
        FilterErrorCase(["a": 1, "a.b": 1], 31249, "Path collision at a.b remaining portion b"),
        FilterErrorCase(["a.b": 1, "a": 1], 31250, "Path collision at a"),
        FilterErrorCase(["a": [:]], 51270, "An empty sub-projection is not a valid value."),
        FilterErrorCase(["a.$": 1, "b.$": 1], 31276, "Cannot specify more than one positional projection per query."),
        FilterErrorCase(["a.$": 0], 31395, "positional projection cannot be used with exclusion"),
        FilterErrorCase(["a.$.b": 1], 31394, "As of 4.4, it's illegal"),
        FilterErrorCase(
            ["a.$": 1, "b": ["$elemMatch": ["x": 1]]], 31255, "Cannot specify positional operator and $elemMatch."),
        FilterErrorCase(
            ["a.b": ["$elemMatch": ["x": 1]]], 31275, "Cannot use $elemMatch projection on a nested field."),
        FilterErrorCase(["a": ["$elemMatch": 1]], 31274, "elemMatch: Invalid argument, object required"),
        FilterErrorCase(["a": ["$slice": "x"]], 28667, "Invalid $slice syntax."),
        FilterErrorCase(["a": ["$slice": [1, 0]]], 28724),
        FilterErrorCase(
            ["a": ["$meta": "textScore"]], 40218, "query requires text score metadata, but it is not available"),
        FilterErrorCase(["a..b": 1], 15998, "FieldPath field names may not be empty strings."),
        FilterErrorCase(["a.": 1], 40353, "FieldPath must not end with a '.'."),
        FilterErrorCase(["$a": 1], 16410, "FieldPath field names may not start with '$'."),
    ]

    @Test("a bad projection is refused with MongoDB's code and message", arguments: errors)
    func refused(_ test: FilterErrorCase) {
        #expect(code { _ = try projection(test.filter) } == test.code)
        #expect(message { _ = try projection(test.filter) }.hasPrefix(test.message))
    }

    @Test("the positional operator without a matching element is an error that leaves the output alone")
    func noPosition() throws {
        let projection = try projection(["a.$": 1])
        let buffer = ByteBuffer()
        buffer.append([1, 2, 3])
        let document: Document = ["a": [1, 2]]
        #expect(code { try document.withView { try projection.apply($0, position: nil, to: buffer) } } == 51246)
        #expect(code { try document.withView { try projection.apply($0, position: 9, to: buffer) } } == 51246)
        #expect(buffer.toArray() == [1, 2, 3])
    }

    @Test("long arrays are renumbered")
    func renumbering() throws {
        let document: Document = ["a": .array((0..<1200).map { .int32($0) })]
        let result = try project(try projection(["a": ["$slice": [95, 1010]]]), document)
        #expect(result == ["a": .array((95..<1105).map { .int32($0) })])
    }
}
