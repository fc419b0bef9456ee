public import BSON

/// The identity of a collection, the same on every member: a version 4 UUID. A collection that is dropped and created
/// again has another.
public struct CollectionUUID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new one.
    public init(_ runtime: any NodeRuntime) {
        high = runtime.randomNumber() & ~0xF000 | 0x4000
        low = runtime.randomNumber() & ~(3 << 62) | (2 << 62)
    }

    /// Reads a binary value of subtype 4; nil for anything else.
    public init?(_ value: ValueView?) {
        guard let (subtype, bytes) = value?.asBinary, subtype == 4, bytes.count == 16, let base = bytes.baseAddress
        else {
            return nil
        }
        high = UInt64(bigEndian: base.loadUnaligned(as: UInt64.self))
        low = UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Calls `body` with the sixteen bytes.
    @inline(__always)
    public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        var bytes = (high.bigEndian, low.bigEndian)
        return try withUnsafeBytes(of: &bytes) { try body($0) }
    }

    /// The value as documents carry it.
    public var value: Value { .binary(subtype: 4, withBytes { [UInt8]($0) }) }

    public static func < (a: CollectionUUID, b: CollectionUUID) -> Bool {
        (a.high, a.low) < (b.high, b.low)
    }

    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        withBytes { bytes in
            for (index, byte) in bytes.enumerated() {
                if index == 4 || index == 6 || index == 8 || index == 10 { text.append(UInt8(ascii: "-")) }
                text.append(digits[Int(byte >> 4)])
                text.append(digits[Int(byte & 15)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension DocumentWriter {
    /// Writes it as binary data of subtype 4.
    @inline(__always) public func append(_ key: StaticString, _ uuid: CollectionUUID) {
        uuid.withBytes { append(key, binary: $0, subtype: 4) }
    }
}
