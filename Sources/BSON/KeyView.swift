/// A field name in place: UTF-8 bytes without the terminator. Valid as long as the document that it points into.
@frozen public struct KeyView {
    public let base: UnsafeRawPointer
    public let count: Int

    @inlinable public init(base: UnsafeRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    /// A name known at compile time, valid forever.
    @inlinable @inline(__always) public init(_ name: StaticString) {
        base = UnsafeRawPointer(name.utf8Start)
        count = name.utf8CodeUnitCount
    }

    /// The bytes as a name; an empty one when there are none.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        count = bytes.count
    }

    /// Calls `body` with a name built at run time, valid during the call.
    @inlinable @inline(__always) public static func with<R>(_ name: String, _ body: (KeyView) throws -> R) rethrows -> R
    {
        var name = name
        return try name.withUTF8 { utf8 in
            try body(utf8.baseAddress.map { KeyView(base: $0, count: utf8.count) } ?? KeyView(""))
        }
    }

    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    public var string: String { String(decoding: bytes, as: UTF8.self) }
    /// Whether the name starts with `$`.
    @inlinable public var isOperator: Bool { count > 0 && base.load(as: UInt8.self) == UInt8(ascii: "$") }

    @inlinable @inline(__always) public static func == (a: KeyView, b: KeyView) -> Bool {
        a.count == b.count && haveEqualBytes(a.base, b.base, count: a.count)
    }
    @inlinable @inline(__always) public static func == (a: KeyView, b: StaticString) -> Bool {
        a == KeyView(b)
    }
    @inlinable @inline(__always) public static func ~= (pattern: StaticString, key: KeyView) -> Bool { key == pattern }
}

/// `memcmp` for equality, inlined: names are a word or two, and a call costs more than comparing them.
@inlinable @inline(__always)
func haveEqualBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, count: Int) -> Bool {
    var at = 0
    while count &- at >= 8 {
        let left = a.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        if left != b.loadUnaligned(fromByteOffset: at, as: UInt64.self) { return false }
        at &+= 8
    }
    while at < count {
        if a.load(fromByteOffset: at, as: UInt8.self) != b.load(fromByteOffset: at, as: UInt8.self) { return false }
        at &+= 1
    }
    return true
}
