import BSON
import Core

/// `properties`.
struct SchemaPropertiesRule: SchemaRule {
    let properties: [(name: String, schema: JSONSchema)]

    var weight: MatchWeight { properties.map(\.schema).weight }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        return try match.first(of: properties.count) { (index, match) throws(ServerError) in
            guard let value = match.find(properties[index].name, in: document) else { return false }
            return try !properties[index].schema.matches(value, &match)
        } == nil
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (name, schema) in properties {
            try match.spend(1)
            guard let document = value.asDocument, let value = match.find(name, in: document),
                try !schema.matches(value, &match)
            else { continue }
            faults.append(try schema.entry(["propertyName": .string(name)], value, &match))
        }
        return ["operatorName": "properties", "propertiesNotSatisfied": .documents(faults)]
    }
}

/// `patternProperties`.
struct SchemaPatternPropertiesRule: SchemaRule {
    let patterns: [(expression: RegularExpression, schema: JSONSchema)]

    var weight: MatchWeight { patterns.reduce(.one) { $0 + .pattern + $1.schema.weight } }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        return try match.first(in: document) { (element, _, match) throws(ServerError) in
            try match.first(of: patterns.count) { (index, match) throws(ServerError) in
                let accepting = try match.first(of: 2) { (step, match) throws(ServerError) in
                    try step == 0
                        ? !patterns[index].expression.matches(element.key.bytes, match)
                        : patterns[index].schema.matches(element.value, &match)
                }
                return accepting == nil
            } != nil
        } == nil
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (expression, schema) in patterns {
            for element in value.asDocument.map(Array.init) ?? [] {
                try match.spend(1)
                guard try expression.matches(element.key.bytes), try !schema.matches(element.value, &match) else {
                    continue
                }
                faults.append(
                    try schema.entry(
                        [
                            "propertyName": .string(element.key.string), "regexMatched": .string(expression.pattern),
                        ], element.value, &match))
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

    var weight: MatchWeight { patterns.reduce(schema?.weight ?? .one) { weight, _ in weight + .pattern } }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        return try match.first(in: document) { (element, _, match) throws(ServerError) in
            try isFault(element, &match)
        } == nil
    }

    private func isFault(
        _ element: DocumentView.Element, _ match: inout MatchDetails
    ) throws(ServerError) -> Bool {
        if names.contains(element.key.string) { return false }
        // The schema is asked last, and only when no pattern matches.
        let accepting = try match.first(of: patterns.count + 1) { (index, match) throws(ServerError) in
            guard index == patterns.count else { return try patterns[index].matches(element.key.bytes, match) }
            return try schema?.matches(element.value, &match) ?? false
        }
        return accepting == nil
    }

    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var faults: [DocumentView.Element] = []
        for element in value.asDocument.map(Array.init) ?? [] where try isFault(element, &match) {
            faults.append(element)
        }
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
            ], fault.value, &match)
    }
}

/// `required`.
struct SchemaRequiredRule: SchemaRule {
    let names: [String]

    var weight: MatchWeight { MatchWeight(conditions: names.count) }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        return try match.first(of: names.count) { (index, match) in
            match.find(names[index], in: document) == nil
        } == nil
    }
    private func missing(_ value: ValueView, _ match: MatchDetails) throws(ServerError) -> [String] {
        guard let document = value.asDocument else { return [] }
        var missing: [String] = []
        for name in names {
            try match.spend(1)
            if match.find(name, in: document) == nil { missing.append(name) }
        }
        return missing
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        [
            "operatorName": "required", "specifiedAs": ["required": .strings(names)],
            "missingProperties": .strings(try missing(value, match)),
        ]
    }
}

/// `minProperties`, `maxProperties`.
struct SchemaPropertyCountRule: SchemaRule {
    let keyword: String
    let allowed: ClosedRange<Int64>
    let source: Value

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        value.asDocument.map { allowed.contains(Int64($0.fieldCount)) } ?? true
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
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

    var weight: MatchWeight {
        dependencies.reduce(.one) { weight, dependency in
            switch dependency.need {
            case .properties(let names): weight + MatchWeight(conditions: names.count)
            case .schema(let schema): weight + schema.weight
            }
        }
    }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let document = value.asDocument else { return true }
        return try match.first(of: dependencies.count) { (index, match) throws(ServerError) in
            let (name, need) = dependencies[index]
            guard match.find(name, in: document) != nil else { return false }
            return try !isMet(need, document, &match)
        } == nil
    }

    private func isMet(
        _ need: Need, _ document: DocumentView, _ match: inout MatchDetails
    ) throws(ServerError) -> Bool {
        switch need {
        case .properties(let names):
            try match.first(of: names.count) { (index, match) in match.find(names[index], in: document) == nil } == nil
        case .schema(let schema): try schema.matches(ValueView(document), &match)
        }
    }

    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var faults: [Document] = []
        guard let document = value.asDocument else { return Document() }
        for (name, need) in dependencies {
            try match.spend(1)
            guard match.find(name, in: document) != nil, try !isMet(need, document, &match) else { continue }
            switch need {
            case .properties(let names):
                faults.append([
                    "conditionalProperty": .string(name),
                    "missingProperties": .strings(names.filter { document[$0] == nil }),
                ])
            case .schema(let schema):
                faults.append(try schema.entry(["conditionalProperty": .string(name)], value, &match))
            }
        }
        return ["operatorName": "dependencies", "failingDependencies": .documents(faults)]
    }
}
