import BSON
import Core

/// `minItems`, `maxItems`.
struct SchemaItemCountRule: SchemaRule {
    let keyword: String
    let allowed: ClosedRange<Int64>
    let source: Value

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        value.asArray.map { allowed.contains(Int64($0.fieldCount)) } ?? true
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document([keyword: source]),
            "reason": "array did not match specified length", "consideredValue": Value(value),
        ]
    }
}

/// `uniqueItems: true`.
struct SchemaUniqueItemsRule: SchemaRule {
    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value.asArray else { return true }
        return try DuplicateSearch.duplicate(in: array, &match) == nil
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var details: Document = [
            "operatorName": "uniqueItems", "specifiedAs": ["uniqueItems": true], "reason": "found a duplicate item",
            "consideredValue": Value(value),
        ]
        if let array = value.asArray, let value = try DuplicateSearch.duplicate(in: array, &match) {
            details.append("duplicatedValue", value)
        }
        return details
    }
}

/// `items` as one schema for every element, and `additionalItems` as one for those behind the first ones.
struct SchemaEachItemRule: SchemaRule {
    let keyword: String
    let schema: JSONSchema
    let start: Int

    var weight: MatchWeight { schema.weight }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        try firstFault(value, &match) == nil
    }

    private func firstFault(
        _ value: ValueView, _ match: inout MatchDetails
    ) throws(ServerError) -> (index: Int, item: ValueView)? {
        guard let array = value.asArray else { return nil }
        var fault: ValueView?
        let index = try match.first(in: array) { (element, index, match) throws(ServerError) in
            guard index >= start, try !schema.matches(element.value, &match) else { return false }
            fault = element.value
            return true
        }
        guard let index, let fault else { return nil }
        return (index, fault)
    }

    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        guard let fault = try firstFault(value, &match) else { return Document() }
        let reason =
            start == 0
            ? "At least one item did not match the sub-schema"
            : "At least one additional item did not match the sub-schema"
        return try schema.entry(
            [
                "operatorName": .string(keyword), "reason": .string(reason),
                "itemIndex": .init(integerLiteral: Int64(fault.index)),
            ], fault.item, &match)
    }
}

/// `items` as a list: each schema for the element at its place.
struct SchemaItemListRule: SchemaRule {
    let schemas: [JSONSchema]

    var weight: MatchWeight { schemas.weight }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value.asArray else { return true }
        return try match.first(in: array) { (element, index, match) throws(ServerError) in
            guard index < schemas.count else { return false }
            return try !schemas[index].matches(element.value, &match)
        } == nil
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (index, (schema, element)) in zip(schemas, value.asArray.map(Array.init) ?? []).enumerated()
        where try !schema.matches(element.value, &match) {
            faults.append(try schema.entry(["itemIndex": .init(integerLiteral: Int64(index))], element.value, &match))
        }
        return ["operatorName": "items", "details": .documents(faults)]
    }
}

/// `additionalItems: false`.
struct SchemaNoMoreItemsRule: SchemaRule {
    let count: Int

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        value.asArray.map { $0.fieldCount <= count } ?? true
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        let items = value.asArray.map { $0.dropFirst(count).map { Value($0.value) } } ?? []
        return [
            "operatorName": "additionalItems", "specifiedAs": ["additionalItems": false],
            "reason": "found additional items", "additionalItems": .array(items),
        ]
    }
}
