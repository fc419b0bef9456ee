import BSON
import Core
import Testing

@testable import Query

/// One row of a table: a schema, and documents that satisfy it or not.
private struct SchemaCase: CustomTestStringConvertible, Sendable {
    let schema: String
    let right: [String]
    let wrong: [String]

    init(_ schema: String, right: [String] = [], wrong: [String] = []) {
        (self.schema, self.right, self.wrong) = (schema, right, wrong)
    }
    var testDescription: String { schema }
}

@Suite struct JSONSchemaTests {
    private static func filter(_ schema: String) throws -> Filter {
        try json("{'$jsonSchema': \(schema)}").withView { try Filter($0, context: QueryContext()) }
    }

    @Test(
        "documents satisfy a schema or do not",
        arguments: [
            SchemaCase("{}", right: ["{}", "{'a': 1}"]),
            SchemaCase("{'bsonType': 'object'}", right: ["{}"]),
            SchemaCase("{'type': 'string'}", wrong: ["{}"]),
            SchemaCase(
                "{'properties': {'a': {'bsonType': 'int'}}}",
                right: ["{}", "{'a': 1}", "{'b': 'x'}"],
                wrong: ["{'a': 'x'}", "{'a': 1.5}", "{'a': [1]}", "{'a': null}"]),
            SchemaCase(
                "{'properties': {'a': {'type': ['number', 'null']}}}",
                right: ["{'a': 1}", "{'a': {'$numberDecimal': '1'}}", "{'a': null}"], wrong: ["{'a': true}"]),
            SchemaCase(
                "{'properties': {'a': {'bsonType': ['number', 'bool']}}}", right: ["{'a': 1.5}", "{'a': false}"],
                wrong: ["{'a': null}"]),
            SchemaCase(
                "{'properties': {'a': {'minimum': 1, 'maximum': 3, 'exclusiveMaximum': true}}}",
                right: ["{'a': 1}", "{'a': 2.999}", "{'a': 'x'}", "{'a': {'$numberDecimal': '1.0'}}"],
                wrong: ["{'a': 0}", "{'a': 3}", "{'a': {'$numberDouble': 'NaN'}}"]),
            SchemaCase(
                "{'properties': {'a': {'multipleOf': 0.1}}}", right: ["{'a': 0.3}", "{'a': 2}", "{'a': 'x'}"],
                wrong: ["{'a': 0.35}", "{'a': {'$numberDouble': 'Infinity'}}"]),
            SchemaCase(
                "{'properties': {'a': {'minLength': 2, 'maxLength': 3}}}",
                right: ["{'a': 'äö'}", "{'a': 'xyz'}", "{'a': 1}"], wrong: ["{'a': 'ä'}", "{'a': 'wxyz'}"]),
            SchemaCase(
                "{'properties': {'a': {'pattern': '^a+$'}}}", right: ["{'a': 'aaa'}", "{'a': 5}"],
                wrong: ["{'a': 'b'}"]),
            SchemaCase(
                "{'properties': {'a': {'enum': [1, {'x': 1, 'y': 2}, null]}}}",
                right: ["{'a': 1.0}", "{'a': {'y': 2, 'x': 1}}", "{'a': null}", "{}"],
                wrong: ["{'a': 2}", "{'a': {'x': 1}}"]),
            SchemaCase("{'enum': [{'a': 1}]}", right: ["{'a': 1}"], wrong: ["{'a': 2}"]),
            SchemaCase(
                "{'required': ['a', 'b']}", right: ["{'b': 1, 'a': null}"], wrong: ["{'a': 1}"]),
            SchemaCase(
                "{'minProperties': 1, 'maxProperties': 2}", right: ["{'a': 1}"],
                wrong: ["{}", "{'a': 1, 'b': 2, 'c': 3}"]),
            SchemaCase(
                "{'properties': {'a': {}}, 'patternProperties': {'^x': {'type': 'number'}}, "
                    + "'additionalProperties': false}",
                right: ["{'a': 'y', 'x1': 5}"], wrong: ["{'b': 1}", "{'x1': 'y'}"]),
            SchemaCase(
                "{'properties': {'a': {}}, 'additionalProperties': {'type': 'string'}}",
                right: ["{'a': 1, 'b': 'y'}"], wrong: ["{'b': 1}"]),
            SchemaCase(
                "{'dependencies': {'a': ['b', 'c'], 'd': {'required': ['e']}}}",
                right: ["{}", "{'a': 1, 'b': 1, 'c': 1}", "{'d': 1, 'e': 1}"], wrong: ["{'a': 1, 'b': 1}", "{'d': 1}"]),
            SchemaCase(
                "{'properties': {'a': {'items': {'type': 'number'}, 'minItems': 1, 'maxItems': 2}}}",
                right: ["{'a': [1]}", "{'a': 5}"], wrong: ["{'a': []}", "{'a': [1, 2, 3]}", "{'a': ['x']}"]),
            SchemaCase(
                "{'properties': {'a': {'items': [{'type': 'number'}, {'type': 'string'}], 'additionalItems': false}}}",
                right: ["{'a': [1, 'x']}", "{'a': [1]}", "{'a': []}"], wrong: ["{'a': [1, 2]}", "{'a': [1, 'x', 1]}"]),
            SchemaCase(
                "{'properties': {'a': {'items': [{}], 'additionalItems': {'type': 'string'}}}}",
                right: ["{'a': [1, 'x']}"], wrong: ["{'a': [1, 2]}"]),
            SchemaCase(
                "{'properties': {'a': {'uniqueItems': true}}}",
                right: ["{'a': [1, '1', [1]]}", "{'a': 1}"],
                wrong: ["{'a': [1, 2, 1.0]}", "{'a': [{'x': 1, 'y': 1}, {'y': 1, 'x': 1}]}"]),
            SchemaCase(
                "{'anyOf': [{'required': ['a']}, {'required': ['b']}]}", right: ["{'a': 1, 'b': 1}"], wrong: ["{}"]),
            SchemaCase(
                "{'oneOf': [{'required': ['a']}, {'required': ['b']}]}", right: ["{'a': 1}"],
                wrong: ["{}", "{'a': 1, 'b': 1}"]),
            SchemaCase(
                "{'allOf': [{'required': ['a']}, {'required': ['b']}]}", right: ["{'a': 1, 'b': 1}"],
                wrong: ["{'a': 1}"]),
            SchemaCase("{'not': {'required': ['a']}}", right: ["{}"], wrong: ["{'a': 1}"]),
            SchemaCase(
                "{'properties': {'a': {'properties': {'b': {'type': 'string'}}, 'required': ['b']}}}",
                right: ["{'a': {'b': 'x'}}", "{'a': 1}", "{'a': [{'b': 1}]}"], wrong: ["{'a': {}}", "{'a': {'b': 1}}"]),
        ])
    private func matching(_ row: SchemaCase) throws {
        let filter = try Self.filter(row.schema)
        for document in row.right { #expect(try json(document).withView { try filter.matches($0) }, "\(document)") }
        for document in row.wrong { #expect(try !json(document).withView { try filter.matches($0) }, "\(document)") }
    }

    @Test(
        "a schema stands wherever a filter does",
        arguments: [
            ("{'$nor': [{'$jsonSchema': {'required': ['a']}}]}", "{'b': 1}", "{'a': 1}"),
            ("{'x': {'$elemMatch': {'$jsonSchema': {'required': ['a']}}}}", "{'x': [{'a': 1}]}", "{'x': [{}]}"),
            ("{'$and': [{'$jsonSchema': {'required': ['a']}}, {'a': 1}]}", "{'a': 1}", "{'a': 2}"),
        ])
    func nesting(_ filter: String, _ right: String, _ wrong: String) throws {
        let filter = try json(filter).withView { try Filter($0, context: QueryContext()) }
        #expect(try json(right).withView { try filter.matches($0) })
        #expect(try !json(wrong).withView { try filter.matches($0) })
    }

    @Test(
        "schemas that MongoDB refuses",
        arguments: [
            ErrorCase("5", 14, "$jsonSchema must be an object"),
            ErrorCase("{'foo': 1}", 9, "Unknown $jsonSchema keyword: foo"),
            ErrorCase("{'$ref': 'x'}", 9, "$jsonSchema keyword '$ref' is not currently supported"),
            ErrorCase("{'$schema': 'x'}", 9), ErrorCase("{'default': 1}", 9), ErrorCase("{'definitions': {}}", 9),
            ErrorCase("{'format': 'x'}", 9), ErrorCase("{'id': 'x'}", 9),
            ErrorCase("{'properties': {'a': {'encrypt': {}}}}", 115),
            ErrorCase("{'type': 'integer'}", 9, "$jsonSchema type 'integer' is not currently supported."),
            ErrorCase("{'type': 'int'}", 2), ErrorCase("{'bsonType': 'boolean'}", 2),
            ErrorCase("{'bsonType': 'x'}", 2, "Unknown type name alias: x"),
            ErrorCase("{'type': 5}", 14), ErrorCase("{'type': []}", 9), ErrorCase("{'type': ['null', 'null']}", 9),
            ErrorCase("{'type': 'object', 'bsonType': 'object'}", 9),
            ErrorCase("{'title': 1}", 14), ErrorCase("{'description': 1}", 14),
            ErrorCase("{'minimum': 'x'}", 14), ErrorCase("{'exclusiveMinimum': true}", 9),
            ErrorCase("{'minimum': 1, 'exclusiveMinimum': 1}", 14),
            ErrorCase("{'minLength': -1}", 9), ErrorCase("{'minLength': 1.5}", 9), ErrorCase("{'maxLength': 'x'}", 9),
            ErrorCase("{'pattern': 1}", 14), ErrorCase("{'pattern': '('}", 51091),
            ErrorCase("{'multipleOf': 0}", 9), ErrorCase("{'multipleOf': 'x'}", 14),
            ErrorCase("{'multipleOf': {'$numberDouble': 'NaN'}}", 9),
            ErrorCase("{'required': []}", 9), ErrorCase("{'required': ['a', 'a']}", 9),
            ErrorCase("{'required': 'a'}", 14), ErrorCase("{'required': [1]}", 14),
            ErrorCase("{'properties': 1}", 14), ErrorCase("{'properties': {'a': 1}}", 14),
            ErrorCase("{'patternProperties': {'(': {}}}", 51091), ErrorCase("{'patternProperties': {'a': 1}}", 14),
            ErrorCase("{'additionalProperties': 1}", 14),
            ErrorCase("{'dependencies': {'a': 1}}", 14), ErrorCase("{'dependencies': {'a': []}}", 9),
            ErrorCase("{'items': 1}", 14), ErrorCase("{'items': [1]}", 14), ErrorCase("{'additionalItems': 1}", 14),
            ErrorCase("{'uniqueItems': 1}", 14), ErrorCase("{'minItems': -1}", 9),
            ErrorCase("{'allOf': []}", 2), ErrorCase("{'anyOf': 1}", 14), ErrorCase("{'oneOf': [1]}", 14),
            ErrorCase("{'not': 1}", 14), ErrorCase("{'enum': []}", 9), ErrorCase("{'enum': [1, 1.0]}", 9),
            ErrorCase("{'enum': 1}", 14),
        ])
    func refused(_ row: ErrorCase) throws { try row.check { _ = try Self.filter(row.source) } }

    @Test("a schema nests as deep as a filter may, and no deeper")
    func depth() throws {
        func nested(_ depth: Int) -> Document {
            var schema: Document = ["required": ["a"]]
            for _ in 0..<depth { schema = ["not": .document(schema)] }
            return ["$jsonSchema": .document(schema)]
        }
        _ = try nested(Limits.filterDepthMax - 1).withView { try Filter($0, context: QueryContext()) }
        let error = ServerError.caught {
            _ = try nested(Limits.filterDepthMax).withView { try Filter($0, context: QueryContext()) }
        }
        #expect(error?.code == .badValue)
    }

    @Test("a partial index has no schema in its filter")
    func partialIndex() throws {
        let filter = try Self.filter("{'required': ['a']}")
        #expect(ServerError.caught { try PartialIndex.check(filter.tree) }?.code == .cannotCreateIndex)
    }

    @Test("uniqueness of many items takes no square of their number")
    func manyItems() throws {
        let items = (0..<50_000).map { Value.document(["i": .int32(Int32($0)), "j": 1]) }
        let filter = try Self.filter("{'properties': {'a': {'uniqueItems': true}}}")
        #expect(try (["a": .array(items)] as Document).withView { try filter.matches($0) })
        #expect(try !(["a": .array(items + [["j": 1, "i": 7]])] as Document).withView { try filter.matches($0) })
    }
}
