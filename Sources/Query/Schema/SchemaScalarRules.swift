import BSON
import Core

/// `type`, `bsonType`.
struct SchemaTypeRule: SchemaRule {
    let keyword: String
    let types: Set<BSONType>
    let source: Value

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool { types.contains(value.type) }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document([keyword: source]),
            "reason": "type did not match", "consideredValue": Value(value),
            "consideredType": .string(value.type.operatorName),
        ]
    }
}

/// `enum`.
struct SchemaEnumRule: SchemaRule {
    /// In MongoDB's order, canonical.
    let values: [Value]
    let source: Value

    init(_ list: DocumentView) {
        values = list.map { SchemaEquality.canonical(Value($0.value)) }.sorted { Value.order($0, $1) < 0 }
        source = .array(Document(copying: list))
    }

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        let sought = SchemaEquality.canonical(Value(value))
        var (low, high) = (0, values.count)
        while low < high {
            let middle = (low + high) / 2
            let order = Value.order(values[middle], sought)
            if order == 0 { return true }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return false
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": "enum", "specifiedAs": ["enum": source], "reason": "value was not found in enum",
            "consideredValue": Value(value),
        ]
    }
}

/// `minimum` and `maximum`, with their `exclusive…`.
struct SchemaBoundRule: SchemaRule {
    let keyword: String
    let comparison: Comparison
    /// As in the schema, with the flag that belongs to it.
    let source: Document

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        !value.type.isNumber || comparison.matches(value)
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document(source), "reason": "comparison failed",
            "consideredValue": Value(value),
        ]
    }
}

/// `multipleOf`.
struct SchemaMultipleRule: SchemaRule {
    let divisor: Decimal128
    let source: Value

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        guard let number = Number(Value(value)) else { return true }
        return number.decimalValue.remainder(truncatingBy: divisor).isZero
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": "multipleOf", "specifiedAs": ["multipleOf": source],
            "reason": "considered value is not a multiple of the specified value", "consideredValue": Value(value),
        ]
    }
}

/// `minLength`, `maxLength`: code points of a string.
struct SchemaLengthRule: SchemaRule {
    let keyword: String
    let allowed: ClosedRange<Int64>
    let source: Value

    func holds(_ value: ValueView, _ match: inout MatchDetails) -> Bool {
        guard value.type == .string, let bytes = value.asStringBytes else { return true }
        return allowed.contains(bytes.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) })
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": .string(keyword), "specifiedAs": .document([keyword: source]),
            "reason": "specified string length was not satisfied", "consideredValue": Value(value),
        ]
    }
}

/// `pattern`.
struct SchemaPatternRule: SchemaRule {
    let expression: RegularExpression

    var weight: MatchWeight { .pattern }

    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        guard value.type == .string, let bytes = value.asStringBytes else { return true }
        return try expression.matches(bytes, match)
    }
    func explain(_ value: ValueView, _ match: inout MatchDetails) -> Document {
        [
            "operatorName": "pattern", "specifiedAs": ["pattern": .string(expression.pattern)],
            "reason": "regular expression did not match", "consideredValue": Value(value),
        ]
    }
}
