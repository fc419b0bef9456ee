import BSON
import Core
import Testing

@testable import Query

/// One row of a table: a validator, a document that it refuses, and `errInfo.details`.
private struct DetailsCase: CustomTestStringConvertible, Sendable {
    let validator: String
    let document: String
    let details: String

    init(_ validator: String, _ document: String, _ details: String) {
        (self.validator, self.document, self.details) = (validator, document, details)
    }
    var testDescription: String { "\(validator) refuses \(document)" }
}

@Suite struct ValidationDetailsTests {
    private func check(_ row: DetailsCase) throws {
        let validator = try json(row.validator)
        let document = try json(row.document)
        let filter = try validator.withView { try Filter($0, context: QueryContext()) }
        try #require(try !document.withView { try filter.matches($0) }, "the document matches")
        let details = try document.withView {
            try ValidationDetails.explain(validator, $0, context: QueryContext())
        }
        #expect(details == (try json(row.details)), "\(details)")
    }

    @Test(
        "operators on fields say what was considered and why it did not do",
        arguments: [
            DetailsCase(
                "{'a': {'$gt': 0}}", "{'a': 0}",
                "{'operatorName': '$gt', 'specifiedAs': {'a': {'$gt': 0}}, 'reason': 'comparison failed', "
                    + "'consideredValue': 0}"),
            DetailsCase(
                "{'a': 5}", "{'a': 'x'}",
                "{'operatorName': '$eq', 'specifiedAs': {'a': 5}, 'reason': 'comparison failed', "
                    + "'consideredValue': 'x'}"),
            DetailsCase(
                "{'a.b': {'$lt': 2}}", "{'a': [{'b': 3}, {'b': [4, 5]}]}",
                "{'operatorName': '$lt', 'specifiedAs': {'a.b': {'$lt': 2}}, 'reason': 'comparison failed', "
                    + "'consideredValues': [3, 4, 5, [4, 5]]}"),
            DetailsCase(
                "{'a': {'$gte': 1}}", "{}",
                "{'operatorName': '$gte', 'specifiedAs': {'a': {'$gte': 1}}, 'reason': 'field was missing'}"),
            DetailsCase(
                "{'a': {'$ne': 1}}", "{'a': 1}",
                "{'operatorName': '$ne', 'specifiedAs': {'a': {'$ne': 1}}, 'reason': 'comparison succeeded', "
                    + "'consideredValue': 1}"),
            DetailsCase(
                "{'a': {'$in': [1, 2]}}", "{'a': 3}",
                "{'operatorName': '$in', 'specifiedAs': {'a': {'$in': [1, 2]}}, 'reason': "
                    + "'no matching value found in array', 'consideredValue': 3}"),
            DetailsCase(
                "{'a': {'$nin': [1, 2]}}", "{'a': 2}",
                "{'operatorName': '$nin', 'specifiedAs': {'a': {'$nin': [1, 2]}}, 'reason': "
                    + "'matching value found in array', 'consideredValue': 2}"),
            DetailsCase(
                "{'a': {'$exists': true}}", "{}",
                "{'operatorName': '$exists', 'specifiedAs': {'a': {'$exists': true}}, 'reason': "
                    + "'path does not exist'}"),
            DetailsCase(
                "{'a': {'$exists': false}}", "{'a': 1}",
                "{'operatorName': '$exists', 'specifiedAs': {'a': {'$exists': false}}, 'reason': "
                    + "'path does exist'}"),
            DetailsCase(
                "{'a': {'$type': 'string'}}", "{'a': 1}",
                "{'operatorName': '$type', 'specifiedAs': {'a': {'$type': 'string'}}, 'reason': "
                    + "'type did not match', 'consideredValue': 1, 'consideredType': 'int'}"),
            DetailsCase(
                "{'a': {'$regex': '^x', '$options': 'i'}}", "{'a': 'y'}",
                "{'operatorName': '$regex', 'specifiedAs': {'a': {'$regex': '^x', '$options': 'i'}}, 'reason': "
                    + "'regular expression did not match', 'consideredValue': 'y'}"),
            DetailsCase(
                "{'a': {'$regex': '^x'}}", "{'a': 5}",
                "{'operatorName': '$regex', 'specifiedAs': {'a': {'$regex': '^x'}}, 'reason': 'type did not match', "
                    + "'consideredValue': 5, 'consideredType': 'int', 'expectedTypes': ['regex', 'string', "
                    + "'symbol']}"),
            DetailsCase(
                "{'a': {'$mod': [2, 0]}}", "{'a': 3}",
                "{'operatorName': '$mod', 'specifiedAs': {'a': {'$mod': [2, 0]}}, 'reason': "
                    + "'$mod did not evaluate to expected remainder', 'consideredValue': 3}"),
            DetailsCase(
                "{'a': {'$size': 2}}", "{'a': [1]}",
                "{'operatorName': '$size', 'specifiedAs': {'a': {'$size': 2}}, 'reason': "
                    + "'array length was not equal to given size', 'consideredValue': [1]}"),
            DetailsCase(
                "{'a': {'$size': 2}}", "{'a': 1}",
                "{'operatorName': '$size', 'specifiedAs': {'a': {'$size': 2}}, 'reason': 'type did not match', "
                    + "'consideredValue': 1, 'consideredType': 'int', 'expectedType': 'array'}"),
            DetailsCase(
                "{'a': {'$all': [1, 2]}}", "{'a': [1]}",
                "{'operatorName': '$all', 'specifiedAs': {'a': {'$all': [1, 2]}}, 'reason': "
                    + "'array did not contain all specified values', 'consideredValue': [1]}"),
            DetailsCase(
                "{'a': {'$elemMatch': {'$gt': 5}}}", "{'a': [1]}",
                "{'operatorName': '$elemMatch', 'specifiedAs': {'a': {'$elemMatch': {'$gt': 5}}}, 'reason': "
                    + "'array did not satisfy the child predicate', 'consideredValue': [1]}"),
            DetailsCase(
                "{'a': {'$bitsAllSet': 2}}", "{'a': 1}",
                "{'operatorName': '$bitsAllSet', 'specifiedAs': {'a': {'$bitsAllSet': 2}}, 'reason': "
                    + "'bitwise operator failed to match', 'consideredValue': 1}"),
        ])
    private func fields(_ row: DetailsCase) throws { try check(row) }

    @Test(
        "logical operators list the clauses that they are about",
        arguments: [
            DetailsCase(
                "{'a': {'$gt': 0}, 'b': {'$exists': true}}", "{'a': 5}",
                "{'operatorName': '$and', 'clausesNotSatisfied': [{'index': 1, 'details': {'operatorName': "
                    + "'$exists', 'specifiedAs': {'b': {'$exists': true}}, 'reason': 'path does not exist'}}]}"),
            DetailsCase(
                "{'a': {'$gt': 0, '$lt': 3}}", "{'a': 5}",
                "{'operatorName': '$and', 'clausesNotSatisfied': [{'index': 1, 'details': {'operatorName': "
                    + "'$lt', 'specifiedAs': {'a': {'$lt': 3}}, 'reason': 'comparison failed', "
                    + "'consideredValue': 5}}]}"),
            DetailsCase(
                "{'$or': [{'a': 1}, {'a': 2}]}", "{'a': 3}",
                "{'operatorName': '$or', 'clausesNotSatisfied': [{'index': 0, 'details': {'operatorName': '$eq', "
                    + "'specifiedAs': {'a': 1}, 'reason': 'comparison failed', 'consideredValue': 3}}, {'index': 1, "
                    + "'details': {'operatorName': '$eq', 'specifiedAs': {'a': 2}, 'reason': 'comparison failed', "
                    + "'consideredValue': 3}}]}"),
            DetailsCase(
                "{'$nor': [{'a': 1}, {'b': 2}]}", "{'a': 1}",
                "{'operatorName': '$nor', 'clausesSatisfied': [{'index': 0, 'details': {'operatorName': '$eq', "
                    + "'specifiedAs': {'a': 1}, 'reason': 'comparison succeeded', 'consideredValue': 1}}]}"),
            DetailsCase(
                "{'a': {'$not': {'$lt': 3}}}", "{'a': 2}",
                "{'operatorName': '$not', 'details': {'operatorName': '$lt', 'specifiedAs': {'a': {'$lt': 3}}, "
                    + "'reason': 'comparison succeeded', 'consideredValue': 2}}"),
            DetailsCase(
                "{'$expr': {'$lt': ['$a', '$b']}}", "{'a': 2, 'b': 1}",
                "{'operatorName': '$expr', 'specifiedAs': {'$expr': {'$lt': ['$a', '$b']}}, 'reason': "
                    + "'expression did not match', 'expressionResult': false}"),
        ])
    private func logic(_ row: DetailsCase) throws { try check(row) }

    @Test(
        "a schema names its rules",
        arguments: [
            DetailsCase(
                "{'$jsonSchema': {'title': 'T', 'description': 'D', 'required': ['a', 'b'], 'additionalProperties': "
                    + "false, 'properties': {'a': {'bsonType': 'int', 'minimum': 3, 'description': 'three'}}}}",
                "{'a': 'x', 'c': 1}",
                "{'operatorName': '$jsonSchema', 'title': 'T', 'description': 'D', 'schemaRulesNotSatisfied': ["
                    + "{'operatorName': 'properties', 'propertiesNotSatisfied': [{'propertyName': 'a', 'description': "
                    + "'three', 'details': [{'operatorName': 'bsonType', 'specifiedAs': {'bsonType': 'int'}, "
                    + "'reason': 'type did not match', 'consideredValue': 'x', 'consideredType': 'string'}]}]}, "
                    + "{'operatorName': 'additionalProperties', 'specifiedAs': {'additionalProperties': false}, "
                    + "'additionalProperties': ['c']}, {'operatorName': 'required', 'specifiedAs': {'required': ['a', "
                    + "'b']}, 'missingProperties': ['b']}]}"),
            DetailsCase(
                "{'$jsonSchema': {'properties': {'a': {'minimum': 3, 'exclusiveMinimum': true}}}}", "{'a': 3}",
                "{'operatorName': '$jsonSchema', 'schemaRulesNotSatisfied': [{'operatorName': 'properties', "
                    + "'propertiesNotSatisfied': [{'propertyName': 'a', 'details': [{'operatorName': 'minimum', "
                    + "'specifiedAs': {'minimum': 3, 'exclusiveMinimum': true}, 'reason': 'comparison failed', "
                    + "'consideredValue': 3}]}]}]}"),
            DetailsCase(
                "{'$jsonSchema': {'properties': {'a': {'items': {'type': 'string'}, 'uniqueItems': true}}}}",
                "{'a': ['x', 1, 'x']}",
                "{'operatorName': '$jsonSchema', 'schemaRulesNotSatisfied': [{'operatorName': 'properties', "
                    + "'propertiesNotSatisfied': [{'propertyName': 'a', 'details': [{'operatorName': 'uniqueItems', "
                    + "'specifiedAs': {'uniqueItems': true}, 'reason': 'found a duplicate item', 'consideredValue': "
                    + "['x', 1, 'x'], 'duplicatedValue': 'x'}, {'operatorName': 'items', 'reason': "
                    + "'At least one item did not match the sub-schema', 'itemIndex': 1, 'details': [{'operatorName': "
                    + "'type', 'specifiedAs': {'type': 'string'}, 'reason': 'type did not match', "
                    + "'consideredValue': 1, 'consideredType': 'int'}]}]}]}]}"),
            DetailsCase(
                "{'$jsonSchema': {'oneOf': [{'required': ['a']}, {'required': ['b']}], 'dependencies': {'a': ['c']}}}",
                "{'a': 1, 'b': 1}",
                "{'operatorName': '$jsonSchema', 'schemaRulesNotSatisfied': [{'operatorName': 'dependencies', "
                    + "'failingDependencies': [{'conditionalProperty': 'a', 'missingProperties': ['c']}]}, "
                    + "{'operatorName': 'oneOf', 'reason': 'more than one subschema matched', "
                    + "'matchingSchemaIndexes': [0, 1]}]}"),
            DetailsCase(
                "{'$jsonSchema': {'anyOf': [{'required': ['a']}, {'minProperties': 2}], 'not': {'required': ['b']}}}",
                "{'b': 1}",
                "{'operatorName': '$jsonSchema', 'schemaRulesNotSatisfied': [{'operatorName': 'anyOf', "
                    + "'schemasNotSatisfied': [{'index': 0, 'details': [{'operatorName': 'required', 'specifiedAs': "
                    + "{'required': ['a']}, 'missingProperties': ['a']}]}, {'index': 1, 'details': [{'operatorName': "
                    + "'minProperties', 'specifiedAs': {'minProperties': 2}, 'reason': "
                    + "'specified number of properties was not satisfied', 'numberOfProperties': 1}]}]}, "
                    + "{'operatorName': 'not', 'reason': 'child expression matched'}]}"),
            DetailsCase(
                "{'$jsonSchema': {'patternProperties': {'^x': {'enum': [1]}}, 'additionalProperties': {'pattern': "
                    + "'^z'}}}", "{'x1': 2, 'y': 'a'}",
                "{'operatorName': '$jsonSchema', 'schemaRulesNotSatisfied': [{'operatorName': 'patternProperties', "
                    + "'details': [{'propertyName': 'x1', 'regexMatched': '^x', 'details': [{'operatorName': 'enum', "
                    + "'specifiedAs': {'enum': [1]}, 'reason': 'value was not found in enum', 'consideredValue': "
                    + "2}]}]}, {'operatorName': 'additionalProperties', 'reason': "
                    + "'at least one additional property did not match the subschema', 'failingProperty': 'y', "
                    + "'details': [{'operatorName': 'pattern', 'specifiedAs': {'pattern': '^z'}, 'reason': "
                    + "'regular expression did not match', 'consideredValue': 'a'}]}]}"),
        ])
    private func schemas(_ row: DetailsCase) throws { try check(row) }

    @Test("no more than ten values are listed")
    func manyValues() throws {
        let document: Document = ["a": .array((0..<100).map { .int32(Int32($0)) })]
        let details = try document.withView {
            try ValidationDetails.explain(["a": "x"], $0, context: QueryContext())
        }
        #expect(details["consideredValues"]?.asArray?.count == 10)
        #expect(details["consideredValuesTruncated"] == true)
    }
}
