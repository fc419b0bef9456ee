/// JSON as parsed, before `$` objects get their meaning. Numbers keep their text, fields their order.
enum JSONNode {
    case object([JSONField])
    case array([JSONNode])
    case string(String)
    case number(String)
    case bool(Bool)
    case null
}

struct JSONField {
    let key: String
    let value: JSONNode
}

/// A strict JSON parser (RFC 8259).
struct JSONScanner {
    /// Deeper than any document can be, with its `$` objects.
    private static let nestingMax = 2 * DocumentView.depthMax

    private let text: [UInt8]
    private var at = 0

    private init(_ text: String) { self.text = Array(text.utf8) }

    static func parse(_ text: String) throws(InvalidExtendedJSON) -> JSONNode {
        var scanner = JSONScanner(text)
        let node = try scanner.value(depth: 0)
        scanner.skipSpace()
        guard scanner.at == scanner.text.count else { throw scanner.problem("text behind the end of the value") }
        return node
    }

    private func problem(_ reason: String) -> InvalidExtendedJSON { InvalidExtendedJSON(reason, at: at) }

    private var next: UInt8? { at < text.count ? text[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || (byte >= 0x09 && byte <= 0x0D && byte != 0x0B && byte != 0x0C) {
            at += 1
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(InvalidExtendedJSON) {
        guard take(character) else { throw problem("'\(character)' expected") }
    }

    private mutating func value(depth: Int) throws(InvalidExtendedJSON) -> JSONNode {
        guard depth <= JSONScanner.nestingMax else { throw problem("values nested too deep") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw problem("the text ends where a value should be")
        default: return .number(try number())
        }
    }

    private mutating func word(_ word: StaticString, _ node: JSONNode) throws(InvalidExtendedJSON) -> JSONNode {
        let length = word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { text[at...].prefix(length).elementsEqual($0) }
        guard matches else { throw problem("an unknown word") }
        at += length
        return node
    }

    private mutating func object(depth: Int) throws(InvalidExtendedJSON) -> JSONNode {
        try expect("{")
        var fields: [JSONField] = []
        skipSpace()
        if take("}") { return .object(fields) }
        repeat {
            skipSpace()
            let key = try string()
            guard !key.utf8.contains(0) else { throw problem("a field name with a NUL byte") }
            skipSpace()
            try expect(":")
            fields.append(JSONField(key: key, value: try value(depth: depth + 1)))
            skipSpace()
        } while take(",")
        try expect("}")
        return .object(fields)
    }

    private mutating func array(depth: Int) throws(InvalidExtendedJSON) -> JSONNode {
        try expect("[")
        var elements: [JSONNode] = []
        skipSpace()
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value(depth: depth + 1))
            skipSpace()
        } while take(",")
        try expect("]")
        return .array(elements)
    }

    private mutating func digits() throws(InvalidExtendedJSON) {
        let start = at
        while let digit = next, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") { at += 1 }
        guard at > start else { throw problem("a digit expected") }
    }

    private mutating func number() throws(InvalidExtendedJSON) -> String {
        let start = at
        _ = take("-")
        let hasLeadingZero = next == UInt8(ascii: "0")
        let whole = at
        try digits()
        guard !hasLeadingZero || at == whole + 1 else { throw problem("a number with leading zeros") }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("-") { _ = take("+") }
            try digits()
        }
        return String(decoding: text[start..<at], as: UTF8.self)
    }

    private mutating func string() throws(InvalidExtendedJSON) -> String {
        try expect("\"")
        var bytes: [UInt8] = []
        while true {
            let start = at
            while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { at += 1 }
            bytes.append(contentsOf: text[start..<at])
            if take("\"") { return String(decoding: bytes, as: UTF8.self) }
            guard take("\\") else { throw problem("a string without end, or a control character in it") }
            try escape(into: &bytes)
        }
    }

    private mutating func escape(into bytes: inout [UInt8]) throws(InvalidExtendedJSON) {
        guard let kind = next else { throw problem("an escape without end") }
        at += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(kind)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(truncatingIfNeeded: try hexadecimal4())
            if code & 0xFC00 == 0xD800, take("\\"), take("u") {
                let low = UInt32(truncatingIfNeeded: try hexadecimal4())
                guard low & 0xFC00 == 0xDC00 else { throw problem("half a surrogate pair") }
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else { throw problem("half a surrogate pair") }
            bytes.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
        default: throw problem("an unknown escape")
        }
    }

    private mutating func hexadecimal4() throws(InvalidExtendedJSON) -> UInt16 {
        var code: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = next.flatMap(hexadecimalDigit) else { throw problem("a hexadecimal digit expected") }
            code = code << 4 | UInt16(truncatingIfNeeded: digit)
            at += 1
        }
        return code
    }
}

/// The value of one hexadecimal digit.
func hexadecimalDigit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
}
