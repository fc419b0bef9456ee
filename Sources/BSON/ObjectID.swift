/// A 12-byte object id: 4 bytes of seconds, 5 random bytes, a 3-byte counter, all big-endian. Ordered by its bytes.
public struct ObjectID: Hashable, Comparable, Sendable {
    /// The first eight bytes, big-endian, and the last four.
    @usableFromInline let high: UInt64
    @usableFromInline let low: UInt32

    @inlinable public init(high: UInt64, low: UInt32) {
        self.high = high
        self.low = low
    }

    /// Reads twelve bytes at `pointer`.
    @inlinable public init(loadingFrom pointer: UnsafeRawPointer) {
        high = UInt64(bigEndian: pointer.loadUnaligned(as: UInt64.self))
        low = UInt32(bigEndian: pointer.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    /// Parses 24 hexadecimal digits; nil for anything else.
    public init?(_ hex: String) {
        var bytes: [UInt8] = []
        guard hex.utf8.count == 24 else { return nil }
        var half: UInt8?
        for character in hex.utf8 {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = character - UInt8(ascii: "A") + 10
            default: return nil
            }
            if let first = half {
                bytes.append(first << 4 | digit)
                half = nil
            } else {
                half = digit
            }
        }
        self = bytes.withUnsafeBytes { ObjectID(loadingFrom: $0.baseAddress!) }
    }

    /// Writes the twelve bytes to `pointer`.
    @inlinable public func store(to pointer: UnsafeMutableRawPointer) {
        pointer.storeBytes(of: high.bigEndian, as: UInt64.self)
        pointer.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt32.self)
    }

    /// Seconds since 1970 at which the id was made.
    @inlinable public var seconds: UInt32 { UInt32(truncatingIfNeeded: high >> 32) }

    @inlinable public static func < (a: ObjectID, b: ObjectID) -> Bool {
        a.high != b.high ? a.high < b.high : a.low < b.low
    }

    /// The 24 lower-case hexadecimal digits.
    public var hexString: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 12)
        bytes.withUnsafeMutableBytes { store(to: $0.baseAddress!) }
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension ObjectID: CustomStringConvertible {
    public var description: String { hexString }
}
