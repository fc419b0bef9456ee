import BSON
import Core

/// One conversion of a value to a type, with MongoDB's rules and errors.
struct ValueConversion {
    private let value: Value
    /// Nil for the type `missing`.
    private let target: BSONType?
    private let binary: BinaryConversion

    init(_ value: Value, to target: BSONType?, _ binary: BinaryConversion = BinaryConversion()) {
        if case .binary(2, let bytes) = value, target != .binary {
            // Of the old subtype the length in front counts as data.
            let length = withUnsafeBytes(of: Int32(clamping: bytes.count).littleEndian) { [UInt8]($0) }
            self.value = .binary(subtype: 2, length + bytes)
        } else {
            self.value = value
        }
        self.target = target
        self.binary = binary
    }

    func result() throws(ServerError) -> Value {
        if value.type == target, target != .binary { return value }
        switch target {
        case .binary: return try binaryData()
        case .string: return try string()
        case .int32: return try integer(isNarrow: true)
        case .int64: return try integer(isNarrow: false)
        case .double: return try double()
        case .decimal128: return try decimal()
        case .bool: return bool()
        case .dateTime: return try date()
        case .objectID:
            guard case .string(let text) = value else { throw unsupported() }
            guard let id = ObjectID(text) else {
                throw failure("Failed to parse objectId '\(text)' in $convert with no onError value")
            }
            return .objectID(id)
        default: throw unsupported()
        }
    }

    private func failure(_ message: String) -> ServerError { ServerError(.conversionFailure, message) }

    private var targetName: String { target?.operatorName ?? "missing" }

    private func unsupported() -> ServerError {
        failure(
            "Unsupported conversion from \(value.type.operatorName) to \(targetName) in $convert with no "
                + "onError value")
    }

    private func overflow() -> ServerError {
        failure(
            "Conversion would overflow target type in $convert with no onError value: "
                + "\(Number(value)?.doubleValue ?? 0)"
        )
    }

    private func wrongLength(_ bytes: [UInt8]) -> ServerError {
        failure(
            "Failed to convert binData of \(bytes.count) bytes to \(targetName) in $convert with "
                + "no onError value because of invalid length")
    }

    private func unparsable(_ text: String) -> ServerError {
        failure("Failed to parse number '\(text)' in $convert with no onError value")
    }

    private func binaryData() throws(ServerError) -> Value {
        switch value {
        case .binary(let subtype, _):
            guard subtype == binary.subtype else {
                throw failure(
                    "Conversions between different binData subtypes are not supported in $convert with no onError value"
                )
            }
            return value
        case .string(let text): return .binary(subtype: binary.subtype, try binary.bytes(text))
        case .int32, .int64, .double:
            guard let bytes = binary.bytes(of: value) else { throw unsupported() }
            return .binary(subtype: binary.subtype, bytes)
        default: throw unsupported()
        }
    }

    private func string() throws(ServerError) -> Value {
        switch value {
        case .double(let number): return .string(DoubleText.shortest(number))
        case .binary(let subtype, let bytes): return .string(try binary.text(bytes, subtype: subtype))
        case .bool(let flag): return .string(flag ? "true" : "false")
        case .objectID(let id): return .string(id.hexString)
        case .int32, .int64, .decimal128, .dateTime: return .string(try StringOperators.text(value))
        default: throw unsupported()
        }
    }

    private func integer(isNarrow: Bool) throws(ServerError) -> Value {
        let whole: Int64
        switch value {
        case .bool(let flag): whole = flag ? 1 : 0
        case .int32(let number): whole = Int64(number)
        case .int64(let number): whole = number
        case .binary(_, let bytes):
            guard let number = binary.integer(bytes, most: isNarrow ? 4 : 8) else { throw wrongLength(bytes) }
            whole = number
        case .double(let number):
            guard number.isFinite else { throw overflow() }
            guard let cut = Int64(exactly: number.rounded(.towardZero)) else { throw overflow() }
            whole = cut
        case .decimal128(let number):
            guard let cut = number.rounded(places: 0, .towardZero).exactInt64 else { throw overflow() }
            whole = cut
        case .dateTime(let millis):
            guard !isNarrow else { throw unsupported() }
            whole = millis
        case .string(let text):
            guard let parsed = Int64(text) else { throw unparsable(text) }
            whole = parsed
        default: throw unsupported()
        }
        guard isNarrow else { return .int64(whole) }
        guard let narrow = Int32(exactly: whole) else {
            if case .string(let text) = value { throw unparsable(text) }
            throw overflow()
        }
        return .int32(narrow)
    }

    private func double() throws(ServerError) -> Value {
        switch value {
        case .bool(let flag): return .double(flag ? 1 : 0)
        case .dateTime(let millis): return .double(Double(millis))
        case .binary(_, let bytes):
            guard let number = binary.double(bytes) else { throw wrongLength(bytes) }
            return .double(number)
        case .string(let text):
            // Swift also reads payloads of NaN; hexadecimal digits may not come first.
            let isPlain = text.utf8.allSatisfy { "0123456789+-.xXpPabcdefABCDEFinftyINFTY".utf8.contains($0) }
            guard isPlain, !text.hasPrefix("0x"), let number = Double(text) else { throw unparsable(text) }
            // Digits alone that become infinite, or nothing, are beyond the doubles.
            if number.isInfinite, text.utf8.contains(where: { (48...57).contains($0) }) { throw unparsable(text) }
            if number == 0, ValueConversion.hasDigit(text) { throw unparsable(text) }
            return .double(number)
        default:
            guard let number = Number(value) else { throw unsupported() }
            let result = number.doubleValue
            if result.isInfinite, case .decimal(let decimal) = number, decimal.isFinite { throw overflow() }
            return .double(result)
        }
    }

    /// A text without what may stand around a date.
    private static func trimmed(_ text: String) -> String {
        let around: Set<Unicode.Scalar> = ["\0", "\u{A0}"]
        guard let first = text.unicodeScalars.first, let last = text.unicodeScalars.last,
            around.contains(first) || around.contains(last)
        else { return text }
        var scalars = text.unicodeScalars[...].drop { around.contains($0) }
        while let last = scalars.last, around.contains(last) { scalars.removeLast() }
        return String(scalars)
    }

    /// Whether a number has a digit that is not zero in front of its exponent.
    private static func hasDigit(_ text: String) -> Bool {
        let isHexadecimal = text.utf8.contains { $0 | 0x20 == UInt8(ascii: "x") }
        let end = UInt8(ascii: isHexadecimal ? "p" : "e")
        return text.utf8.prefix { $0 | 0x20 != end }.contains {
            (49...57).contains($0) || (isHexadecimal && (97...102).contains($0 | 0x20))
        }
    }

    private func decimal() throws(ServerError) -> Value {
        switch value {
        case .bool(let flag): return .decimal128(Decimal128(flag ? Int64(1) : 0))
        case .dateTime(let millis): return .decimal128(Decimal128(millis))
        case .string(let text):
            guard let number = Decimal128(text, isRounding: true) else { throw unparsable(text) }
            if number.isInfinite, text.utf8.contains(where: { (48...57).contains($0) }) { throw unparsable(text) }
            if number.isZero, ValueConversion.hasDigit(text) { throw unparsable(text) }
            return .decimal128(number)
        default:
            guard let number = Number(value) else { throw unsupported() }
            return .decimal128(number.decimalValue)
        }
    }

    private func bool() -> Value {
        // Everything that is no number and no boolean is true, also an empty string.
        .bool(value.truth)
    }

    private func date() throws(ServerError) -> Value {
        switch value {
        case .int64(let millis): return .dateTime(millis)
        case .double(let number):
            guard let millis = Int64(exactly: number.rounded(.towardZero)) else { throw overflow() }
            return .dateTime(millis)
        case .decimal128(let number):
            guard let millis = number.rounded(places: 0, .towardZero).exactInt64 else { throw overflow() }
            return .dateTime(millis)
        case .objectID, .timestamp: return .dateTime(try dateMillis(value))
        case .string(let text): return .dateTime(try DateParser.parse(ValueConversion.trimmed(text), zone: nil))
        default: throw unsupported()
        }
    }
}
