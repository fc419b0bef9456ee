import BSON
import Core

/// How `$convert` reads and writes binary data: `subtype`, `format` and `byteOrder`.
struct BinaryConversion {
    /// How bytes look as text.
    enum Format: String {
        case base64, base64url, hex, utf8, uuid
        /// A UUID as such, everything else as base64.
        case automatic = "auto"
    }

    static let uuidSubtype: UInt8 = 4

    let subtype: UInt8
    private let format: Format?
    private let isBigEndian: Bool

    init(subtype: UInt8 = 0, format: Format? = nil) {
        self.subtype = subtype
        self.format = format
        isBigEndian = false
    }

    /// Takes the values of the arguments; nil and null for those that were not given.
    init(subtype: Value?, format: Value?, byteOrder: Value?) throws(ServerError) {
        self.subtype = try subtype.map { (value) throws(ServerError) in try BinaryConversion.subtype(value) } ?? 0
        self.format = try BinaryConversion.format(format)
        isBigEndian = try BinaryConversion.isBigEndian(byteOrder)
    }

    private static func subtype(_ value: Value) throws(ServerError) -> UInt8 {
        guard Number(value) != nil else {
            throw ServerError(
                location: 4_341_108, "$convert's 'subtype' argument must be a number, but is \(typeName(value))")
        }
        guard let number = value.asInteger else {
            throw ServerError(location: 4_341_106, "In $convert, numeric 'subtype' argument is not an integer")
        }
        guard let subtype = UInt8(exactly: number), subtype <= 9 || subtype >= 128 else {
            throw ServerError(
                location: 4_341_107,
                "In $convert, numeric value for 'subtype' does not correspond to a BinData type: \(number)")
        }
        return subtype
    }

    private static func format(_ value: Value?) throws(ServerError) -> Format? {
        if isNullish(value) { return nil }
        guard case .string(let name) = value else {
            throw ServerError(
                location: 4_341_114, "$convert requires that 'format' be a string, found: \(typeName(value))")
        }
        guard let format = Format(rawValue: name) else {
            throw ServerError(location: 4_341_125, "Invalid 'format' argument for $convert: \(name)")
        }
        return format
    }

    private static func isBigEndian(_ value: Value?) throws(ServerError) -> Bool {
        if isNullish(value) { return false }
        guard case .string(let name) = value else {
            throw ServerError(
                location: 9_130_001, "$convert requires that 'byteOrder' be a string, found: \(typeName(value))")
        }
        guard name == "little" || name == "big" else {
            throw ServerError(location: 9_130_002, "Invalid 'byteOrder' argument for $convert: \(name)")
        }
        return name == "big"
    }

    private func failure(_ message: String) -> ServerError {
        ServerError(.conversionFailure, "\(message) in $convert with no onError value")
    }

    private func wanted(_ what: String) throws(ServerError) -> Format {
        guard let format else {
            throw ServerError(location: 4_341_115, "Format must be specified when converting \(what)")
        }
        return format
    }

    // MARK: Text

    /// The bytes that a string stands for.
    func bytes(_ text: String) throws(ServerError) -> [UInt8] {
        let format = try wanted("from 'string' to 'binData'")
        guard (format == .uuid) == (subtype == BinaryConversion.uuidSubtype), format != .automatic else {
            throw failure("The format '\(format.rawValue)' cannot make binData of subtype \(subtype)")
        }
        let decoded: [UInt8]? =
            switch format {
            case .utf8: [UInt8](text.utf8)
            case .hex: BinaryConversion.hexadecimal(text.utf8)
            case .base64: Base64.decode(text)
            case .base64url: Base64.decode(text, isForURLs: true)
            case .uuid: BinaryConversion.uuid(text)
            case .automatic: nil
            }
        guard let decoded else { throw failure("Failed to parse BinData '\(text.prefix(100))'") }
        return decoded
    }

    /// How bytes of a subtype look.
    func text(_ bytes: [UInt8], subtype: UInt8) throws(ServerError) -> String {
        let isUUID = subtype == BinaryConversion.uuidSubtype
        switch try wanted("from 'binData' to 'string'") {
        case .automatic: return isUUID && bytes.count == 16 ? BinaryConversion.uuid(bytes) : Base64.text(bytes)
        case .base64: return Base64.text(bytes)
        case .base64url: return Base64.text(bytes, isForURLs: true)
        case .hex: return bytes.map { BinaryConversion.hexadecimal($0, uppercase: true) }.joined()
        case .utf8:
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw failure("BinData does not represent a valid UTF-8 string")
            }
            return text
        case .uuid:
            guard isUUID, bytes.count == 16 else { throw failure("Input is not a valid UUID") }
            return BinaryConversion.uuid(bytes)
        }
    }

    private static func hexadecimal(_ byte: UInt8, uppercase: Bool) -> String {
        let text = String(byte, radix: 16, uppercase: uppercase)
        return text.utf8.count < 2 ? "0" + text : text
    }

    private static func hexadecimal(_ digits: some Collection<UInt8>) -> [UInt8]? {
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in digits {
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
            let nibble = UInt8(truncatingIfNeeded: value)
            if let first = high {
                bytes.append(first << 4 | nibble)
                high = nil
            } else {
                high = nibble
            }
        }
        return bytes
    }

    private static let groups = [8, 4, 4, 4, 12]

    private static func uuid(_ text: String) -> [UInt8]? {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.map(\.count) == groups else { return nil }
        return hexadecimal(parts.joined().map { $0 })
    }

    private static func uuid(_ bytes: [UInt8]) -> String {
        var digits = bytes.map { hexadecimal($0, uppercase: false) }.joined()[...]
        return groups.map { count in
            defer { digits = digits.dropFirst(count) }
            return String(digits.prefix(count))
        }.joined(separator: "-")
    }

    // MARK: Numbers

    /// The bytes of a number; nil when it has no such form.
    func bytes(of value: Value) -> [UInt8]? {
        let bytes: [UInt8]
        switch value {
        case .int32(let number): bytes = withUnsafeBytes(of: number.littleEndian) { Array($0) }
        case .int64(let number): bytes = withUnsafeBytes(of: number.littleEndian) { Array($0) }
        case .double(let number): bytes = withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) }
        default: return nil
        }
        return isBigEndian ? bytes.reversed() : bytes
    }

    /// A whole number of 1, 2, 4 or 8 bytes, `most` of them.
    func integer(_ bytes: [UInt8], most: Int) -> Int64? {
        guard [1, 2, 4, 8].contains(bytes.count), bytes.count <= most else { return nil }
        let bits = pattern(bytes)
        let shift = UInt64(64 - 8 * bytes.count)
        return Int64(bitPattern: bits << shift) >> Int64(shift)
    }

    /// A double of 4 or 8 bytes.
    func double(_ bytes: [UInt8]) -> Double? {
        switch bytes.count {
        case 4: Double(Float(bitPattern: UInt32(truncatingIfNeeded: pattern(bytes))))
        case 8: Double(bitPattern: pattern(bytes))
        default: nil
        }
    }

    private func pattern(_ bytes: [UInt8]) -> UInt64 {
        (isBigEndian ? bytes : bytes.reversed()).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
