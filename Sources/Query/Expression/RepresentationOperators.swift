import BSON
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
        "$toHashedIndexKey": .unary { operands in .int64((operands[0] ?? .null).withView { HashedKey.hash($0) }) },
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
