import BSON
import Core

/// `$concat`, case, substrings, lengths, `$split`, trimming and comparison. Case is ASCII's, as MongoDB's.
enum StringOperators {
    static let table: [String: OperatorEntry] = [
        "$concat": .form(Concatenate<ConcatStrings>.compile),
        "$toLower": .unary { (operands) throws(ServerError) in .string(lowercased(try text(operands[0]))) },
        "$toUpper": .unary { (operands) throws(ServerError) in .string(uppercased(try text(operands[0]))) },
        "$substr": .positional(3, 3) { (operands) throws(ServerError) in try byteSubstring("$substr", operands) },
        "$substrBytes": .positional(3, 3) { (operands) throws(ServerError) in
            try byteSubstring("$substrBytes", operands)
        },
        "$substrCP": .positional(3, 3, codePointSubstring),
        "$strLenBytes": .unary { (operands) throws(ServerError) in
            .int32(Int32(truncatingIfNeeded: try string("$strLenBytes", 34473, operands[0]).utf8.count))
        },
        "$strLenCP": .unary { (operands) throws(ServerError) in
            .int32(Int32(truncatingIfNeeded: try string("$strLenCP", 34471, operands[0]).unicodeScalars.count))
        },
        "$strcasecmp": .binary(compareIgnoringCase),
        "$trim": trimEntry("$trim", left: true, right: true),
        "$ltrim": trimEntry("$ltrim", left: true, right: false),
        "$rtrim": trimEntry("$rtrim", left: false, right: true),
    ]

    /// A string built of UTF-8 bytes.
    static func make(_ bytes: some Collection<UInt8>) -> Value { .string(String(decoding: bytes, as: UTF8.self)) }

    /// The UTF-8 bytes of a string.
    static func bytes(_ text: String) -> [UInt8] {
        var text = text
        return text.withUTF8 { [UInt8]($0) }
    }

    private static func string(_ name: String, _ code: Int32, _ value: Value?) throws(ServerError) -> String {
        guard case .string(let text) = value else {
            throw ServerError(location: code, "\(name) requires a string argument, found: \(typeName(value))")
        }
        return text
    }

    /// A value as the string that string operators take it for: null is empty, numbers and dates are written out.
    static func text(_ value: Value?) throws(ServerError) -> String {
        switch value {
        case nil, .null, .undefined: return ""
        case .string(let text), .symbol(let text), .javascript(let text): return text
        case .double(let number): return DoubleText.rounded(number, digits: 6)
        case .int32(let number): return String(number)
        case .int64(let number): return String(number)
        case .decimal128(let number): return number.description
        case .dateTime(let millis): return try DateFormat.iso(millis)
        case .timestamp(let timestamp): return TimestampText.text(timestamp)
        default:
            throw ServerError(location: 16007, "can't convert from BSON type \(typeName(value)) to String")
        }
    }

    static func lowercased(_ text: String) -> String {
        String(decoding: text.utf8.map { (65...90).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
    }
    static func uppercased(_ text: String) -> String {
        String(decoding: text.utf8.map { (97...122).contains($0) ? $0 - 32 : $0 }, as: UTF8.self)
    }

    private static func byteSubstring(_ name: String, _ operands: [Value?]) throws(ServerError) -> Value? {
        let bytes = Array(try text(operands[0]).utf8)
        guard let startNumber = Number(operands[1]) else {
            throw ServerError(
                location: 16034,
                "\(name):  starting index must be a numeric type (is BSON type \(typeName(operands[1])))")
        }
        guard let lengthNumber = Number(operands[2]) else {
            throw ServerError(
                location: 16035, "\(name):  length must be a numeric type (is BSON type \(typeName(operands[2])))")
        }
        let start = try index(startNumber)
        let length = try index(lengthNumber)
        guard start >= 0 else {
            throw ServerError(location: 50752, "\(name):  starting index must be non-negative (got: \(start))")
        }
        if start >= bytes.count { return .string("") }
        guard !isContinuation(bytes[start]) else {
            throw ServerError(
                location: 28656, "\(name):  Invalid range, starting index is a UTF-8 continuation byte.")
        }
        let end = length < 0 ? bytes.count : min(bytes.count, start + min(length, bytes.count))
        if end < bytes.count, isContinuation(bytes[end]) {
            throw ServerError(
                location: 28657, "\(name):  Invalid range, ending index is in the middle of a UTF-8 character.")
        }
        return make(bytes[start..<end])
    }

    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

    /// A number as an index: doubles are cut, decimals rounded; decimals that are no long count as the lowest one.
    private static func index(_ number: Number) throws(ServerError) -> Int {
        let whole: Int64
        switch number {
        case .int32(let value): whole = Int64(value)
        case .int64(let value): whole = value
        case .double(let value):
            guard let cut = Int64(exactly: value.rounded(.towardZero)) else {
                throw ServerError(
                    location: 31109, "Can't coerce out of range value \(DoubleText.shortest(value)) to long")
            }
            whole = cut
        case .decimal(let value): whole = value.rounded().exactInt64 ?? .min
        }
        return Int(max(min(whole, Int64(Int32.max)), Int64(Int32.min)))
    }

    private static func codePointSubstring(_ operands: [Value?]) throws(ServerError) -> Value? {
        let scalars = try text(operands[0]).unicodeScalars
        let start = try index(operands[1], "starting index", 34450, 34451)
        let length = try index(operands[2], "length", 34452, 34453)
        guard length >= 0 else {
            throw ServerError(location: 34454, "$substrCP: length must be a nonnegative integer.")
        }
        guard start >= 0 else {
            throw ServerError(location: 34455, "$substrCP: the starting index must be nonnegative integer.")
        }
        return .string(String(scalars.dropFirst(start).prefix(length)))
    }

    private static func index(
        _ value: Value?, _ what: String, _ notNumber: Int32, _ notWhole: Int32
    ) throws(ServerError) -> Int {
        guard let number = Number(value) else {
            throw ServerError(
                location: notNumber, "$substrCP: \(what) must be a numeric type (is BSON type \(typeName(value)))")
        }
        guard let whole = number.exactInteger, let narrow = Int32(exactly: whole) else {
            throw ServerError(location: notWhole, "$substrCP: \(what) cannot be represented as a 32-bit integral value")
        }
        return Int(narrow)
    }

    private static func compareIgnoringCase(_ operands: [Value?]) throws(ServerError) -> Value? {
        let a = uppercased(try text(operands[0]))
        let b = uppercased(try text(operands[1]))
        return .int32(Int32(clamping: Value.order(.string(a), .string(b)).signum()))
    }

    // MARK: Trimming

    private static func trimEntry(_ name: String, left: Bool, right: Bool) -> OperatorEntry {
        .named(required: ["input"], optional: ["chars"]) { (arguments) throws(ServerError) in
            let input = arguments["input"]
            if isNullish(input) { return .null }
            guard case .string(let text) = input else {
                throw ServerError(
                    location: 50699, "\(name) requires its input to be a string, got type \(typeName(input)) instead.")
            }
            var characters = whitespace
            if arguments.has("chars") {
                let chars = arguments["chars"]
                if isNullish(chars) { return .null }
                guard case .string(let list) = chars else {
                    throw ServerError(
                        location: 50700,
                        "\(name) requires 'chars' to be a string, got type \(typeName(chars)) instead.")
                }
                characters = Array(list.unicodeScalars)
            }
            let cut = Set(characters)
            var scalars = text.unicodeScalars[...]
            if left { scalars = scalars.drop { cut.contains($0) } }
            while right, let last = scalars.last, cut.contains(last) { scalars.removeLast() }
            return .string(String(scalars))
        }
    }

    /// What MongoDB trims by default: NUL and the white space of Unicode.
    private static let whitespace: [Unicode.Scalar] = [
        "\0", " ", "\t", "\n", "\u{0B}", "\u{0C}", "\r", "\u{A0}", "\u{1680}", "\u{2000}", "\u{2001}", "\u{2002}",
        "\u{2003}", "\u{2004}", "\u{2005}", "\u{2006}", "\u{2007}", "\u{2008}", "\u{2009}", "\u{200A}",
    ]
}

/// How values look as text.
enum NumberText {
    /// A double as `$toString` writes it.
    static func double(_ value: Double) -> String { DoubleText.shortest(value) }
}

/// How string operators see timestamps, in UTC; days below ten are two columns wide, too.
enum TimestampText {
    static func text(_ timestamp: Timestamp) -> String {
        let date = CivilDate(millis: Int64(timestamp.seconds) * 1000)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let month = DateNames.months[date.month - 1].prefix(3)
        let day = date.day < 10 ? " \(date.day)" : "\(date.day)"
        return "\(month) \(day) \(two(date.hour)):\(two(date.minute)):\(two(date.second)):\(timestamp.increment)"
    }
}
