import BSON
import Core

/// `$bitAnd`, `$bitOr`, `$bitXor` and `$bitNot`, over ints and longs.
enum BitOperators {
    static let table: [String: OperatorEntry] = [
        "$bitAnd": combining("$bitAnd", from: -1) { $0 & $1 },
        "$bitOr": combining("$bitOr", from: 0) { $0 | $1 },
        "$bitXor": combining("$bitXor", from: 0) { $0 ^ $1 },
        "$bitNot": .unary { (operands) throws(ServerError) in
            switch operands[0] {
            case nil, .null, .undefined: return .null
            case .int32(let value): return .int32(~value)
            case .int64(let value): return .int64(~value)
            default:
                let type = typeName(operands[0])
                guard Number(operands[0]) != nil else {
                    throw ServerError(location: 28765, "$bitNot only supports numeric types, not \(type)")
                }
                throw ServerError(.typeMismatch, "$bitNot only supports int and long, not: \(type).")
            }
        },
    ]

    /// A long among the operands makes the result one.
    private static func combining(
        _ name: String, from start: Int64, _ combine: @escaping @Sendable (Int64, Int64) -> Int64
    ) -> OperatorEntry {
        .variadic { (operands) throws(ServerError) in
            var (bits, isNarrow, isNull) = (start, true, false)
            for operand in operands {
                switch operand {
                case nil, .null, .undefined: isNull = true
                case .int32(let value): bits = combine(bits, Int64(value))
                case .int64(let value):
                    bits = combine(bits, value)
                    isNarrow = false
                default:
                    throw ServerError(
                        .typeMismatch, "\(name) only supports int and long operands, not \(typeName(operand))")
                }
            }
            return isNull ? .null : Number.integer(bits, narrow: isNarrow).value
        }
    }
}
