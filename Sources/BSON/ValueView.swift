#if canImport(Glibc)
    internal import Glibc
#endif

/// One BSON value in place: its type and its payload bytes. Valid as long as the document it points into.
@frozen public struct ValueView {
    /// The type byte; kept raw because an enumeration is rebuilt from it by search.
    public let rawType: UInt8
    public let pointer: UnsafeRawPointer
    /// Size of the payload in bytes (for strings and documents with their length prefix).
    public let byteCount: Int

    @inlinable public init(type: BSONType, pointer: UnsafeRawPointer, byteCount: Int) {
        self.init(rawType: type.rawValue, pointer: pointer, byteCount: byteCount)
    }
    @inlinable init(rawType: UInt8, pointer: UnsafeRawPointer, byteCount: Int) {
        self.rawType = rawType
        self.pointer = pointer
        self.byteCount = byteCount
    }

    /// The type; validation has seen that the byte is one of its raw values.
    @inlinable public var type: BSONType { BSONType(rawValue: rawType).unsafelyUnwrapped }
    /// Whether the value is null, or undefined, which older clients sent for it.
    @inlinable @inline(__always) public var isNullish: Bool {
        rawType == BSONType.null.rawValue || rawType == BSONType.undefined.rawValue
    }
    @inlinable @inline(__always) func isOf(_ type: BSONType) -> Bool { rawType == type.rawValue }

    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: pointer, count: byteCount) }

    @inlinable static func int32(_ at: UnsafeRawPointer) -> Int {
        Int(Int32(littleEndian: at.loadUnaligned(as: Int32.self)))
    }

    /// The payload size of a value of `type` at `payload`, in a validated document.
    @inlinable @inline(__always) static func payloadSize(type: UInt8, at payload: UnsafeRawPointer) -> Int {
        switch type {
        case 0x01, 0x09, 0x11, 0x12: return 8
        case 0x02, 0x0D, 0x0E: return 4 + int32(payload)
        case 0x03, 0x04, 0x0F: return int32(payload)
        case 0x05: return 5 + int32(payload)
        case 0x07: return 12
        case 0x08: return 1
        case 0x0B: return regexSize(at: payload)
        case 0x0C: return 4 + int32(payload) + 12
        case 0x10: return 4
        case 0x13: return 16
        default: return 0
        }
    }

    /// Pattern and options, with their terminators.
    @usableFromInline static func regexSize(at payload: UnsafeRawPointer) -> Int {
        let pattern = strlen(payload.assumingMemoryBound(to: CChar.self)) + 1
        return pattern + strlen((payload + pattern).assumingMemoryBound(to: CChar.self)) + 1
    }

    // MARK: Typed access; nil when the value has another type

    @inlinable public var asDouble: Double? {
        isOf(.double) ? Double(bitPattern: UInt64(littleEndian: pointer.loadUnaligned(as: UInt64.self))) : nil
    }
    @inlinable public var asInt32: Int32? {
        isOf(.int32) ? Int32(littleEndian: pointer.loadUnaligned(as: Int32.self)) : nil
    }
    @inlinable public var asInt64: Int64? {
        isOf(.int64) ? Int64(littleEndian: pointer.loadUnaligned(as: Int64.self)) : nil
    }
    @inlinable public var asBool: Bool? { isOf(.bool) ? pointer.load(as: UInt8.self) != 0 : nil }
    @inlinable public var asObjectID: ObjectID? { isOf(.objectID) ? ObjectID(loadingFrom: pointer) : nil }
    @inlinable public var asTimestamp: Timestamp? {
        isOf(.timestamp)
            ? Timestamp(rawValue: UInt64(littleEndian: pointer.loadUnaligned(as: UInt64.self))) : nil
    }
    /// Milliseconds since 1970.
    @inlinable public var asDateTime: Int64? {
        isOf(.dateTime) ? Int64(littleEndian: pointer.loadUnaligned(as: Int64.self)) : nil
    }
    @inlinable public var asDecimal128: Decimal128? {
        guard isOf(.decimal128) else { return nil }
        return Decimal128(
            high: UInt64(littleEndian: pointer.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            low: UInt64(littleEndian: pointer.loadUnaligned(as: UInt64.self)))
    }
    @inlinable public var asDocument: DocumentView? { isOf(.document) ? DocumentView(base: pointer) : nil }
    @inlinable public var asArray: DocumentView? { isOf(.array) ? DocumentView(base: pointer) : nil }
    /// The UTF-8 bytes of a string (symbol, code), without terminator.
    @inlinable public var asStringBytes: UnsafeRawBufferPointer? {
        switch type {
        case .string, .symbol, .javascript:
            UnsafeRawBufferPointer(start: pointer + 4, count: ValueView.int32(pointer) - 1)
        default: nil
        }
    }
    public var asString: String? {
        isOf(.string) ? asStringBytes.map { String(decoding: $0, as: UTF8.self) } : nil
    }
    /// Subtype and bytes of a binary value. Subtype 2 keeps its inner length prefix out of the bytes.
    @inlinable public var asBinary: (subtype: UInt8, bytes: UnsafeRawBufferPointer)? {
        guard isOf(.binary) else { return nil }
        let subtype = pointer.load(fromByteOffset: 4, as: UInt8.self)
        let length = ValueView.int32(pointer)
        if subtype == 2, length >= 4 {
            return (2, UnsafeRawBufferPointer(start: pointer + 9, count: length - 4))
        }
        return (subtype, UnsafeRawBufferPointer(start: pointer + 5, count: length))
    }
    public var asRegex: (pattern: String, options: String)? {
        guard isOf(.regex) else { return nil }
        let pattern = pointer.assumingMemoryBound(to: CChar.self)
        let length = strlen(pattern)
        return (String(cString: pattern), String(cString: pattern + length + 1))
    }

    // MARK: Numbers of any type

    /// Any number as an integer, when it is one exactly (`3.0` is, `3.5` is not).
    public var asInteger: Int64? {
        switch type {
        case .int32: return asInt32.map(Int64.init)
        case .int64: return asInt64
        case .double: return asDouble.flatMap { Int64(exactly: $0) }
        case .decimal128: return asDecimal128.flatMap { $0.exactInt64 }
        default: return nil
        }
    }

    /// Any number as a double; a 64-bit integer or decimal may be rounded.
    public var asNumber: Double? {
        switch type {
        case .int32: return asInt32.map(Double.init)
        case .int64: return asInt64.map(Double.init)
        case .double: return asDouble
        case .decimal128: return asDecimal128.map { $0.doubleValue }
        default: return nil
        }
    }

    /// MongoDB's truth of a value: false for false, zero of any number type, null and undefined; true for the rest.
    public var isTruthy: Bool {
        switch type {
        case .bool: return asBool!
        case .null, .undefined: return false
        case .double, .int32, .int64, .decimal128: return asNumber! != 0
        default: return true
        }
    }
}
