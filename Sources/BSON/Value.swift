/// A BSON value that owns what it holds: for building documents and computing with them, outside the hot path.
public enum Value: Sendable, Hashable {
    case double(Double)
    case string(String)
    case document(Document)
    /// The array's document, with keys `"0"`, `"1"`, …
    case array(Document)
    case binary(subtype: UInt8, [UInt8])
    case undefined
    case objectID(ObjectID)
    case bool(Bool)
    /// Milliseconds since 1970.
    case dateTime(Int64)
    case null
    case regex(pattern: String, options: String)
    case dbPointer(namespace: String, ObjectID)
    case javascript(String)
    case symbol(String)
    case javascriptWithScope(String, Document)
    case int32(Int32)
    case timestamp(Timestamp)
    case int64(Int64)
    case decimal128(Decimal128)
    case maxKey
    case minKey

    /// Copies a value out of a document.
    public init(_ view: ValueView) {
        switch view.type {
        case .double: self = .double(view.asDouble!)
        case .string: self = .string(view.asString!)
        case .document: self = .document(Document(copying: view.asDocument!))
        case .array: self = .array(Document(copying: view.asArray!))
        case .binary:
            let (subtype, bytes) = view.asBinary!
            self = .binary(subtype: subtype, [UInt8](bytes))
        case .undefined: self = .undefined
        case .objectID: self = .objectID(view.asObjectID!)
        case .bool: self = .bool(view.asBool!)
        case .dateTime: self = .dateTime(view.asDateTime!)
        case .null: self = .null
        case .regex:
            let (pattern, options) = view.asRegex!
            self = .regex(pattern: pattern, options: options)
        case .dbPointer:
            let length = ValueView.int32(view.pointer)
            let name = UnsafeRawBufferPointer(start: view.pointer + 4, count: length - 1)
            self = .dbPointer(
                namespace: String(decoding: name, as: UTF8.self), ObjectID(loadingFrom: view.pointer + 4 + length))
        case .javascript: self = .javascript(String(decoding: view.asStringBytes!, as: UTF8.self))
        case .symbol: self = .symbol(String(decoding: view.asStringBytes!, as: UTF8.self))
        case .javascriptWithScope:
            let length = ValueView.int32(view.pointer + 4)
            let code = UnsafeRawBufferPointer(start: view.pointer + 8, count: length - 1)
            self = .javascriptWithScope(
                String(decoding: code, as: UTF8.self),
                Document(copying: DocumentView(base: view.pointer + 8 + length)))
        case .int32: self = .int32(view.asInt32!)
        case .timestamp: self = .timestamp(view.asTimestamp!)
        case .int64: self = .int64(view.asInt64!)
        case .decimal128: self = .decimal128(view.asDecimal128!)
        case .maxKey: self = .maxKey
        case .minKey: self = .minKey
        }
    }

    public var type: BSONType {
        switch self {
        case .double: .double
        case .string: .string
        case .document: .document
        case .array: .array
        case .binary: .binary
        case .undefined: .undefined
        case .objectID: .objectID
        case .bool: .bool
        case .dateTime: .dateTime
        case .null: .null
        case .regex: .regex
        case .dbPointer: .dbPointer
        case .javascript: .javascript
        case .symbol: .symbol
        case .javascriptWithScope: .javascriptWithScope
        case .int32: .int32
        case .timestamp: .timestamp
        case .int64: .int64
        case .decimal128: .decimal128
        case .maxKey: .maxKey
        case .minKey: .minKey
        }
    }

    public static func array(_ values: [Value]) -> Value { .array(Document(array: values)) }

    // MARK: Typed access; nil when the value has another type

    public var asDocument: Document? { if case .document(let document) = self { document } else { nil } }
    public var asArray: [Value]? { if case .array(let document) = self { document.values } else { nil } }
    public var asString: String? { if case .string(let string) = self { string } else { nil } }
    public var asBool: Bool? { if case .bool(let bool) = self { bool } else { nil } }
    public var asTimestamp: Timestamp? { if case .timestamp(let timestamp) = self { timestamp } else { nil } }
    public var asObjectID: ObjectID? { if case .objectID(let id) = self { id } else { nil } }
    /// Any number as an integer, when it is one exactly.
    public var asInteger: Int64? {
        switch self {
        case .int32(let value): Int64(value)
        case .int64(let value): value
        case .double(let value): Int64(exactly: value)
        case .decimal128(let value): value.exactInt64
        default: nil
        }
    }
    /// Any number as a double.
    public var asNumber: Double? {
        switch self {
        case .int32(let value): Double(value)
        case .int64(let value): Double(value)
        case .double(let value): value
        case .decimal128(let value): value.doubleValue
        default: nil
        }
    }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An `int32` when it fits, as drivers do; an `int64` otherwise.
    public init(integerLiteral value: Int64) { self = Int32(exactly: value).map { .int32($0) } ?? .int64(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(nilLiteral: ()) { self = .null }
    public init(arrayLiteral elements: Value...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, Value)...) {
        self = .document(Document { writer in for (key, value) in elements { writer.append(key, value) } })
    }
}
