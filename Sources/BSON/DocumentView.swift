#if canImport(Glibc)
    internal import Glibc
#endif

/// A validated BSON document in place: no copy, no parse. Valid as long as the bytes it points into stay where they are;
/// never kept beyond the synchronous step that made it.
///
/// Every accessor trusts the bytes, so a view is only made of bytes that `validate` has accepted or that we wrote.
@frozen public struct DocumentView {
    public let base: UnsafeRawPointer

    @inlinable public init(base: UnsafeRawPointer) { self.base = base }

    /// Length in bytes, its own four length bytes included.
    @inlinable public var byteCount: Int { Int(Int32(littleEndian: base.loadUnaligned(as: Int32.self))) }
    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }
    @inlinable public var isEmpty: Bool { byteCount <= 5 }

    /// The value of the first field called `key`, or nil.
    @inlinable public subscript(key: StaticString) -> ValueView? {
        find(key.utf8Start, count: key.utf8CodeUnitCount)
    }

    /// The value of the first field called `key`, or nil.
    public subscript(key: String) -> ValueView? {
        var key = key
        return key.withUTF8 { name in
            name.baseAddress.map { find($0, count: name.count) } ?? find(base, count: 0)
        }
    }

    public func find(_ name: UnsafePointer<UInt8>, count: Int) -> ValueView? {
        find(UnsafeRawPointer(name), count: count)
    }

    public func find(_ name: UnsafeRawPointer, count: Int) -> ValueView? {
        for element in self where element.key.count == count && memcmp(element.key.base, name, count) == 0 {
            return element.value
        }
        return nil
    }

    /// A document without fields.
    public static var empty: DocumentView {
        DocumentView(base: UnsafeRawPointer(("\u{5}\0\0\0\0" as StaticString).utf8Start))
    }

    /// The number of fields; walks the document.
    public var fieldCount: Int {
        var count = 0
        for _ in self { count += 1 }
        return count
    }

    /// The first field, which names the command in a command document.
    @inlinable public var first: Element? {
        var iterator = makeIterator()
        return iterator.next()
    }

    /// A copy that owns its bytes.
    public var document: Document { Document(copying: self) }
}

extension DocumentView: Sequence {
    /// One field: its name and its value, both in place.
    @frozen public struct Element {
        public let key: KeyView
        public let value: ValueView
        @inlinable public init(key: KeyView, value: ValueView) {
            self.key = key
            self.value = value
        }
    }

    @frozen public struct Iterator: IteratorProtocol {
        @usableFromInline var at: UnsafeRawPointer
        @usableFromInline let end: UnsafeRawPointer

        @inlinable init(at: UnsafeRawPointer, end: UnsafeRawPointer) {
            self.at = at
            self.end = end
        }

        @inlinable public mutating func next() -> Element? {
            guard at < end else { return nil }
            let type = at.load(as: UInt8.self)
            let name = at + 1
            var length = 0
            while name.load(fromByteOffset: length, as: UInt8.self) != 0 { length += 1 }
            let payload = name + length + 1
            let size = ValueView.payloadSize(type: type, at: payload)
            at = payload + size
            return Element(
                key: KeyView(base: name, count: length),
                value: ValueView(type: BSONType(rawValue: type)!, pointer: payload, byteCount: size))
        }
    }

    @inlinable public func makeIterator() -> Iterator { Iterator(at: base + 4, end: base + byteCount - 1) }
}
