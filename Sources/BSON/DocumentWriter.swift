/// Appends one document to a `ByteBuffer`, field by field, in place: no intermediate values, no second copy.
///
/// The document starts where the writer was made and ends with `finish()`, which writes its length. Nested documents are
/// written by `document(_:_:)` and `array(_:_:)`. Field names must not hold a NUL byte.
public struct DocumentWriter {
    public let buffer: ByteBuffer
    /// Offset of the document's length in the buffer.
    public let start: Int

    /// Starts a document at the end of `buffer`.
    @inline(__always) public init(startingIn buffer: ByteBuffer) {
        self.buffer = buffer
        start = buffer.count
        buffer.append(littleEndian: Int32(0))
    }

    /// Continues a document that fills `buffer` from its first byte, without its last terminator.
    init(continuingIn buffer: ByteBuffer) {
        self.buffer = buffer
        start = 0
    }

    /// Ends the document: terminator and length.
    @inline(__always) public func finish() {
        buffer.append(byte: 0)
        buffer.set(littleEndian: Int32(truncatingIfNeeded: buffer.count - start), at: start)
    }

    @inline(__always) private func header(_ type: BSONType, _ key: StaticString, payload: Int) -> UnsafeMutableRawPointer {
        let length = key.utf8CodeUnitCount
        let at = buffer.extend(by: length + 2 + payload)
        at.storeBytes(of: type.rawValue, as: UInt8.self)
        (at + 1).copyMemory(from: key.utf8Start, byteCount: length)
        (at + 1 + length).storeBytes(of: 0, as: UInt8.self)
        return at + length + 2
    }
    @inline(__always) private func header(_ type: BSONType, _ key: KeyView, payload: Int) -> UnsafeMutableRawPointer {
        let at = buffer.extend(by: key.count + 2 + payload)
        at.storeBytes(of: type.rawValue, as: UInt8.self)
        (at + 1).copyMemory(from: key.base, byteCount: key.count)
        (at + 1 + key.count).storeBytes(of: 0, as: UInt8.self)
        return at + key.count + 2
    }
    private func header(_ type: BSONType, _ key: String, payload: Int) -> UnsafeMutableRawPointer {
        var key = key
        return key.withUTF8 { name in
            let empty: StaticString = ""
            let base = name.baseAddress.map { UnsafeRawPointer($0) } ?? UnsafeRawPointer(empty.utf8Start)
            return header(type, KeyView(base: base, count: name.count), payload: payload)
        }
    }

    // MARK: Names known at compile time: the hot path

    @inline(__always) public func append(_ key: StaticString, int32 value: Int32) {
        header(.int32, key, payload: 4).storeBytes(of: value.littleEndian, as: Int32.self)
    }
    @inline(__always) public func append(_ key: StaticString, int64 value: Int64) {
        header(.int64, key, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
    }
    @inline(__always) public func append(_ key: StaticString, double value: Double) {
        header(.double, key, payload: 8).storeBytes(of: value.bitPattern.littleEndian, as: UInt64.self)
    }
    @inline(__always) public func append(_ key: StaticString, bool value: Bool) {
        header(.bool, key, payload: 1).storeBytes(of: value ? 1 : 0, as: UInt8.self)
    }
    @inline(__always) public func append(_ key: StaticString, timestamp value: Timestamp) {
        header(.timestamp, key, payload: 8).storeBytes(of: value.rawValue.littleEndian, as: UInt64.self)
    }
    @inline(__always) public func append(_ key: StaticString, dateTime value: Int64) {
        header(.dateTime, key, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
    }
    @inline(__always) public func append(_ key: StaticString, objectID value: ObjectID) {
        value.store(to: header(.objectID, key, payload: 12))
    }
    @inline(__always) public func appendNull(_ key: StaticString) { _ = header(.null, key, payload: 0) }
    @inline(__always) public func append(_ key: StaticString, _ value: ValueView) {
        header(value.type, key, payload: value.byteCount).copyMemory(from: value.pointer, byteCount: value.byteCount)
    }
    @inline(__always) public func append(_ key: StaticString, _ value: DocumentView) {
        let size = value.byteCount
        header(.document, key, payload: size).copyMemory(from: value.base, byteCount: size)
    }
    @inline(__always) public func append(_ key: StaticString, array value: DocumentView) {
        let size = value.byteCount
        header(.array, key, payload: size).copyMemory(from: value.base, byteCount: size)
    }
    @inline(__always) public func append(_ key: StaticString, utf8 value: UnsafeRawBufferPointer) {
        let at = header(.string, key, payload: value.count + 5)
        at.storeBytes(of: Int32(truncatingIfNeeded: value.count + 1).littleEndian, as: Int32.self)
        if let source = value.baseAddress { (at + 4).copyMemory(from: source, byteCount: value.count) }
        (at + 4 + value.count).storeBytes(of: 0, as: UInt8.self)
    }
    @inline(__always) public func append(_ key: StaticString, string value: StaticString) {
        append(key, utf8: UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }
    public func append(_ key: StaticString, string value: String) {
        var value = value
        value.withUTF8 { append(key, utf8: UnsafeRawBufferPointer($0)) }
    }
    public func append(_ key: StaticString, binary bytes: UnsafeRawBufferPointer, subtype: UInt8 = 0) {
        let at = header(.binary, key, payload: bytes.count + 5)
        at.storeBytes(of: Int32(truncatingIfNeeded: bytes.count).littleEndian, as: Int32.self)
        (at + 4).storeBytes(of: subtype, as: UInt8.self)
        if let source = bytes.baseAddress { (at + 5).copyMemory(from: source, byteCount: bytes.count) }
    }
    public func append(_ key: StaticString, _ value: Document) { value.withView { append(key, $0) } }

    /// Writes a nested document.
    @inline(__always) public func document(_ key: StaticString, _ build: (DocumentWriter) throws -> Void) rethrows {
        _ = header(.document, key, payload: 0)
        let nested = DocumentWriter(startingIn: buffer)
        try build(nested)
        nested.finish()
    }
    /// Writes a nested array.
    @inline(__always) public func array(_ key: StaticString, _ build: (inout ArrayWriter) throws -> Void) rethrows {
        _ = header(.array, key, payload: 0)
        var nested = ArrayWriter(DocumentWriter(startingIn: buffer))
        try build(&nested)
        nested.writer.finish()
    }

    /// Starts a nested array that outlives a closure: a reply that is built in slices. Ended by `ArrayWriter.finish()`.
    @inline(__always) public func beginArray(_ key: StaticString) -> ArrayWriter {
        _ = header(.array, key, payload: 0)
        return ArrayWriter(DocumentWriter(startingIn: buffer))
    }

    // MARK: Names in place or built at run time

    @inline(__always) public func append(_ key: KeyView, _ value: ValueView) {
        header(value.type, key, payload: value.byteCount).copyMemory(from: value.pointer, byteCount: value.byteCount)
    }
    public func append(_ key: String, _ value: ValueView) {
        header(value.type, key, payload: value.byteCount).copyMemory(from: value.pointer, byteCount: value.byteCount)
    }
    public func append(_ key: KeyView, _ value: Value) { append(key.string, value) }
    public func append(_ key: String, _ value: Value) {
        switch value {
        case .double(let value):
            header(.double, key, payload: 8).storeBytes(of: value.bitPattern.littleEndian, as: UInt64.self)
        case .string(let value): append(.string, key, text: value)
        case .symbol(let value): append(.symbol, key, text: value)
        case .javascript(let value): append(.javascript, key, text: value)
        case .document(let value):
            value.storage.withUnsafeBytes {
                header(.document, key, payload: $0.count).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        case .array(let value):
            value.storage.withUnsafeBytes {
                header(.array, key, payload: $0.count).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        case .binary(let subtype, let value):
            let inner = subtype == 2 ? 4 : 0
            let at = header(.binary, key, payload: value.count + 5 + inner)
            at.storeBytes(of: Int32(truncatingIfNeeded: value.count + inner).littleEndian, as: Int32.self)
            (at + 4).storeBytes(of: subtype, as: UInt8.self)
            if inner > 0 {
                (at + 5).storeBytes(of: Int32(truncatingIfNeeded: value.count).littleEndian, as: Int32.self)
            }
            value.withUnsafeBytes {
                if let source = $0.baseAddress { (at + 5 + inner).copyMemory(from: source, byteCount: $0.count) }
            }
        case .undefined: _ = header(.undefined, key, payload: 0)
        case .null: _ = header(.null, key, payload: 0)
        case .minKey: _ = header(.minKey, key, payload: 0)
        case .maxKey: _ = header(.maxKey, key, payload: 0)
        case .objectID(let value): value.store(to: header(.objectID, key, payload: 12))
        case .bool(let value): header(.bool, key, payload: 1).storeBytes(of: value ? 1 : 0, as: UInt8.self)
        case .dateTime(let value):
            header(.dateTime, key, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
        case .regex(let pattern, let options):
            _ = header(.regex, key, payload: 0)
            buffer.append(Array(pattern.utf8) + [0] + Array(options.utf8) + [0])
        case .dbPointer(let namespace, let id):
            append(.dbPointer, key, text: namespace)
            id.store(to: buffer.extend(by: 12))
        case .javascriptWithScope(let code, let scope):
            let bytes = Array(code.utf8)
            _ = header(.javascriptWithScope, key, payload: 0)
            buffer.append(littleEndian: Int32(truncatingIfNeeded: 4 + 4 + bytes.count + 1 + scope.byteCount))
            buffer.append(littleEndian: Int32(truncatingIfNeeded: bytes.count + 1))
            buffer.append(bytes + [0])
            buffer.append(scope.storage)
        case .int32(let value): header(.int32, key, payload: 4).storeBytes(of: value.littleEndian, as: Int32.self)
        case .timestamp(let value):
            header(.timestamp, key, payload: 8).storeBytes(of: value.rawValue.littleEndian, as: UInt64.self)
        case .int64(let value): header(.int64, key, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
        case .decimal128(let value):
            let at = header(.decimal128, key, payload: 16)
            at.storeBytes(of: value.low.littleEndian, as: UInt64.self)
            (at + 8).storeBytes(of: value.high.littleEndian, as: UInt64.self)
        }
    }

    private func append(_ type: BSONType, _ key: String, text: String) {
        var text = text
        text.withUTF8 { utf8 in
            let at = header(type, key, payload: utf8.count + 5)
            at.storeBytes(of: Int32(truncatingIfNeeded: utf8.count + 1).littleEndian, as: Int32.self)
            if let source = utf8.baseAddress { (at + 4).copyMemory(from: source, byteCount: utf8.count) }
            (at + 4 + utf8.count).storeBytes(of: 0, as: UInt8.self)
        }
    }

    /// Writes a nested document under a name built at run time.
    public func document(_ key: String, _ build: (DocumentWriter) throws -> Void) rethrows {
        _ = header(.document, key, payload: 0)
        let nested = DocumentWriter(startingIn: buffer)
        try build(nested)
        nested.finish()
    }
    /// Writes a nested array under a name built at run time.
    public func array(_ key: String, _ build: (inout ArrayWriter) throws -> Void) rethrows {
        _ = header(.array, key, payload: 0)
        var nested = ArrayWriter(DocumentWriter(startingIn: buffer))
        try build(&nested)
        nested.writer.finish()
    }
}

/// Appends the elements of one array, numbering them.
public struct ArrayWriter {
    public let writer: DocumentWriter
    public private(set) var count = 0

    @inline(__always) init(_ writer: DocumentWriter) { self.writer = writer }

    /// Ends an array that `beginArray` started.
    @inline(__always) public func finish() { writer.finish() }

    @inline(__always) private mutating func header(_ type: BSONType) {
        let buffer = writer.buffer
        buffer.append(byte: type.rawValue)
        var digits = count < 10 ? 1 : 2
        var bound = 100
        while count >= bound && digits > 1 {
            digits += 1
            bound *= 10
        }
        let at = buffer.extend(by: digits + 1)
        var rest = count
        for index in stride(from: digits - 1, through: 0, by: -1) {
            (at + index).storeBytes(of: UInt8(48 + rest % 10), as: UInt8.self)
            rest /= 10
        }
        (at + digits).storeBytes(of: 0, as: UInt8.self)
        count += 1
    }

    @inline(__always) public mutating func append(_ value: DocumentView) {
        header(.document)
        writer.buffer.append(value.base, count: value.byteCount)
    }
    @inline(__always) public mutating func append(_ value: ValueView) {
        header(value.type)
        writer.buffer.append(value.pointer, count: value.byteCount)
    }
    public mutating func append(_ value: Value) {
        writer.append(String(count), value)
        count += 1
    }
    public mutating func append(string value: String) { append(.string(value)) }
    public mutating func append(_ value: Document) { value.withView { append($0) } }
    /// Writes a nested document.
    @inline(__always) public mutating func document(_ build: (DocumentWriter) throws -> Void) rethrows {
        header(.document)
        let nested = DocumentWriter(startingIn: writer.buffer)
        try build(nested)
        nested.finish()
    }
}
