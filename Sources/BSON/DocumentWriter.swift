/// Appends one document to a `ByteBuffer`, field by field, in place: no intermediate values, no second copy.
///
/// The document starts where the writer was made and ends with `finish()`, which writes its length. Nested documents
/// are written by `document(_:_:)` and `array(_:_:)`. Field names must not hold a NUL byte. Static names are for the
/// hot path; names in place (`KeyView`) for copying fields; names built at run time (`String`) for the rest. The buffer
/// outlives its writers: whoever wrote holds it to read it.
public struct DocumentWriter {
    public let buffer: ByteBuffer
    @usableFromInline let state: UnsafeMutablePointer<ByteBufferState>
    /// Offset of the document's length in the buffer.
    public let start: Int

    /// Starts a document at the end of `buffer`.
    @inlinable @inline(__always) public init(startingIn buffer: ByteBuffer) {
        self.buffer = buffer
        state = buffer.state
        start = state.pointee.count
        _ = state.pointee.extend(by: 4)
    }

    /// Continues a document that fills `buffer` from its first byte, without its last terminator.
    init(continuingIn buffer: ByteBuffer) {
        self.buffer = buffer
        state = buffer.state
        start = 0
    }

    /// Goes on with a document that was begun at `start` of another writer's `buffer`, or of bytes copied to it.
    public init(continuing start: Int, in buffer: ByteBuffer) {
        self.buffer = buffer
        state = buffer.state
        self.start = start
    }

    /// Ends the document: terminator and length.
    @inlinable @inline(__always) public func finish() {
        state.pointee.extend(by: 1).storeBytes(of: 0, as: UInt8.self)
        let length = Int32(truncatingIfNeeded: state.pointee.count &- start)
        (state.pointee.base + start).storeBytes(of: length.littleEndian, as: Int32.self)
    }

    /// Writes type byte and name and returns where `payload` bytes go.
    @inlinable @inline(__always) func header(_ type: BSONType, _ key: KeyView, payload: Int) -> UnsafeMutableRawPointer
    {
        header(type.rawValue, key, payload: payload)
    }
    @inlinable @inline(__always)
    func header(_ type: UInt8, _ key: KeyView, payload: Int) -> UnsafeMutableRawPointer {
        let at = state.pointee.extend(by: key.count &+ (payload &+ 2))
        at.storeBytes(of: type, as: UInt8.self)
        (at + 1).copyMemory(from: key.base, byteCount: key.count)
        (at + 1 + key.count).storeBytes(of: 0, as: UInt8.self)
        return at + key.count + 2
    }

    /// Writes length, text and terminator of a string.
    @inlinable @inline(__always) static func store(utf8 text: UnsafeRawBufferPointer, at: UnsafeMutableRawPointer) {
        at.storeBytes(of: Int32(truncatingIfNeeded: text.count + 1).littleEndian, as: Int32.self)
        if let source = text.baseAddress { (at + 4).copyMemory(from: source, byteCount: text.count) }
        (at + 4 + text.count).storeBytes(of: 0, as: UInt8.self)
    }

    // MARK: Names in place

    @inlinable @inline(__always) public func append(_ key: KeyView, int32 value: Int32) {
        header(.int32, key, payload: 4).storeBytes(of: value.littleEndian, as: Int32.self)
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, int64 value: Int64) {
        header(.int64, key, payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, double value: Double) {
        header(.double, key, payload: 8).storeBytes(of: value.bitPattern.littleEndian, as: UInt64.self)
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, bool value: Bool) {
        header(.bool, key, payload: 1).storeBytes(of: value ? 1 : 0, as: UInt8.self)
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, utf8 value: UnsafeRawBufferPointer) {
        DocumentWriter.store(utf8: value, at: header(.string, key, payload: value.count + 5))
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, _ value: ValueView) {
        header(value.rawType, key, payload: value.byteCount).copyMemory(from: value.pointer, byteCount: value.byteCount)
    }
    @inlinable @inline(__always) public func append(_ key: KeyView, _ value: DocumentView) {
        let size = value.byteCount
        header(.document, key, payload: size).copyMemory(from: value.base, byteCount: size)
    }
    public func append(_ key: KeyView, _ value: Value) {
        _ = header(value.type, key, payload: 0)
        appendPayload(value)
    }

    // MARK: Names known at compile time

    @inlinable @inline(__always) public func append(_ key: StaticString, int32 value: Int32) {
        append(KeyView(key), int32: value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, int64 value: Int64) {
        append(KeyView(key), int64: value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, double value: Double) {
        append(KeyView(key), double: value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, bool value: Bool) {
        append(KeyView(key), bool: value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, timestamp value: Timestamp) {
        header(.timestamp, KeyView(key), payload: 8).storeBytes(of: value.rawValue.littleEndian, as: UInt64.self)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, dateTime value: Int64) {
        header(.dateTime, KeyView(key), payload: 8).storeBytes(of: value.littleEndian, as: Int64.self)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, objectID value: ObjectID) {
        value.store(to: header(.objectID, KeyView(key), payload: 12))
    }
    @inlinable @inline(__always) public func appendNull(_ key: StaticString) {
        _ = header(.null, KeyView(key), payload: 0)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, _ value: ValueView) {
        append(KeyView(key), value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, _ value: DocumentView) {
        append(KeyView(key), value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, array value: DocumentView) {
        let size = value.byteCount
        header(.array, KeyView(key), payload: size).copyMemory(from: value.base, byteCount: size)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, utf8 value: UnsafeRawBufferPointer) {
        append(KeyView(key), utf8: value)
    }
    @inlinable @inline(__always) public func append(_ key: StaticString, string value: StaticString) {
        append(KeyView(key), utf8: UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }
    public func append(_ key: StaticString, string value: String) {
        var value = value
        value.withUTF8 { append(KeyView(key), utf8: UnsafeRawBufferPointer($0)) }
    }
    public func append(_ key: StaticString, binary bytes: UnsafeRawBufferPointer, subtype: UInt8 = 0) {
        let at = header(.binary, KeyView(key), payload: bytes.count + 5)
        at.storeBytes(of: Int32(truncatingIfNeeded: bytes.count).littleEndian, as: Int32.self)
        (at + 4).storeBytes(of: subtype, as: UInt8.self)
        if let source = bytes.baseAddress { (at + 5).copyMemory(from: source, byteCount: bytes.count) }
    }
    public func append(_ key: StaticString, _ value: Document) { value.withView { append(KeyView(key), $0) } }

    /// Writes a nested document.
    @inlinable @inline(__always) public func document(_ key: StaticString, _ build: (DocumentWriter) throws -> Void)
        rethrows
    {
        _ = header(.document, KeyView(key), payload: 0)
        let nested = DocumentWriter(startingIn: buffer)
        try build(nested)
        nested.finish()
    }
    /// Writes a nested array.
    @inlinable @inline(__always) public func array(_ key: StaticString, _ build: (inout ArrayWriter) throws -> Void)
        rethrows
    {
        _ = header(.array, KeyView(key), payload: 0)
        var nested = ArrayWriter(DocumentWriter(startingIn: buffer))
        try build(&nested)
        nested.writer.finish()
    }

    /// Starts a nested document that outlives a closure: a reply that is built in slices. Ended by `finish()`.
    @inline(__always) public func beginDocument(_ key: StaticString) -> DocumentWriter {
        _ = header(.document, KeyView(key), payload: 0)
        return DocumentWriter(startingIn: buffer)
    }
    /// Starts such an array. Ended by `ArrayWriter.finish()`.
    @inline(__always) public func beginArray(_ key: StaticString) -> ArrayWriter {
        _ = header(.array, KeyView(key), payload: 0)
        return ArrayWriter(DocumentWriter(startingIn: buffer))
    }

    // MARK: Names built at run time

    /// Inlined, as are its callers: a literal takes the `String` overload of two, and folds into a few stores.
    @inlinable @inline(__always) func header(_ type: BSONType, _ key: String) {
        KeyView.with(key) { _ = header(type, $0, payload: 0) }
    }

    public func append(_ key: String, _ value: ValueView) {
        KeyView.with(key) { append($0, value) }
    }
    public func append(_ key: String, _ value: Value) {
        header(value.type, key)
        appendPayload(value)
    }
    /// Writes a nested document.
    @inlinable @inline(__always) public func document(_ key: String, _ build: (DocumentWriter) throws -> Void) rethrows
    {
        header(.document, key)
        let nested = DocumentWriter(startingIn: buffer)
        try build(nested)
        nested.finish()
    }
    /// Writes a nested array.
    @inlinable @inline(__always) public func array(_ key: String, _ build: (inout ArrayWriter) throws -> Void) rethrows
    {
        header(.array, key)
        var nested = ArrayWriter(DocumentWriter(startingIn: buffer))
        try build(&nested)
        nested.writer.finish()
    }
}
