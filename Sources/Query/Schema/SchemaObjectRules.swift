import BSON
import Core

/// `properties`.
struct SchemaPropertiesRule: SchemaRule {
    let properties: [(name: String, schema: JSONSchema)]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        for property in properties {
            if let value = document[property.name], try !property.schema.matches(value) { return false }
        }
        return true
    }
    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (name, schema) in properties {
            guard let value = value.asDocument?[name], try !schema.matches(value) else { continue }
            faults.append(try schema.entry(["propertyName": .string(name)], value))
        }
        return ["operatorName": "properties", "propertiesNotSatisfied": .documents(faults)]
    }
}

/// `patternProperties`.
struct SchemaPatternPropertiesRule: SchemaRule {
    let patterns: [(expression: RegularExpression, schema: JSONSchema)]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        for element in document {
            for (expression, schema) in patterns where try expression.matches(element.key.bytes) {
                if try !schema.matches(element.value) { return false }
            }
        }
        return true
    }
    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (expression, schema) in patterns {
            for element in value.asDocument.map(Array.init) ?? [] {
                guard try expression.matches(element.key.bytes), try !schema.matches(element.value) else { continue }
                faults.append(
                    try schema.entry(
                        [
                            "propertyName": .string(element.key.string), "regexMatched": .string(expression.pattern),
                        ], element.value))
            }
        }
        return ["operatorName": "patternProperties", "details": .documents(faults)]
    }
}

/// `additionalProperties`: a schema, or nothing at all, for the properties that neither `properties` nor
/// `patternProperties` name.
struct SchemaAdditionalPropertiesRule: SchemaRule {
    /// nil for `false`.
    let schema: JSONSchema?
    let names: Set<String>
    let patterns: [RegularExpression]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        for element in document where try isFault(element) { return false }
        return true
    }

    private func isFault(_ element: DocumentView.Element) throws(ServerError) -> Bool {
        if names.contains(element.key.string) { return false }
        for pattern in patterns where try pattern.matches(element.key.bytes) { return false }
        return try schema.map { (schema) throws(ServerError) in try !schema.matches(element.value) } ?? true
    }

    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var faults: [DocumentView.Element] = []
        for element in value.asDocument.map(Array.init) ?? [] where try isFault(element) { faults.append(element) }
        guard let schema else {
            return [
                "operatorName": "additionalProperties", "specifiedAs": ["additionalProperties": false],
                "additionalProperties": .strings(faults.map { $0.key.string }),
            ]
        }
        guard let fault = faults.first else { return Document() }
        return try schema.entry(
            [
                "operatorName": "additionalProperties",
                "reason": "at least one additional property did not match the subschema",
                "failingProperty": .string(fault.key.string),
            ], fault.value)
    }
}

/// `required`.
struct SchemaRequiredRule: SchemaRule {
    let names: [String]

    func holds(_ value: ValueView) -> Bool { missing(value).isEmpty }
    private func missing(_ value: ValueView) -> [String] {
        guard let document = value.asDocument else { return [] }
        return names.filter { document[$0] == nil }
    }
    func explain(_ value: ValueView) -> Document {
        [
            "operatorName": "required", "specifiedAs": ["required": .strings(names)],
            "missingProperties": .strings(missing(value)),
        ]
    }
}

/// `minProperties`, `maxProperties`.
struct SchemaPropertyCountRule: SchemaRule {
    let keyword: String
    let allowed: ClosedRange<Int64>
    let source: Value

    func holds(_ value: ValueView) -> Bool { value.asDocument.map { allowed.contains(Int64($0.fieldCount)) } ?? true }
    func explain(_ value: ValueView) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document([keyword: source]),
            "reason": "specified number of properties was not satisfied",
            "numberOfProperties": .init(integerLiteral: Int64(value.asDocument?.fieldCount ?? 0)),
        ]
    }
}

/// `dependencies`: what a document needs that has a property.
struct SchemaDependenciesRule: SchemaRule {
    enum Need {
        case properties([String])
        case schema(JSONSchema)
    }
    let dependencies: [(name: String, need: Need)]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        for (name, need) in dependencies where document[name] != nil {
            if try !isMet(need, document) { return false }
        }
        return true
    }

    private func isMet(_ need: Need, _ document: DocumentView) throws(ServerError) -> Bool {
        switch need {
        case .properties(let names): names.allSatisfy { document[$0] != nil }
        case .schema(let schema): try schema.matches(ValueView(document))
        }
    }

    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var faults: [Document] = []
        guard let document = value.asDocument else { return Document() }
        for (name, need) in dependencies where document[name] != nil {
            guard try !isMet(need, document) else { continue }
            switch need {
            case .properties(let names):
                faults.append([
                    "conditionalProperty": .string(name),
                    "missingProperties": .strings(names.filter { document[$0] == nil }),
                ])
            case .schema(let schema):
                faults.append(try schema.entry(["conditionalProperty": .string(name)], value))
            }
        }
        return ["operatorName": "dependencies", "failingDependencies": .documents(faults)]
    }
}
