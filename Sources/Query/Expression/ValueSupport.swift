import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

extension ServerError {
    /// An error with one of MongoDB's codes that have a number and no name.
    init(location code: Int32, _ message: String) { self.init(ErrorCode(rawValue: code), message) }
}

extension UnsafeRawBufferPointer {
    /// Whether both hold the same bytes.
    func isSame(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard let base = baseAddress, let otherBase = other.baseAddress else { return count == 0 }
        return memcmp(base, otherBase, count) == 0
    }
}

/// The type's name for messages; a value that is not there is `missing`.
func typeName(_ value: Value?) -> String { value?.type.operatorName ?? "missing" }

/// Whether the value is missing, null or undefined: what most operators answer null to.
func isNullish(_ value: Value?) -> Bool {
    switch value {
    case nil, .null, .undefined: true
    default: false
    }
}

extension Value {
    /// Calls `body` with a view of the value, valid during the call.
    func withView<R>(_ body: (ValueView) -> R) -> R {
        switch self {
        case .document(let document):
            return document.withView { body(ValueView(type: .document, pointer: $0.base, byteCount: $0.byteCount)) }
        case .array(let document):
            return document.withView { body(ValueView(type: .array, pointer: $0.base, byteCount: $0.byteCount)) }
        default:
            let buffer = ByteBuffer(capacity: 64)
            let writer = DocumentWriter(startingIn: buffer)
            writer.append("", self)
            writer.finish()
            return DocumentView(base: UnsafeRawPointer(buffer.base)).first.map { body($0.value) }
                ?? body(ValueView(type: .null, pointer: UnsafeRawPointer(buffer.base), byteCount: 0))
        }
    }

    /// MongoDB's order across all types: negative, zero or positive.
    static func order(_ a: Value, _ b: Value) -> Int {
        switch (a, b) {
        case (.int32(let a), .int32(let b)): return a < b ? -1 : a > b ? 1 : 0
        case (.int64(let a), .int64(let b)): return a < b ? -1 : a > b ? 1 : 0
        case (.dateTime(let a), .dateTime(let b)): return a < b ? -1 : a > b ? 1 : 0
        case (.objectID(let a), .objectID(let b)): return a < b ? -1 : a > b ? 1 : 0
        case (.string(let a), .string(let b)): return byteOrder(a, b)
        default: return a.withView { a in b.withView { b in ValueView.compare(a, b) } }
        }
    }

    /// Strings compare by their bytes; Swift's own comparison is by canonical equivalence.
    private static func byteOrder(_ a: String, _ b: String) -> Int {
        var (a, b) = (a, b)
        return a.withUTF8 { a in
            b.withUTF8 { b in
                let common = min(a.count, b.count)
                if common > 0, let x = a.baseAddress, let y = b.baseAddress {
                    let order = memcmp(x, y, common)
                    if order != 0 { return Int(order) }
                }
                return a.count - b.count
            }
        }
    }

    /// Whether the values are equal in MongoDB's order, as `1` and `1.0` are.
    static func equal(_ a: Value, _ b: Value) -> Bool { order(a, b) == 0 }

    /// MongoDB's truth of a value.
    var truth: Bool {
        switch self {
        case .bool(let value): value
        case .null, .undefined: false
        case .int32(let value): value != 0
        case .int64(let value): value != 0
        case .double(let value): value != 0
        case .decimal128(let value): !value.isZero
        default: true
        }
    }

    /// Bytes of a document, array, string or binary; nil for values of fixed size.
    var nestedByteCount: Int? {
        switch self {
        case .document(let document), .array(let document): document.byteCount
        case .string(let string): string.utf8.count
        case .binary(_, let bytes): bytes.count
        default: nil
        }
    }

    /// Bytes that the value takes in memory, roughly, for limits.
    var memoryBytes: Int { MemoryLayout<Value>.size + (nestedByteCount ?? 0) }

    /// Throws when documents nest deeper than any stored document may; `levels` are around the value.
    func checkDepth(inside levels: Int = 0) throws(ServerError) {
        guard case .document(let document) = self.nested else { return }
        let most = Limits.documentDepthMax - levels
        // Every level takes at least seven bytes, so a small value needs no walk.
        guard document.byteCount > 7 * most else { return }
        guard document.withView({ $0.isNested(atMost: most) }) else {
            throw ServerError(.overflow, "documents may not nest deeper than \(Limits.documentDepthMax) levels")
        }
    }

    private var nested: Value {
        if case .array(let document) = self { .document(document) } else { self }
    }
}

extension DocumentView {
    /// Whether the document and all it holds nest in at most `levels` levels.
    func isNested(atMost levels: Int) -> Bool {
        guard levels > 0 else { return false }
        for element in self {
            let value = element.value
            let isNested =
                switch value.type {
                case .document, .array: DocumentView(base: value.pointer).isNested(atMost: levels - 1)
                case .javascriptWithScope: value.scope?.isNested(atMost: levels - 1) ?? true
                default: true
                }
            if !isNested { return false }
        }
        return true
    }
}

extension ValueView {
    /// The variables of a JavaScript value that has some: behind its length and its code.
    fileprivate var scope: DocumentView? {
        guard byteCount > 8 else { return nil }
        let code = Int(Int32(littleEndian: pointer.loadUnaligned(fromByteOffset: 4, as: Int32.self)))
        guard code > 0, code <= byteCount - 13 else { return nil }
        return DocumentView(base: pointer + 8 + code)
    }
}
