/// Appends the elements of one array, numbering them.
public struct ArrayWriter {
    public let writer: DocumentWriter
    /// Elements written so far.
    @inlinable public var count: Int { number }
    @usableFromInline var number = 0
    /// The next element's name as the bytes to store: up to seven digits, the first one lowest, then NUL bytes.
    @usableFromInline var name: UInt64 = 0x30
    @usableFromInline var digits = 1

    /// The names of this many elements fit a word.
    @inlinable static var wordNames: Int { 10_000_000 }

    @inlinable @inline(__always) init(_ writer: DocumentWriter) { self.writer = writer }

    /// Starts an array at the end of `buffer`, for one that is not part of a document yet; `writer.finish()` ends it.
    public init(startingIn buffer: ByteBuffer) { writer = DocumentWriter(startingIn: buffer) }

    /// The same for elements that will stand behind `count` others.
    init(startingIn buffer: ByteBuffer, at count: Int) {
        writer = DocumentWriter(startingIn: buffer)
        number = max(count, 0)
        let text = Array(String(number).utf8)
        digits = text.count
        guard number < ArrayWriter.wordNames else { return }
        name = 0
        for digit in text.reversed() { name = name << 8 | UInt64(digit) }
    }

    /// The same array in another buffer, to which its bytes were copied: it begins at `start` there.
    public func moved(to start: Int, in buffer: ByteBuffer) -> ArrayWriter {
        var moved = ArrayWriter(DocumentWriter(continuing: start, in: buffer))
        (moved.number, moved.name, moved.digits) = (number, name, digits)
        return moved
    }

    /// Ends an array that `beginArray` started.
    @inline(__always) public func finish() { writer.finish() }

    /// Writes type byte and name and returns where `payload` bytes go.
    @inlinable @inline(__always) mutating func header(_ type: BSONType, payload: Int) -> UnsafeMutableRawPointer {
        header(rawType: type.rawValue, payload: payload)
    }
    @inlinable @inline(__always) mutating func header(rawType type: UInt8, payload: Int) -> UnsafeMutableRawPointer {
        guard number < ArrayWriter.wordNames else { return longHeader(type, payload: payload) }
        let length = digits &+ 2
        writer.state.pointee.reserve(payload &+ (length &+ 8))  // the name is stored as a whole word
        let at = writer.state.pointee.extend(by: length &+ payload)
        at.storeBytes(of: type, as: UInt8.self)
        (at + 1).storeBytes(of: name.littleEndian, as: UInt64.self)
        number &+= 1
        let last = UInt64(truncatingIfNeeded: 8 &* (digits &- 1))
        name &+= 1 &<< last
        if name &>> last & 0xFF == 0x3A { carry() }
        return at + length
    }

    /// The last digit went beyond nine.
    @usableFromInline mutating func carry() {
        var position = digits - 1
        while position >= 0, name >> UInt64(8 * position) & 0xFF == 0x3A {
            name &-= 10 << UInt64(8 * position)
            position -= 1
            if position >= 0 { name &+= 1 << UInt64(8 * position) }
        }
        if position < 0 {
            name = name << 8 | 0x31
            digits += 1
        }
    }

    @usableFromInline mutating func longHeader(_ type: UInt8, payload: Int) -> UnsafeMutableRawPointer {
        let digits = Array(String(number).utf8) + [0]
        writer.buffer.append(byte: type)
        writer.buffer.append(digits)
        number += 1
        return writer.buffer.extend(by: payload)
    }

    @inlinable @inline(__always) public mutating func append(int32 value: Int32) {
        header(.int32, payload: 4).storeBytes(of: value.littleEndian, as: Int32.self)
    }
    @inlinable @inline(__always) public mutating func append(int64 value: Int64) {
        header(.int64, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
    }
    @inlinable @inline(__always) public mutating func append(double value: Double) {
        header(.double, payload: 8).storeBytes(of: value.bitPattern.littleEndian, as: UInt64.self)
    }
    @inlinable @inline(__always) public mutating func append(objectID value: ObjectID) {
        value.store(to: header(.objectID, payload: 12))
    }
    @inlinable @inline(__always) public mutating func append(timestamp value: Timestamp) {
        header(.timestamp, payload: 8).storeBytes(of: value.rawValue.littleEndian, as: UInt64.self)
    }
    @inlinable @inline(__always) public mutating func append(utf8 value: UnsafeRawBufferPointer) {
        DocumentWriter.store(utf8: value, at: header(.string, payload: value.count + 5))
    }
    @inlinable @inline(__always) public mutating func append(string value: StaticString) {
        append(utf8: UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }
    public mutating func append(string value: String) {
        var value = value
        value.withUTF8 { append(utf8: UnsafeRawBufferPointer($0)) }
    }
    public mutating func append(binary bytes: UnsafeRawBufferPointer, subtype: UInt8 = 0) {
        let at = header(.binary, payload: bytes.count + 5)
        at.storeBytes(of: Int32(truncatingIfNeeded: bytes.count).littleEndian, as: Int32.self)
        (at + 4).storeBytes(of: subtype, as: UInt8.self)
        if let source = bytes.baseAddress { (at + 5).copyMemory(from: source, byteCount: bytes.count) }
    }
    @inlinable @inline(__always) public mutating func append(_ value: DocumentView) {
        let size = value.byteCount
        header(.document, payload: size).copyMemory(from: value.base, byteCount: size)
    }
    @inlinable @inline(__always) public mutating func append(_ value: ValueView) {
        header(rawType: value.rawType, payload: value.byteCount).copyMemory(
            from: value.pointer, byteCount: value.byteCount)
    }
    public mutating func append(_ value: Value) {
        _ = header(value.type, payload: 0)
        writer.appendPayload(value)
    }
    public mutating func append(_ value: Document) { value.withView { append($0) } }

    /// Starts a nested document, which the caller finishes before the next element.
    public mutating func beginDocument() -> DocumentWriter {
        _ = header(.document, payload: 0)
        return DocumentWriter(startingIn: writer.buffer)
    }
    /// Writes a nested document.
    @inlinable @inline(__always) public mutating func document(_ build: (DocumentWriter) throws -> Void) rethrows {
        _ = header(.document, payload: 0)
        let nested = DocumentWriter(startingIn: writer.buffer)
        try build(nested)
        nested.finish()
    }
    /// Writes a nested array.
    @inlinable @inline(__always) public mutating func array(_ build: (inout ArrayWriter) throws -> Void) rethrows {
        _ = header(.array, payload: 0)
        var nested = ArrayWriter(DocumentWriter(startingIn: writer.buffer))
        try build(&nested)
        nested.writer.finish()
    }
}
