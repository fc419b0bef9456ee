import BSON
import Core

/// `allOf`, `anyOf`, `oneOf`.
struct SchemaCombinationRule: SchemaRule {
    enum Kind: String { case allOf, anyOf, oneOf }
    let kind: Kind
    let schemas: [JSONSchema]

    var weight: MatchWeight { schemas.weight }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        var matched = match.kept(Int.self) ?? 0
        do throws(ServerError) {
            let decisive = try match.first(of: schemas.count) { (index, match) throws(ServerError) in
                if try schemas[index].matches(value, &match) { matched += 1 } else if kind == .allOf { return true }
                return (kind == .anyOf && matched > 0) || (kind == .oneOf && matched > 1)
            }
            switch kind {
            case .allOf: return decisive == nil
            case .anyOf: return decisive != nil
            case .oneOf: return decisive == nil && matched == 1
            }
        } catch {
            match.keep(matched, error)
            throw error
        }
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var (matching, faults): ([Value], [Document]) = ([], [])
        for (index, schema) in schemas.enumerated() {
            let number = Value(integerLiteral: Int64(index))
            if try schema.matches(value, &match) {
                matching.append(number)
            } else {
                faults.append(try schema.entry(["index": number], value, &match))
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

    var weight: MatchWeight { schema.weight }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        try !schema.matches(value, &match)
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        ["operatorName": "not", "reason": "child expression matched"]
    }
}
