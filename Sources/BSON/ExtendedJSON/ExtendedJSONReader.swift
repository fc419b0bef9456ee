/// Gives JSON its BSON types: numbers by their size, objects with a `$` name of Extended JSON by that name.
///
/// Other names with `$` stay documents: `{"$type": 2}` and `{"$regex": "a"}` are query operators.
enum ExtendedJSONReader {
    static func value(_ node: JSONNode) throws(InvalidExtendedJSON) -> Value {
        switch node {
        case .null: return .null
        case .bool(let bool): return .bool(bool)
        case .string(let string): return .string(string)
        case .number(let text): return try number(text)
        case .array(let nodes):
            var values: [Value] = []
            for node in nodes { values.append(try value(node)) }
            return .array(Document(array: values))
        case .object(let fields):
            if let special = fields.first(where: { names.contains($0.key) }) {
                return try typed(special.key, special.value, fields)
            }
            return .document(try document(fields))
        }
    }

    private static let names: Set<String> = [
        "$oid", "$symbol", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$binary", "$uuid", "$code",
        "$timestamp", "$regularExpression", "$dbPointer", "$date", "$minKey", "$maxKey", "$undefined",
    ]

    private static func document(_ fields: [JSONField]) throws(InvalidExtendedJSON) -> Document {
        var values: [(String, Value)] = []
        for field in fields { values.append((field.key, try value(field.value))) }
        return Document { writer in for (key, value) in values { writer.append(key, value) } }
    }

    private static func number(_ text: String) throws(InvalidExtendedJSON) -> Value {
        if let small = Int32(text) { return .int32(small) }
        if let large = Int64(text) { return .int64(large) }
        guard let double = Double(text) else { throw InvalidExtendedJSON("'\(text)' is not a number") }
        return .double(double)
    }

    private static func string(_ name: String, _ node: JSONNode) throws(InvalidExtendedJSON) -> String {
        guard case .string(let text) = node else { throw InvalidExtendedJSON("\(name) is not a string") }
        return text
    }

    /// The values of an object that has exactly the fields `keys`, in their order.
    private static func members(
        _ name: String, _ node: JSONNode, _ keys: String...
    ) throws(InvalidExtendedJSON) -> [JSONNode] {
        guard case .object(let fields) = node, fields.count == keys.count else {
            throw InvalidExtendedJSON("\(name) is not an object with the fields \(keys.joined(separator: ", "))")
        }
        var values: [JSONNode] = []
        for key in keys {
            guard let field = fields.first(where: { $0.key == key }) else {
                throw InvalidExtendedJSON("\(name) has no field \(key)")
            }
            values.append(field.value)
        }
        return values
    }

    private static func typed(
        _ name: String, _ node: JSONNode, _ fields: [JSONField]
    ) throws(InvalidExtendedJSON) -> Value {
        if name == "$code", fields.count == 2, let scope = fields.first(where: { $0.key == "$scope" }) {
            guard case .object(let scopeFields) = scope.value else {
                throw InvalidExtendedJSON("$scope is not a document")
            }
            return .javascriptWithScope(try string(name, node), try document(scopeFields))
        }
        guard fields.count == 1 else { throw InvalidExtendedJSON("\(name) beside other fields") }
        switch name {
        case "$oid":
            return .objectID(try parsed(name, node) { ObjectID($0) })
        case "$symbol": return .symbol(try string(name, node))
        case "$code": return .javascript(try string(name, node))
        case "$numberInt": return .int32(try parsed(name, node) { Int32($0) })
        case "$numberLong": return .int64(try parsed(name, node) { Int64($0) })
        case "$numberDecimal": return .decimal128(try parsed(name, node) { Decimal128($0) })
        case "$numberDouble": return .double(try parsed(name, node, double))
        case "$uuid": return .binary(subtype: 4, try parsed(name, node, uuid))
        case "$date": return .dateTime(try date(node))
        case "$minKey": return try constant(name, node, .minKey)
        case "$maxKey": return try constant(name, node, .maxKey)
        case "$undefined":
            guard case .bool(true) = node else { throw InvalidExtendedJSON("$undefined is not true") }
            return .undefined
        default: return try composed(name, node)
        }
    }

    /// The types whose `$` object holds another object.
    private static func composed(_ name: String, _ node: JSONNode) throws(InvalidExtendedJSON) -> Value {
        switch name {
        case "$binary":
            let parts = try members(name, node, "base64", "subType")
            let digits = try string("subType", parts[1])
            guard digits.utf8.count <= 2, let subtype = UInt8(digits, radix: 16) else {
                throw InvalidExtendedJSON("subType has not one or two hexadecimal digits")
            }
            return .binary(subtype: subtype, try parsed("base64", parts[0], Base64.decode))
        case "$timestamp":
            let parts = try members(name, node, "t", "i")
            guard case .number(let first) = parts[0], case .number(let second) = parts[1],
                let seconds = UInt32(first), let increment = UInt32(second)
            else { throw InvalidExtendedJSON("$timestamp has a t or i that is not a 32-bit number") }
            return .timestamp(Timestamp(seconds: seconds, increment: increment))
        case "$regularExpression":
            let parts = try members(name, node, "pattern", "options")
            let (pattern, options) = (try string("pattern", parts[0]), try string("options", parts[1]))
            guard !pattern.utf8.contains(0), !options.utf8.contains(0) else {
                throw InvalidExtendedJSON("$regularExpression with a NUL byte")
            }
            return .regex(pattern: pattern, options: sorted(options))
        default:
            let parts = try members(name, node, "$ref", "$id")
            guard case .objectID(let id) = try value(parts[1]) else { throw InvalidExtendedJSON("$id is not an $oid") }
            return .dbPointer(namespace: try string("$ref", parts[0]), id)
        }
    }

    private static func constant(_ name: String, _ node: JSONNode, _ value: Value) throws(InvalidExtendedJSON) -> Value {
        guard case .number("1") = node else { throw InvalidExtendedJSON("\(name) is not 1") }
        return value
    }

    private static func parsed<T>(
        _ name: String, _ node: JSONNode, _ parse: (String) -> T?
    ) throws(InvalidExtendedJSON) -> T {
        let text = try string(name, node)
        guard let value = parse(text) else { throw InvalidExtendedJSON("'\(text)' is not a value of \(name)") }
        return value
    }

    private static func double(_ text: String) -> Double? {
        switch text {
        case "Infinity": .infinity
        case "-Infinity": -.infinity
        case "NaN": .nan
        default: text.utf8.contains { $0 | 0x20 == UInt8(ascii: "x") || $0 | 0x20 == UInt8(ascii: "n") } ? nil : Double(text)
        }
    }

    /// A regular expression's options in the alphabetical order that the specification asks for.
    static func sorted(_ options: String) -> String {
        String(String.UnicodeScalarView(options.unicodeScalars.sorted()))
    }

    private static func date(_ node: JSONNode) throws(InvalidExtendedJSON) -> Int64 {
        if case .object = node {
            guard case .int64(let milliseconds) = try value(node) else {
                throw InvalidExtendedJSON("$date is neither a string nor a $numberLong")
            }
            return milliseconds
        }
        return try parsed("$date", node, DateText.parse)
    }

    private static func uuid(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var half: UInt8?
        guard text.utf8.count == 36 else { return nil }
        for (index, character) in text.utf8.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                guard character == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let digit = hexadecimalDigit(character) else { return nil }
            if let high = half {
                bytes.append(high << 4 | digit)
                half = nil
            } else {
                half = digit
            }
        }
        return bytes
    }
}
