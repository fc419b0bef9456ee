/// A validated BSON document in place: no copy, no parse. Valid as long as the bytes it points into stay where they
/// are; never kept beyond the synchronous step that made it.
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
    @inlinable public subscript(key: StaticString) -> ValueView? { find(KeyView(key)) }

    /// The value of the first field called `key`, or nil. Inlined, because a literal takes this overload.
    @inlinable @inline(__always) public subscript(key: String) -> ValueView? { KeyView.with(key) { find($0) } }

    public func find(_ name: UnsafePointer<UInt8>, count: Int) -> ValueView? {
        find(KeyView(base: name, count: count))
    }

    public func find(_ name: UnsafeRawPointer, count: Int) -> ValueView? { find(KeyView(base: name, count: count)) }

    /// The value of the first field called `key`, or nil.
    public func find(_ key: KeyView) -> ValueView? {
        for element in self where element.key == key { return element.value }
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
        /// The document's terminator.
        @usableFromInline let end: UnsafeRawPointer

        @inlinable init(at: UnsafeRawPointer, end: UnsafeRawPointer) {
            self.at = at
            self.end = end
        }

        /// Starts at a field of `document`, `offset` bytes from its beginning.
        @inlinable public init(of document: DocumentView, at offset: Int) {
            self.init(at: document.base + offset, end: document.base + (document.byteCount &- 1))
        }

        /// Where the next field of `document` starts, in bytes from its beginning.
        @inlinable public func offset(in document: DocumentView) -> Int { at - document.base }

        @inlinable public mutating func next() -> Element? {
            guard at < end else { return nil }
            let type = at.load(as: UInt8.self)
            let name = at + 1
            let length = nameLength(name)
            let payload = name + (length &+ 1)
            let size = ValueView.payloadSize(type: type, at: payload)
            at = payload + size
            return Element(
                key: KeyView(base: name, count: length),
                value: ValueView(rawType: type, pointer: payload, byteCount: size))
        }

        /// Looks for the NUL byte a word at a time, as long as the document has whole words left.
        @inlinable @inline(__always) func nameLength(_ name: UnsafeRawPointer) -> Int {
            var length = 0
            let left = end - name
            while length &+ 7 <= left {
                let word = UInt64(littleEndian: name.loadUnaligned(fromByteOffset: length, as: UInt64.self))
                let zeros = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
                if zeros != 0 { return length &+ zeros.trailingZeroBitCount &>> 3 }
                length &+= 8
            }
            while name.load(fromByteOffset: length, as: UInt8.self) != 0 { length &+= 1 }
            return length
        }
    }

    @inlinable public func makeIterator() -> Iterator { Iterator(at: base + 4, end: base + (byteCount &- 1)) }
}
