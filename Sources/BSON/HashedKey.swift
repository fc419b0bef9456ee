internal import CHash

/// The hash of a value in hashed indexes and hashed shard keys, as MongoDB computes it, and the bytes that it is of.
///
/// The canonical form of a value: a seed of four zero bytes, the place of its type in the order of types, and its
/// payload. Numbers of all types count as the 64-bit integer that is left when they are cut towards zero; documents and
/// arrays are the canonical forms of their elements with their names. Values that compare as equal have the same form.
/// The hash is the first eight bytes of the form's MD5.
///
/// Checked against values that MongoDB's manual shows: the hashes of 1 and 2 as bounds of chunks ("Clear jumbo Flag"),
/// that of "string to hash" (`$toHashedIndexKey`).
public enum HashedKey {
    /// The hash of a value.
    public static func hash(_ value: ValueView) -> Int64 { withCanonicalBytes(value) { hash(canonical: $0) } }

    /// The hash of a value whose canonical form is known.
    public static func hash(canonical bytes: UnsafeRawBufferPointer) -> Int64 {
        Int64(bitPattern: chash_md5_64(bytes.baseAddress, bytes.count))
    }

    /// Calls `body` with the canonical form of a value, valid during the call.
    public static func withCanonicalBytes<R>(_ value: ValueView, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        if value.type.isNumber {
            var form = (UInt32(0), place(of: value.type).littleEndian, wholeNumber(value).littleEndian)
            return withUnsafeBytes(of: &form) { body($0) }
        }
        let buffer = ByteBuffer(capacity: 2 * value.byteCount + 16)
        buffer.append(littleEndian: UInt32(0))
        append(value, named: nil, to: buffer)
        return body(buffer.bytes)
    }

    private static func append(_ value: ValueView, named name: KeyView?, to buffer: ByteBuffer) {
        buffer.append(littleEndian: place(of: value.type))
        if let name {
            buffer.append(name.bytes)
            buffer.append(byte: 0)
        }
        if value.type.isNumber { return buffer.append(littleEndian: wholeNumber(value)) }
        guard let nested = value.asDocument ?? value.asArray else { return buffer.append(value.bytes) }
        for element in nested { append(element.value, named: element.key, to: buffer) }
        // The end of a document counts as an element of no type and no name.
        buffer.append(littleEndian: Int32(0))
        buffer.append(byte: 0)
    }

    /// A number cut to a 64-bit integer; the nearest one for those beyond, zero for what is no number.
    private static func wholeNumber(_ value: ValueView) -> Int64 {
        if let whole = value.asInteger { return whole }
        if let whole = value.asDecimal128?.rounded(places: 0, .towardZero).exactInt64 { return whole }
        let double = (value.asNumber ?? 0).rounded(.towardZero)
        return Int64(exactly: double) ?? (double.isNaN ? 0 : double < 0 ? .min : .max)
    }

    /// Where values of a type stand in MongoDB's order of types.
    private static func place(of type: BSONType) -> Int32 {
        switch type {
        case .minKey: -1
        case .undefined: 0
        case .null: 5
        case .double, .int32, .int64, .decimal128: 10
        case .string, .symbol: 15
        case .document: 20
        case .array: 25
        case .binary: 30
        case .objectID: 35
        case .bool: 40
        case .dateTime: 45
        case .timestamp: 47
        case .regex: 50
        case .dbPointer: 55
        case .javascript: 60
        case .javascriptWithScope: 65
        case .maxKey: 127
        }
    }
}
