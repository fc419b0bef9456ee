import BSON
import Core

extension JSONSchemaParser {
    func scalarRules() throws(ServerError) -> [any SchemaRule] {
        var rules: [any SchemaRule] = []
        try rules.append(contentsOf: bound("maximum", flag: "exclusiveMaximum", .lessOrEqual, .less))
        try rules.append(contentsOf: bound("minimum", flag: "exclusiveMinimum", .greaterOrEqual, .greater))
        for keyword in ["maxLength", "minLength"] {
            guard let count = try count(keyword) else { continue }
            rules.append(SchemaLengthRule(keyword: keyword, allowed: range(keyword, count), source: source(keyword)))
        }
        if let value = schema["pattern"] {
            guard let pattern = value.asString else { throw wrongType("pattern", "a string") }
            rules.append(SchemaPatternRule(expression: try expression(pattern)))
        }
        if let value = try number("multipleOf"), let divisor = Number(Value(value))?.decimalValue {
            guard divisor.isFinite else { throw wrongValue("multipleOf", "must be a finite number") }
            guard !divisor.isNegative, !divisor.isZero else {
                throw wrongValue("multipleOf", "must have a positive value")
            }
            rules.append(SchemaMultipleRule(divisor: divisor, source: Value(value)))
        }
        return rules
    }

    private func source(_ keyword: String) -> Value { schema[keyword].map { Value($0) } ?? .null }

    private func range(_ keyword: String, _ count: Int64) -> ClosedRange<Int64> {
        keyword.utf8.starts(with: "max".utf8) ? 0...count : count...Int64.max
    }

    private func expression(_ pattern: String) throws(ServerError) -> RegularExpression {
        guard !pattern.utf8.contains(0) else {
            throw ServerError(ErrorCode(rawValue: 51109), "Regular expression cannot contain an embedded null byte")
        }
        return try RegularExpression(pattern: pattern, options: "")
    }

    private func bound(
        _ keyword: String, flag: String, _ inclusive: ComparisonOperator, _ exclusive: ComparisonOperator
    ) throws(ServerError) -> [any SchemaRule] {
        let isExclusive = try bool(flag)
        guard let value = try number(keyword) else {
            guard isExclusive == nil else {
                throw wrongValue(keyword, "must be a present if \(flag) is present")
            }
            return []
        }
        var source: Document = [keyword: Value(value)]
        if let isExclusive { source.append(flag, .bool(isExclusive)) }
        let comparison = Comparison(isExclusive == true ? exclusive : inclusive, value)
        return [SchemaBoundRule(keyword: keyword, comparison: comparison, source: source)]
    }

    // MARK: Arrays

    func arrayRules() throws(ServerError) -> [any SchemaRule] {
        var rules: [any SchemaRule] = []
        for keyword in ["minItems", "maxItems"] {
            guard let count = try count(keyword) else { continue }
            rules.append(SchemaItemCountRule(keyword: keyword, allowed: range(keyword, count), source: source(keyword)))
        }
        if try bool("uniqueItems") == true { rules.append(SchemaUniqueItemsRule()) }
        var places: Int?
        if let items = schema["items"] {
            if let list = items.asArray {
                var schemas: [JSONSchema] = []
                for element in list {
                    schemas.append(try nested(element.value, "$jsonSchema keyword 'items' requires that each element"))
                }
                rules.append(SchemaItemListRule(schemas: schemas))
                places = schemas.count
            } else if items.asDocument != nil {
                let schema = try nested(items, "$jsonSchema keyword 'items'")
                rules.append(SchemaEachItemRule(keyword: "items", schema: schema, start: 0))
            } else {
                throw wrongType("items", "an array or an object, not \(items.type.operatorName)")
            }
        }
        guard let more = schema["additionalItems"] else { return rules }
        guard more.asBool != nil || more.asDocument != nil else {
            throw wrongType("additionalItems", "either an object or a boolean, but got \(more.type.operatorName)")
        }
        // Checked even where it says nothing, because `items` is no list.
        let schema = try more.asBool == nil ? nested(more, "$jsonSchema keyword 'additionalItems'") : nil
        guard let places else { return rules }
        if let schema {
            rules.append(SchemaEachItemRule(keyword: "additionalItems", schema: schema, start: places))
        } else if more.asBool == false {
            rules.append(SchemaNoMoreItemsRule(count: places))
        }
        return rules
    }

    // MARK: Objects

    func objectRules() throws(ServerError) -> [any SchemaRule] {
        var rules: [any SchemaRule] = []
        var properties: [(name: String, schema: JSONSchema)] = []
        if let document = try document("properties") {
            for element in document {
                let name = element.key.string
                properties.append(
                    (name, try nested(element.value, "Nested schema for $jsonSchema property '\(name)'")))
            }
            rules.append(SchemaPropertiesRule(properties: properties))
        }
        var patterns: [(expression: RegularExpression, schema: JSONSchema)] = []
        if let document = try document("patternProperties") {
            for element in document {
                let schema = try nested(
                    element.value, "$jsonSchema keyword 'patternProperties' has a nested schema that")
                patterns.append((try expression(element.key.string), schema))
            }
            rules.append(SchemaPatternPropertiesRule(patterns: patterns))
        }
        if let more = schema["additionalProperties"] {
            guard more.asBool != nil || more.asDocument != nil else {
                throw wrongType("additionalProperties", "an object or a boolean")
            }
            let schema = try more.asBool == nil ? nested(more, "$jsonSchema keyword 'additionalProperties'") : nil
            if more.asBool != true {
                rules.append(
                    SchemaAdditionalPropertiesRule(
                        schema: schema, names: Set(properties.map { $0.name }),
                        patterns: patterns.map { $0.expression }))
            }
        }
        if let list = try array("required") { rules.append(SchemaRequiredRule(names: try names("required", list))) }
        for keyword in ["minProperties", "maxProperties"] {
            guard let count = try count(keyword) else { continue }
            rules.append(
                SchemaPropertyCountRule(keyword: keyword, allowed: range(keyword, count), source: source(keyword)))
        }
        if let document = try document("dependencies") { rules.append(try dependencies(document)) }
        return rules
    }

    private func dependencies(_ document: DocumentView) throws(ServerError) -> SchemaDependenciesRule {
        var found: [(name: String, need: SchemaDependenciesRule.Need)] = []
        for element in document {
            let name = element.key.string
            if let list = element.value.asArray {
                found.append((name, .properties(try names("dependencies", list))))
            } else if element.value.asDocument != nil {
                found.append((name, .schema(try nested(element.value, "a schema of 'dependencies'"))))
            } else {
                throw ServerError(
                    .typeMismatch,
                    "$jsonSchema keyword 'dependencies' needs an object or an array for '\(name)', but got "
                        + element.value.type.operatorName)
            }
        }
        return SchemaDependenciesRule(dependencies: found)
    }

    // MARK: Logic

    func logicRules() throws(ServerError) -> [any SchemaRule] {
        var rules: [any SchemaRule] = []
        for kind in [SchemaCombinationRule.Kind.allOf, .anyOf, .oneOf] {
            guard let list = try array(kind.rawValue) else { continue }
            guard !list.isEmpty else {
                throw ServerError(.badValue, "$jsonSchema keyword '\(kind.rawValue)' must be a non-empty array")
            }
            var schemas: [JSONSchema] = []
            for element in list {
                schemas.append(
                    try nested(
                        element.value, "$jsonSchema keyword '\(kind.rawValue)' must be an array of objects; each"))
            }
            rules.append(SchemaCombinationRule(kind: kind, schemas: schemas))
        }
        if let value = schema["not"] {
            rules.append(SchemaNotRule(schema: try nested(value, "$jsonSchema keyword 'not'")))
        }
        if let list = try array("enum") {
            guard !list.isEmpty else { throw wrongValue("enum", "cannot be an empty array") }
            var match = MatchDetails()
            guard try DuplicateSearch.duplicate(in: list, &match) == nil else {
                throw wrongValue("enum", "array cannot contain duplicate values.")
            }
            rules.append(SchemaEnumRule(list))
        }
        return rules
    }
}
