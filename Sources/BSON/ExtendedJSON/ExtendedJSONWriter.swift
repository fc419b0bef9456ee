/// Appends Extended JSON to UTF-8 bytes, straight from a document's bytes.
struct ExtendedJSONWriter {
    private let mode: ExtendedJSONMode
    private var out: [UInt8] = []

    init(mode: ExtendedJSONMode) { self.mode = mode }

    var text: String { String(decoding: out, as: UTF8.self) }

    mutating func write(document: DocumentView) {
        append("{")
        var isFirst = true
        for element in document {
            if !isFirst { append(", ") }
            isFirst = false
            quote(element.key.bytes)
            append(": ")
            write(element.value)
        }
        append("}")
    }

    private mutating func write(array: DocumentView) {
        append("[")
        var isFirst = true
        for element in array {
            if !isFirst { append(", ") }
            isFirst = false
            write(element.value)
        }
        append("]")
    }

    mutating func write(_ view: ValueView) {
        switch view.type {
        case .document: return write(document: DocumentView(base: view.pointer))
        case .array: return write(array: DocumentView(base: view.pointer))
        case .string: return view.asStringBytes.map { quote($0) } ?? ()
        default: break
        }
        switch Value(view) {
        case .null: append("null")
        case .bool(let bool): append(bool ? "true" : "false")
        case .int32(let value): write(number: String(value), "$numberInt", isPlain: mode == .relaxed)
        case .int64(let value): write(number: String(value), "$numberLong", isPlain: mode == .relaxed)
        case .double(let value):
            write(number: Self.text(of: value), "$numberDouble", isPlain: mode == .relaxed && value.isFinite)
        case .decimal128(let value): write(number: value.description, "$numberDecimal", isPlain: false)
        case .objectID(let id): wrap("$oid", id.hexString)
        case .symbol(let symbol): wrap("$symbol", symbol)
        case .javascript(let code): wrap("$code", code)
        case .undefined: append("{\"$undefined\": true}")
        case .minKey: append("{\"$minKey\": 1}")
        case .maxKey: append("{\"$maxKey\": 1}")
        case .timestamp(let timestamp):
            append("{\"$timestamp\": {\"t\": \(timestamp.seconds), \"i\": \(timestamp.increment)}}")
        case .dateTime(let milliseconds): write(date: milliseconds)
        case .binary(let subtype, let bytes):
            append("{\"$binary\": {\"base64\": \"")
            out.append(contentsOf: Base64.encode(bytes))
            append("\", \"subType\": \"\(subtype < 16 ? "0" : "")\(String(subtype, radix: 16))\"}}")
        case .regex(let pattern, let options):
            append("{\"$regularExpression\": {\"pattern\": ")
            quote(pattern)
            append(", \"options\": ")
            quote(ExtendedJSONReader.sorted(options))
            append("}}")
        case .dbPointer(let namespace, let id):
            append("{\"$dbPointer\": {\"$ref\": ")
            quote(namespace)
            append(", \"$id\": ")
            wrap("$oid", id.hexString)
            append("}}")
        case .javascriptWithScope(let code, let scope):
            append("{\"$code\": ")
            quote(code)
            append(", \"$scope\": ")
            scope.withView { write(document: $0) }
            append("}")
        case .document, .array, .string: break
        }
    }

    private mutating func write(number text: String, _ name: String, isPlain: Bool) {
        if isPlain { append(text) } else { wrap(name, text) }
    }

    private mutating func write(date milliseconds: Int64) {
        if mode == .relaxed, let text = DateText.format(milliseconds), milliseconds >= 0 {
            wrap("$date", text)
        } else {
            append("{\"$date\": ")
            wrap("$numberLong", String(milliseconds))
            append("}")
        }
    }

    /// The shortest digits that read back as the same double.
    private static func text(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return value.description.uppercased()
    }

    private mutating func append(_ text: String) { out.append(contentsOf: text.utf8) }

    private mutating func wrap(_ name: String, _ text: String) {
        append("{\"\(name)\": ")
        quote(text)
        append("}")
    }

    private mutating func quote(_ text: String) {
        var text = text
        text.withUTF8 { quote(UnsafeRawBufferPointer($0)) }
    }

    private mutating func quote(_ text: UnsafeRawBufferPointer) {
        let digits: StaticString = "0123456789abcdef"
        out.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x08: append("\\b")
            case 0x09: append("\\t")
            case 0x0A: append("\\n")
            case 0x0C: append("\\f")
            case 0x0D: append("\\r")
            case 0..<0x20, 0x7F:
                append("\\u00")
                out.append(digits.utf8Start[Int(byte >> 4)])
                out.append(digits.utf8Start[Int(byte & 15)])
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
