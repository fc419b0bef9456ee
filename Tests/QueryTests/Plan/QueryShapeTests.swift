import BSON
import Core
import Testing

@testable import Query

/// The hashes by which queries of one shape are known.
@Suite struct QueryShapeTests {
    private func planHash(_ filter: String, sort: String = "{}", projection: String = "{}") throws -> String {
        let compiled = try json(filter).withView { try Filter($0, context: QueryContext()) }
        return QueryShape.planHash(
            filter: compiled.parsedQuery, sort: try json(sort), projection: try json(projection), collation: nil)
    }

    private func shapeHash(_ command: String) throws -> String {
        let command = try json(command)
        guard case .document(let filter) = command["filter"] ?? .document(Document()) else { return "" }
        let compiled = try filter.withView { try Filter($0, context: QueryContext()) }
        return command.withView { QueryShape.hash(command: $0, filter: compiled.parsedQuery) }
    }

    @Test(
        "constants and the order of conditions do not change the shape of a plan",
        arguments: [
            ("{'a': 1}", "{'a': {'$eq': 'x'}}"), ("{'a': 1, 'b': 2}", "{'$and': [{'b': 3}, {'a': 4}]}"),
            ("{'a': {'$in': [1, 2]}}", "{'a': {'$in': [3, 4]}}"),
            ("{'a': {'$not': {'$gt': 1}}}", "{'a': {'$not': {'$gt': 5}}}"),
            ("{'$expr': {'$gt': ['$a', 1]}}", "{'$expr': {'$lt': ['$a', 1]}}"),
        ])
    func samePlan(_ pair: (String, String)) throws {
        #expect(try planHash(pair.0) == planHash(pair.1))
        #expect(try planHash(pair.0).count == 8)
    }

    @Test(
        "fields, operators and the number of values do",
        arguments: [
            ("{'a': 1}", "{'b': 1}"), ("{'a': {'$gt': 1}}", "{'a': {'$lt': 1}}"),
            ("{'a': {'$in': [1]}}", "{'a': {'$in': [1, 2]}}"),
            ("{'a': {'$exists': true}}", "{'a': {'$exists': false}}"),
            ("{'$or': [{'a': 1}, {'b': 1}]}", "{'$nor': [{'a': 1}, {'b': 1}]}"),
        ])
    func otherPlan(_ pair: (String, String)) throws { #expect(try planHash(pair.0) != planHash(pair.1)) }

    @Test("sort and projection belong to the shape of a plan, a projection in any order")
    func sortAndProjection() throws {
        #expect(try planHash("{}", sort: "{'a': 1}") != planHash("{}", sort: "{'a': -1}"))
        #expect(
            try planHash("{}", projection: "{'a': 1, 'b': 1}") == planHash("{}", projection: "{'b': 1, 'a': 1}"))
    }

    @Test("the shape of a query keeps the order of fields and the types of constants")
    func queryShape() throws {
        #expect(try shapeHash("{'find': 'c', 'filter': {'a': 1}}") == shapeHash("{'find': 'c', 'filter': {'a': 2}}"))
        #expect(try shapeHash("{'find': 'c', 'filter': {'a': 1}}") != shapeHash("{'find': 'c', 'filter': {'a': 'x'}}"))
        #expect(
            try shapeHash("{'find': 'c', 'filter': {'a': 1, 'b': 1}}")
                != shapeHash("{'find': 'c', 'filter': {'b': 1, 'a': 1}}"))
        #expect(try shapeHash("{'find': 'c', 'filter': {}, 'limit': 3}") != shapeHash("{'find': 'c', 'filter': {}}"))
        #expect(try shapeHash("{'find': 'c', 'filter': {'a': 1}}").count == 64)
    }
}
