/// A BSON document that owns its bytes: what code outside the hot path builds, keeps and passes around.
///
/// The bytes are always a valid document. Copies share storage until one is changed.
public struct Document: Sendable {
    @usableFromInline var storage: [UInt8]

    /// An empty document.
    public init() { storage = [5, 0, 0, 0, 0] }

    /// Copies a view.
    public init(copying view: DocumentView) { storage = [UInt8](view.bytes) }

    /// Takes bytes that are known to be a valid document (`Document(validating:)` for bytes from outside).
    @inlinable public init(trusted bytes: [UInt8]) { storage = bytes }

    /// Builds a document by appending to `writer`.
    public init(_ build: (DocumentWriter) -> Void) {
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        build(writer)
        writer.finish()
        storage = buffer.toArray()
    }

    public var bytes: [UInt8] { storage }
    public var byteCount: Int { storage.count }
    public var isEmpty: Bool { storage.count <= 5 }

    /// Calls `body` with a view of the bytes, valid during the call.
    @inlinable public func withView<R>(_ body: (DocumentView) throws -> R) rethrows -> R {
        try storage.withUnsafeBytes { try body(DocumentView(base: $0.baseAddress!)) }
    }

    /// The value of the first field called `key`. Setting replaces it in place or appends it; nil removes it.
    public subscript(key: String) -> Value? {
        get { withView { $0[key].map { Value($0) } } }
        set {
            var replaced = false
            let old = self
            self = Document { writer in
                old.withView { view in
                    for element in view {
                        if element.key.string == key {
                            if !replaced, let newValue { writer.append(key, newValue) }
                            replaced = true
                        } else {
                            writer.append(element.key, element.value)
                        }
                    }
                }
                if !replaced, let newValue { writer.append(key, newValue) }
            }
        }
    }

    /// Appends a field behind the others, without looking for one of the same name.
    public mutating func append(_ key: String, _ value: Value) {
        let buffer = ByteBuffer(capacity: storage.count + 64)
        buffer.append(storage)
        buffer.truncate(to: buffer.count - 1)
        let writer = DocumentWriter(continuingIn: buffer)
        writer.append(key, value)
        writer.finish()
        storage = buffer.toArray()
    }

    /// The fields in order.
    public var fields: [(key: String, value: Value)] {
        withView { $0.map { (key: $0.key.string, value: Value($0.value)) } }
    }
    public var keys: [String] { withView { $0.map { $0.key.string } } }
    public var values: [Value] { withView { $0.map { Value($0.value) } } }
}

extension Document: Hashable {
    /// Equal bytes: the same fields of the same types in the same order.
    public static func == (a: Document, b: Document) -> Bool { a.storage == b.storage }
}

extension Document: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, Value)...) {
        self.init { writer in for (key, value) in elements { writer.append(key, value) } }
    }
}

extension Document {
    /// An array document (`"0"`, `"1"`, …) of `values`.
    public init(array values: [Value]) {
        let buffer = ByteBuffer()
        var array = ArrayWriter(startingIn: buffer)
        for value in values { array.append(value) }
        array.finish()
        storage = buffer.toArray()
    }

    /// Appends elements to an array document that holds `count` of them. Constant time for each, on the average, when
    /// nothing else holds the bytes.
    public mutating func appendElements(_ values: [Value], behind count: Int) {
        let buffer = ByteBuffer()
        var array = ArrayWriter(startingIn: buffer, at: count)
        for value in values { array.append(value) }
        array.finish()
        storage.removeLast()
        storage.append(contentsOf: buffer.bytes.dropFirst(4))
        withUnsafeBytes(of: Int32(truncatingIfNeeded: storage.count).littleEndian) { length in
            storage.replaceSubrange(0..<4, with: length)
        }
    }

    /// Where the bytes lie: the same for documents that share them, as long as both are held.
    public var identity: Int { storage.withUnsafeBytes { Int(bitPattern: $0.baseAddress) } }
}
