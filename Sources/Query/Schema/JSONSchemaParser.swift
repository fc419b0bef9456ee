import BSON
import Core

/// Compiles schemas, with MongoDB's keywords (draft 4 and `bsonType`) and messages. Views that rules keep point into
/// bytes that the caller keeps.
struct JSONSchemaParser {
    private static let keywords: Set<String> = [
        "additionalItems", "additionalProperties", "allOf", "anyOf", "bsonType", "dependencies", "description", "enum",
        "exclusiveMaximum", "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum",
        "minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "oneOf", "pattern",
        "patternProperties", "properties", "required", "title", "type", "uniqueItems",
    ]
    /// Of draft 4, and not of MongoDB.
    private static let unsupported: Set<String> = ["$ref", "$schema", "default", "definitions", "format", "id"]
    private static let encryption: Set<String> = ["encrypt", "encryptMetadata", "keyAltName"]

    let schema: DocumentView
    let depth: Int

    static func parse(_ schema: DocumentView, depth: Int = 0) throws(ServerError) -> JSONSchema {
        guard depth < Limits.filterDepthMax else {
            throw ServerError(.badValue, "exceeded maximum depth of $jsonSchema of \(Limits.filterDepthMax)")
        }
        let parser = JSONSchemaParser(schema: schema, depth: depth)
        try parser.checkKeywords()
        // In this order errInfo names what is not satisfied.
        let rules =
            try parser.scalarRules() + parser.arrayRules() + parser.objectRules() + parser.logicRules()
            + parser.typeRules()
        return JSONSchema(
            title: try parser.string("title"), description: try parser.string("description"), rules: rules)
    }

    private func checkKeywords() throws(ServerError) {
        var seen: Set<String> = []
        for element in schema {
            let name = element.key.string
            if JSONSchemaParser.unsupported.contains(name) {
                throw ServerError(.failedToParse, "$jsonSchema keyword '\(name)' is not currently supported")
            }
            if JSONSchemaParser.encryption.contains(name) {
                throw ServerError(.commandNotSupported, "$jsonSchema keyword '\(name)' is not supported")
            }
            guard JSONSchemaParser.keywords.contains(name) else {
                throw ServerError(.failedToParse, "Unknown $jsonSchema keyword: \(name)")
            }
            guard seen.insert(name).inserted else {
                throw ServerError(.failedToParse, "Duplicate $jsonSchema keyword: \(name)")
            }
        }
    }

    // MARK: Arguments

    func wrongType(_ keyword: String, _ wanted: String) -> ServerError {
        ServerError(.typeMismatch, "$jsonSchema keyword '\(keyword)' must be \(wanted)")
    }
    func wrongValue(_ keyword: String, _ problem: String) -> ServerError {
        ServerError(.failedToParse, "$jsonSchema keyword '\(keyword)' \(problem)")
    }

    func string(_ keyword: String) throws(ServerError) -> String? {
        guard let value = schema[keyword] else { return nil }
        guard let text = value.asString else { throw wrongType(keyword, "of type string") }
        return text
    }

    func bool(_ keyword: String) throws(ServerError) -> Bool? {
        guard let value = schema[keyword] else { return nil }
        guard let flag = value.asBool else { throw wrongType(keyword, "a boolean") }
        return flag
    }

    func number(_ keyword: String) throws(ServerError) -> ValueView? {
        guard let value = schema[keyword] else { return nil }
        guard value.type.isNumber else { throw wrongType(keyword, "a number") }
        return value
    }

    /// A count that may not be negative.
    func count(_ keyword: String) throws(ServerError) -> Int64? {
        guard let value = schema[keyword] else { return nil }
        let text = "\(keyword): \(ValueText.text(value))"
        guard value.type.isNumber else { throw ServerError(.failedToParse, "Expected a number in: \(text)") }
        guard let count = value.asInteger else { throw ServerError(.failedToParse, "Expected an integer: \(text)") }
        guard count >= 0 else {
            throw ServerError(.failedToParse, "Expected a non-negative number in: \(text)")
        }
        return count
    }

    func array(_ keyword: String) throws(ServerError) -> DocumentView? {
        guard let value = schema[keyword] else { return nil }
        guard let array = value.asArray else { throw wrongType(keyword, "an array") }
        return array
    }

    func document(_ keyword: String) throws(ServerError) -> DocumentView? {
        guard let value = schema[keyword] else { return nil }
        guard let document = value.asDocument else { throw wrongType(keyword, "an object") }
        return document
    }

    /// Different strings, at least one.
    func names(_ keyword: String, _ list: DocumentView) throws(ServerError) -> [String] {
        guard !list.isEmpty else { throw wrongValue(keyword, "cannot be an empty array") }
        var names: [String] = []
        for element in list {
            guard let name = element.value.asString else { throw wrongType(keyword, "an array of strings") }
            names.append(name)
        }
        guard Set(names).count == names.count else {
            throw wrongValue(keyword, "array cannot contain duplicate values")
        }
        return names
    }

    func nested(_ value: ValueView, _ what: String) throws(ServerError) -> JSONSchema {
        guard let document = value.asDocument else {
            throw ServerError(
                .typeMismatch,
                "\(what) must be an object, but got an element of type "
                    + value.type.operatorName)
        }
        return try JSONSchemaParser.parse(document, depth: depth + 1)
    }

    // MARK: Types

    private func typeRules() throws(ServerError) -> [any SchemaRule] {
        guard schema["type"] == nil || schema["bsonType"] == nil else {
            throw ServerError(.failedToParse, "Cannot specify both $jsonSchema keywords 'type' and 'bsonType'")
        }
        for keyword in ["type", "bsonType"] {
            guard let value = schema[keyword] else { continue }
            var types: Set<BSONType> = []
            for name in try typeNames(keyword, value) {
                types.formUnion(
                    try keyword == "type" ? JSONSchemaParser.jsonType(name) : FilterArguments.types(named: name))
            }
            return [SchemaTypeRule(keyword: keyword, types: types, source: Value(value))]
        }
        return []
    }

    private func typeNames(_ keyword: String, _ value: ValueView) throws(ServerError) -> [String] {
        if let name = value.asString { return [name] }
        guard let list = value.asArray else { throw wrongType(keyword, "either a string or an array of strings") }
        return try names(keyword, list)
    }

    private static func jsonType(_ name: String) throws(ServerError) -> Set<BSONType> {
        switch name {
        case "object": return [.document]
        case "array": return [.array]
        case "number": return [.double, .int32, .int64, .decimal128]
        case "boolean": return [.bool]
        case "string": return [.string]
        case "null": return [.null]
        case "integer": throw ServerError(.failedToParse, "$jsonSchema type 'integer' is not currently supported.")
        default: throw ServerError(.badValue, "Unknown type name alias: \(name)")
        }
    }
}
