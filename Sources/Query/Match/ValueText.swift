import BSON

/// Values as MongoDB's messages and index bounds print them: `1`, `1.5`, `"text"`, `{ a: 1 }`, `ObjectId('…')`.
enum ValueText {
    static func text(_ value: Value) -> String {
        switch value {
        case .double(let number): double(number)
        case .int32(let number): String(number)
        case .int64(let number): String(number)
        case .decimal128(let number):
            number.exactInt64.map { String($0) } ?? "\(number.doubleValue)"
        case .string(let text), .symbol(let text): "\"" + text + "\""
        case .document(let document): self.document(document)
        case .array(let document): list(document)
        case .binary(let subtype, let bytes): "BinData(\(subtype), \(hex(bytes)))"
        case .undefined: "undefined"
        case .objectID(let id): "ObjectId('\(id.hexString)')"
        case .bool(let bool): bool ? "true" : "false"
        case .dateTime(let millis): "new Date(\(millis))"
        case .null: "null"
        case .regex(let pattern, let options): "/\(pattern)/\(options)"
        case .dbPointer(let namespace, let id): "DBRef('\(namespace)',\(id.hexString))"
        case .javascript(let code): code
        case .javascriptWithScope(let code, let scope): "CodeWScope(\(code), \(document(scope)))"
        case .timestamp(let timestamp): "Timestamp(\(timestamp.rawValue >> 32), \(timestamp.rawValue & 0xFFFF_FFFF))"
        case .maxKey: "MaxKey"
        case .minKey: "MinKey"
        }
    }

    static func text(_ view: ValueView) -> String { text(Value(view)) }

    static func document(_ document: Document) -> String {
        let fields = document.fields.map { "\($0.key): \(text($0.value))" }
        return fields.isEmpty ? "{}" : "{ " + fields.joined(separator: ", ") + " }"
    }

    private static func list(_ array: Document) -> String {
        let values = array.values.map { text($0) }
        return values.isEmpty ? "[]" : "[ " + values.joined(separator: ", ") + " ]"
    }

    private static func double(_ number: Double) -> String {
        if number.isNaN { return "nan.0" }
        if number.isInfinite { return number < 0 ? "-inf.0" : "inf.0" }
        return "\(number)"
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
