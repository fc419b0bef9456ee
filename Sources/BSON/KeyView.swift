#if canImport(Glibc)
    internal import Glibc
#endif

/// A field name in place: UTF-8 bytes without the terminator. Valid as long as the document that it points into.
@frozen public struct KeyView {
    public let base: UnsafeRawPointer
    public let count: Int

    @inlinable public init(base: UnsafeRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    /// A name known at compile time, valid forever.
    @inline(__always) public init(_ name: StaticString) {
        base = UnsafeRawPointer(name.utf8Start)
        count = name.utf8CodeUnitCount
    }

    /// The bytes as a name; an empty one when there are none.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        count = bytes.count
    }

    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    public var string: String { String(decoding: bytes, as: UTF8.self) }
    /// Whether the name starts with `$`.
    @inlinable public var isOperator: Bool { count > 0 && base.load(as: UInt8.self) == UInt8(ascii: "$") }

    @inline(__always) public static func == (a: KeyView, b: KeyView) -> Bool {
        a.count == b.count && memcmp(a.base, b.base, a.count) == 0
    }
    @inline(__always) public static func == (a: KeyView, b: StaticString) -> Bool {
        a.count == b.utf8CodeUnitCount && memcmp(a.base, b.utf8Start, a.count) == 0
    }
    @inline(__always) public static func ~= (pattern: StaticString, key: KeyView) -> Bool { key == pattern }
}
