import BSON
import Core

/// `allOf`, `anyOf`, `oneOf`.
struct SchemaCombinationRule: SchemaRule {
    enum Kind: String { case allOf, anyOf, oneOf }
    let kind: Kind
    let schemas: [JSONSchema]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        var matched = 0
        for schema in schemas {
            if try schema.matches(value) { matched += 1 } else if kind == .allOf { return false }
            if kind == .anyOf, matched > 0 { return true }
            if kind == .oneOf, matched > 1 { return false }
        }
        return kind == .allOf || (kind == .oneOf && matched == 1)
    }
    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var (matching, faults): ([Value], [Document]) = ([], [])
        for (index, schema) in schemas.enumerated() {
            let number = Value(integerLiteral: Int64(index))
            if try schema.matches(value) {
                matching.append(number)
            } else {
                faults.append(try schema.entry(["index": number], value))
            }
        }
        if kind == .oneOf, matching.count > 1 {
            return [
                "operatorName": "oneOf", "reason": "more than one subschema matched",
                "matchingSchemaIndexes": .array(matching),
            ]
        }
        return ["operatorName": .string(kind.rawValue), "schemasNotSatisfied": .documents(faults)]
    }
}

/// `not`.
struct SchemaNotRule: SchemaRule {
    let schema: JSONSchema

    func holds(_ value: ValueView) throws(ServerError) -> Bool { try !schema.matches(value) }
    func explain(_ value: ValueView) -> Document { ["operatorName": "not", "reason": "child expression matched"] }
}
