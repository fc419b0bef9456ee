import BSON
import CHash
import Core

/// Operators that look at how a value is represented: `$binarySize`, `$bsonSize`, `$toHashedIndexKey`, `$tsSecond`,
/// `$tsIncrement`.
enum RepresentationOperators {
    static let table: [String: OperatorEntry] = [
        "$binarySize": .unary { (operands) throws(ServerError) in
            switch operands[0] {
            case nil, .null, .undefined: return .null
            case .string(let text): return .int32(Int32(clamping: text.utf8.count))
            case .binary(_, let bytes): return .int32(Int32(clamping: bytes.count))
            default:
                throw ServerError(
                    location: 51276,
                    "$binarySize requires a string or BinData argument, found: \(typeName(operands[0]))")
            }
        },
        "$bsonSize": .unary { (operands) throws(ServerError) in
            if isNullish(operands[0]) { return .null }
            guard case .document(let document) = operands[0] else {
                throw ServerError(
                    location: 31393, "$bsonSize requires a document input, found: \(typeName(operands[0]))")
            }
            return .int32(Int32(clamping: document.byteCount))
        },
        "$toHashedIndexKey": .unary { operands in .int64(HashedKey.hash(operands[0] ?? .null)) },
        "$tsSecond": timestampPart("$tsSecond", 5_687_301) { Int64($0.seconds) },
        "$tsIncrement": timestampPart("$tsIncrement", 5_687_302) { Int64($0.increment) },
    ]

    private static func timestampPart(
        _ name: String, _ code: Int32, _ part: @escaping @Sendable (Timestamp) -> Int64
    ) -> OperatorEntry {
        .unary { (operands) throws(ServerError) in
            if isNullish(operands[0]) { return .null }
            guard case .timestamp(let timestamp) = operands[0] else {
                throw ServerError(
                    location: code, "Argument to \(name) must be a timestamp, but is \(typeName(operands[0]))")
            }
            return .int64(part(timestamp))
        }
    }
}

/// The hash that MongoDB's hashed indexes keep of a value: the first eight bytes of the MD5 over a seed of zero, the
/// value's place in the order of types and its bytes; numbers of all types count as 64-bit integers. (Hashed indexes
/// here hash differently: nobody sees their keys.)
enum HashedKey {
    static func hash(_ value: Value) -> Int64 {
        var bytes: [UInt8] = []
        append(UInt32(0), to: &bytes)
        value.withView { append($0, named: nil, to: &bytes) }
        var digest: UInt64 = 0
        bytes.withUnsafeBytes { digest = chash_md5_64($0.baseAddress, $0.count) }
        return Int64(bitPattern: digest)
    }

    private static func append(_ number: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    private static func append(_ value: ValueView, named name: UnsafeRawBufferPointer?, to bytes: inout [UInt8]) {
        append(place(of: value.type), to: &bytes)
        if let name {
            bytes.append(contentsOf: name)
            bytes.append(0)
        }
        if value.type.isNumber { return append(wholeNumber(Value(value)), to: &bytes) }
        guard let nested = value.asDocument ?? value.asArray else {
            bytes.append(contentsOf: UnsafeRawBufferPointer(start: value.pointer, count: value.byteCount))
            return
        }
        for element in nested { append(element.value, named: element.key.bytes, to: &bytes) }
        // The end of a document counts as an element of no type and no name.
        append(Int32(0), to: &bytes)
        bytes.append(0)
    }

    /// A number cut to a 64-bit integer; the nearest one for those beyond.
    private static func wholeNumber(_ value: Value) -> Int64 {
        guard let number = Number(value) else { return 0 }
        if let whole = number.integerValue { return whole }
        if case .decimal(let decimal) = number, let whole = decimal.rounded(places: 0, .towardZero).exactInt64 {
            return whole
        }
        let double = number.doubleValue.rounded(.towardZero)
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
