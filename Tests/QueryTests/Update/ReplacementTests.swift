import BSON
import Core
import Testing

@testable import Query

@Suite struct ReplacementTests {
    @Test(
        "replacements and pipelines keep the _id and put it first",
        arguments: [
            UpdateCase("{'_id': 1, 'a': 1}", "{'b': 2}", "{'_id': 1, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{'b': 2, '_id': 1}", "{'_id': 1, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{}", "{'_id': 1}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{'a.b': 1, 'c': {'$x': 1}}", "{'_id': 1, 'a.b': 1, 'c': {'$x': 1}}"),
            UpdateCase("{'_id': 1, 'a': 1}", "[{'$set': {'b': {'$add': ['$a', 1]}}}]", "{'_id': 1, 'a': 1, 'b': 2}"),
            UpdateCase(
                "{'_id': 1, 'a': {'x': 1}}", "[{'$set': {'a.y': '$a.x', 'a.x': '$$REMOVE'}}]",
                "{'_id': 1, 'a': {'y': 1}}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'x': 1}, 5]}", "[{'$set': {'a': {'y': 2}}}]",
                "{'_id': 1, 'a': [{'x': 1, 'y': 2}, {'y': 2}]}"),
            UpdateCase("{'_id': 1, 'a': 1, 'b': 2}", "[{'$unset': ['a']}]", "{'_id': 1, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': 1, 'b': 2}", "[{'$unset': '_id'}]", "{'_id': 1, 'a': 1, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': 1, 'b': 2}", "[{'$project': {'a': 1}}]", "{'_id': 1, 'a': 1}"),
            UpdateCase(
                "{'_id': 1, 'a': {'z': 1}}", "[{'$replaceWith': '$a'}, {'$set': {'n': 1}}]",
                "{'_id': 1, 'z': 1, 'n': 1}"),
            UpdateCase("{'_id': 1}", "[{'$replaceRoot': {'newRoot': {'q': 1}}}]", "{'_id': 1, 'q': 1}"),
            UpdateCase(
                "{'_id': 1}",
                "[{'$replaceWith': {'$setField': {'field': {'$literal': '$a'}, 'value': 1, 'input': '$$ROOT'}}}]",
                "{'_id': 1, '$a': 1}"),
            UpdateCase("{'_id': 1}", "[]", "{'_id': 1}"),
        ])
    func replacements(_ row: UpdateCase) throws { try row.check() }

    @Test(
        "replacements and pipelines are refused with MongoDB's codes",
        arguments: [
            UpdateErrorCase("{'_id': 1}", "{'_id': 2}", 66),
            UpdateErrorCase("{'_id': 1}", "{'a': 1, '$b': 1}", 52),
            UpdateErrorCase("{'_id': 1}", "[{'$set': {'_id': 2}}]", 66),
            UpdateErrorCase("{'_id': 1}", "[{'$match': {}}]", 72, "$match is not allowed to be used within an update"),
            UpdateErrorCase("{'_id': 1}", "[{'$foo': {}}]", 40324, "Unrecognized pipeline stage name: '$foo'"),
            UpdateErrorCase("{'_id': 1}", "[{'$set': {'a': 1}, '$unset': 'b'}]", 40323),
            UpdateErrorCase("{'_id': 1}", "[{'$set': 5}]", 40272),
            UpdateErrorCase("{'_id': 1}", "[{'$set': {}}]", 40177),
            UpdateErrorCase("{'_id': 1}", "[{'$set': {'a': 1, 'a.b': 1}}]", 40176),
            UpdateErrorCase("{'_id': 1}", "[{'$replaceWith': 5}]", 40228),
            UpdateErrorCase("{'_id': 1}", "[{'$unset': []}]", 31119),
        ])
    func errors(_ row: UpdateErrorCase) throws { try row.check() }

    @Test("variables of `let` reach the pipeline")
    func variables() throws {
        let made = try update(
            "{'_id': 1}", "[{'$set': {'a': '$$x'}}]", context: QueryContext(variables: ["x": "v"]))
        #expect(made.document == ["_id": 1, "a": "v"])
    }

    private static let id = ObjectID(high: 1, low: 2)

    private func upsert(
        _ change: String, _ equalities: [(path: String, value: Value)]
    ) throws -> (document: Document, id: Value) {
        let output = ByteBuffer()
        let id = try updateProgram(change).upsert(from: equalities, newID: { ReplacementTests.id }, into: output)
        return (try Document(validating: output.toArray()), id)
    }

    @Test("an upsert starts from the filter's equalities, applies $setOnInsert and puts the _id first")
    func upserts() throws {
        let made = try upsert("{'$set': {'z': 1}, '$setOnInsert': {'a': 2}}", [("b.c", 5), ("x", "y")])
        #expect(made.document == ["_id": .objectID(ReplacementTests.id), "b": ["c": 5], "x": "y", "a": 2, "z": 1])
        #expect(made.id == .objectID(ReplacementTests.id))
        let named = try upsert("{'$inc': {'n': 1}}", [("n", 4), ("_id", 7)])
        #expect(named.document == ["_id": 7, "n": 5])
        #expect(try upsert("{'a': 1}", [("_id", 7), ("b", 1)]).document == ["_id": 7, "a": 1])
        #expect(try upsert("{'$set': {'_id': 9}}", []).document == ["_id": 9])
        #expect(try upsert("[{'$set': {'a': '$b'}}]", [("b", 1), ("_id", 3)]).document == ["_id": 3, "b": 1, "a": 1])
    }

    @Test("an upsert whose filter and update disagree is refused")
    func upsertErrors() throws {
        #expect(ServerError.caught { _ = try upsert("{'$set': {'_id': 2}}", [("_id", 1)]) }?.code == .immutableField)
        #expect(ServerError.caught { _ = try upsert("{'_id': 2}", [("_id", 1)]) }?.code == .immutableField)
        #expect(
            ServerError.caught { _ = try upsert("{'$set': {'a': 2}}", [("b", 1), ("b", 2)]) }?.code
                == .notSingleValueField)
        #expect(
            ServerError.caught { _ = try upsert("{'$set': {'a': 2}}", [("b", 1), ("b.c", 2)]) }?.code
                == .notSingleValueField)
    }
}
