import BSON
import Core
import Testing

@testable import Query

@Suite("Expressions in projections and filters") struct ProjectionExpressionTests {
    private func project(_ projection: Document, _ document: Document) throws -> Document {
        let compiled = try projection.withView { try Projection($0, context: QueryContext()) }
        let buffer = ByteBuffer()
        try document.withView { try compiled.apply($0, to: buffer) }
        return try Document(validating: buffer.toArray())
    }

    @Test("computed fields come behind the others and see the whole document")
    func computed() throws {
        let document: Document = ["_id": 1, "a": 2, "b": 3, "c": 4]
        #expect(try project(["sum": ["$add": ["$a", "$b"]], "c": 1], document) == ["_id": 1, "c": 4, "sum": 5])
        #expect(try project(["copy": "$a", "_id": 0], document) == ["copy": 2])
        #expect(try project(["gone": "$nothing"], document) == ["_id": 1])
        #expect(try project(["a": "$b"], document) == ["_id": 1, "a": 3])
    }

    @Test("a computed field inside a document is made in each element of an array, and where nothing was")
    func nested() throws {
        #expect(try project(["a.x": "$b"], ["b": 7]) == ["a": ["x": 7]])
        #expect(try project(["a.x": "$b"], ["a": 5, "b": 7]) == ["a": ["x": 7]])
        #expect(
            try project(["a.x": "$b", "a.y": 1], ["a": [["y": 1, "z": 2], 3], "b": 7]) == [
                "a": [["y": 1, "x": 7], ["x": 7]]
            ])
    }

    @Test("$slice with an array expression is the expression")
    func sliceExpression() throws {
        #expect(try project(["first": ["$slice": ["$a", 1]]], ["a": [1, 2]]) == ["first": [1]])
    }

    @Test("$expr compares fields with one another, and fails where its expression fails")
    func expressions() throws {
        let filter = try compile(["$expr": ["$gt": ["$a", "$b"]]])
        #expect(try filter.matches(["a": 2, "b": 1]))
        #expect(try !filter.matches(["a": 1, "b": 2]))
        #expect(try compile(["$expr": "$a"]).matches(["a": 0.5]))
        #expect(try !compile(["$expr": "$a"]).matches(["a": 0]))
        #expect(try !compile(["$expr": "$a"]).matches(["a": nil]))
        #expect(try !compile(["$expr": "$a"]).matches([:]))
        #expect(try compile(["$expr": "$a"]).matches(["a": ""]))
        let failing = try compile(["$expr": ["$divide": [1, "$a"]]])
        #expect(code { _ = try failing.matches(["a": 0]) } == 2)
    }

    @Test("variables of the context reach $expr")
    func variables() throws {
        let source: Document = ["$expr": ["$eq": ["$a", "$$wanted"]]]
        let context = QueryContext(variables: ["wanted": 5])
        let filter = try source.withView { try Filter($0, context: context) }
        #expect(try filter.matches(["a": 5]))
        #expect(try !filter.matches(["a": 6]))
    }
}
