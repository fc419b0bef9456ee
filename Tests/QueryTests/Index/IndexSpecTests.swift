import BSON
import Core
import Testing

@testable import Query

@Suite("Index specifications") struct IndexSpecTests {
    static let errors: [FilterErrorCase] = [
        FilterErrorCase(["name": "x"], 9, "The 'key' field is a required property"),
        FilterErrorCase(["key": ["a": 1]], 9, "The 'name' field is a required property"),
        FilterErrorCase(["key": 1, "name": "x"], 14),
        FilterErrorCase(["key": [:], "name": "x"], 67, "Index keys cannot be empty."),
        FilterErrorCase(["key": ["a": 0], "name": "x"], 67, "Values in the index key pattern cannot be 0."),
        FilterErrorCase(["key": ["a": true], "name": "x"], 67, "Values in v:2 index key pattern"),
        FilterErrorCase(["key": ["a": "foo"], "name": "x"], 67, "Unknown index plugin 'foo'"),
        FilterErrorCase(["key": ["a": "text"], "name": "x"], 67, "Index type 'text' is not supported"),
        FilterErrorCase(["key": ["a": "2dsphere"], "name": "x"], 67, "Index type '2dsphere' is not supported"),
        FilterErrorCase(["key": ["$**": 1], "name": "x"], 67, "Wildcard indexes are not supported"),
        FilterErrorCase(["key": ["": 1], "name": "x"], 67, "Index keys cannot be an empty field."),
        FilterErrorCase(["key": ["a..b": 1], "name": "x"], 67, "Index keys cannot contain an empty field."),
        FilterErrorCase(["key": ["$a": 1], "name": "x"], 67, "Index key contains an illegal field name"),
        FilterErrorCase(["key": ["a": "hashed", "b": "hashed"], "name": "x"], 31303),
        FilterErrorCase(["key": ["a": "hashed"], "name": "x", "unique": true], 16764),
        FilterErrorCase(["key": ["a": 1], "name": ""], 67, "index name cannot be empty"),
        FilterErrorCase(["key": ["a": 1], "name": "x", "foo": 1], 197, "The field 'foo' is not valid"),
        FilterErrorCase(["key": ["a": 1], "name": "x", "unique": "yes"], 14, "The field 'unique' has value"),
        FilterErrorCase(["key": ["a": 1], "name": "x", "v": 1], 67),
        FilterErrorCase(["key": ["a": 1], "name": "x", "collation": ["locale": "de"]], 67),
        FilterErrorCase(["key": ["a": 1], "name": "x", "expireAfterSeconds": "x"], 67),
        FilterErrorCase(["key": ["a": 1], "name": "x", "expireAfterSeconds": -1], 67),
        FilterErrorCase(["key": ["a": 1, "b": 1], "name": "x", "expireAfterSeconds": 1], 67),
        FilterErrorCase(["key": ["a": 1], "name": "x", "sparse": true, "partialFilterExpression": ["a": 1]], 67),
        FilterErrorCase(
            ["key": ["a": 1], "name": "x", "partialFilterExpression": ["a": ["$ne": 1]]], 67,
            "Expression not supported in partial index"),
        FilterErrorCase(["key": ["_id": 1], "name": "_id_", "sparse": true], 197),
        FilterErrorCase(["key": ["_id": 1], "name": "_id_", "hidden": true], 2),
        FilterErrorCase(["key": ["a": 1], "name": "_id_"], 2, "The index name '_id_' is reserved"),
        FilterErrorCase(
            [
                "key": .document(Document { writer in for field in 0..<40 { writer.append("f\(field)", .int32(1)) } }),
                "name": "x",
            ], 13103),
    ]

    @Test("a bad index specification is refused with MongoDB's code and message", arguments: errors)
    func refused(_ test: FilterErrorCase) {
        #expect(code { try test.filter.withView { try validateIndexSpec($0) } } == test.code)
        #expect(message { try test.filter.withView { try validateIndexSpec($0) } }.hasPrefix(test.message))
    }

    @Test("the definition holds version, key, name and the options that are set")
    func definition() throws {
        let specification: Document = [
            "key": ["a": 1.0, "b": -1], "name": "mine", "unique": true, "sparse": false, "background": true,
        ]
        let spec = try specification.withView { try IndexSpec(validating: $0) }
        #expect(
            spec.definition == [
                "v": 2, "key": ["a": 1.0, "b": -1], "name": "mine", "unique": true, "background": true,
            ])
        #expect(spec.isUnique && !spec.isSparse)
        let ttl = try indexSpec(["at": 1], ["expireAfterSeconds": 60, "collation": ["locale": "simple"]])
        #expect(ttl.expireAfterSeconds == 60)
        #expect(ttl.definition["expireAfterSeconds"] == 60)
    }

    @Test("an index without a name is called by its fields and directions")
    func defaultName() {
        let key: Document = ["a": 1, "b.c": -1.0, "d": "hashed", "e": .int64(1)]
        #expect(key.withView { IndexSpec.defaultName($0) } == "a_1_b.c_-1_d_hashed_e_1")
    }
}
