import BSON
import Core

/// `minItems`, `maxItems`.
struct SchemaItemCountRule: SchemaRule {
    let keyword: String
    let allowed: ClosedRange<Int64>
    let source: Value

    func holds(_ value: ValueView) -> Bool { value.asArray.map { allowed.contains(Int64($0.fieldCount)) } ?? true }
    func explain(_ value: ValueView) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document([keyword: source]),
            "reason": "array did not match specified length", "consideredValue": Value(value),
        ]
    }
}

/// `uniqueItems: true`.
struct SchemaUniqueItemsRule: SchemaRule {
    func holds(_ value: ValueView) -> Bool { value.asArray.map { SchemaEquality.duplicate(in: $0) == nil } ?? true }
    func explain(_ value: ValueView) -> Document {
        var details: Document = [
            "operatorName": "uniqueItems", "specifiedAs": ["uniqueItems": true], "reason": "found a duplicate item",
            "consideredValue": Value(value),
        ]
        if let value = value.asArray.flatMap({ SchemaEquality.duplicate(in: $0) }) {
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

    func holds(_ value: ValueView) throws(ServerError) -> Bool { try firstFault(value) == nil }

    private func firstFault(_ value: ValueView) throws(ServerError) -> (index: Int, item: ValueView)? {
        guard let array = value.asArray else { return nil }
        var index = 0
        for element in array {
            if index >= start, try !schema.matches(element.value) { return (index, element.value) }
            index += 1
        }
        return nil
    }

    func explain(_ value: ValueView) throws(ServerError) -> Document {
        guard let fault = try firstFault(value) else { return Document() }
        let reason =
            start == 0
            ? "At least one item did not match the sub-schema"
            : "At least one additional item did not match the sub-schema"
        return try schema.entry(
            [
                "operatorName": .string(keyword), "reason": .string(reason),
                "itemIndex": .init(integerLiteral: Int64(fault.index)),
            ], fault.item)
    }
}

/// `items` as a list: each schema for the element at its place.
struct SchemaItemListRule: SchemaRule {
    let schemas: [JSONSchema]

    func holds(_ value: ValueView) throws(ServerError) -> Bool {
        guard let array = value.asArray else { return true }
        for (schema, element) in zip(schemas, array) where try !schema.matches(element.value) { return false }
        return true
    }
    func explain(_ value: ValueView) throws(ServerError) -> Document {
        var faults: [Document] = []
        for (index, (schema, element)) in zip(schemas, value.asArray.map(Array.init) ?? []).enumerated()
        where try !schema.matches(element.value) {
            faults.append(try schema.entry(["itemIndex": .init(integerLiteral: Int64(index))], element.value))
        }
        return ["operatorName": "items", "details": .documents(faults)]
    }
}

/// `additionalItems: false`.
struct SchemaNoMoreItemsRule: SchemaRule {
    let count: Int

    func holds(_ value: ValueView) -> Bool { value.asArray.map { $0.fieldCount <= count } ?? true }
    func explain(_ value: ValueView) -> Document {
        let items = value.asArray.map { $0.dropFirst(count).map { Value($0.value) } } ?? []
        return [
            "operatorName": "additionalItems", "specifiedAs": ["additionalItems": false],
            "reason": "found additional items", "additionalItems": .array(items),
        ]
    }
}
