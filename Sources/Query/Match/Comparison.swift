import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// The five comparisons that take one operand.
enum ComparisonOperator: String {
    case equal = "$eq"
    case less = "$lt"
    case lessOrEqual = "$lte"
    case greater = "$gt"
    case greaterOrEqual = "$gte"
}

/// A comparison with a constant, with MongoDB's type brackets: only values of the operand's kind compare.
///
/// A plain value, so that simple filters can lay several of them side by side. The operand's bytes are the filter's.
struct Comparison {
    let operation: ComparisonOperator
    let operand: ValueView
    private let operandClass: UInt8
    private let operandIsNaN: Bool

    init(_ operation: ComparisonOperator, _ operand: ValueView) {
        self.operation = operation
        self.operand = operand
        operandClass = operand.type.comparisonClass
        operandIsNaN = operand.isNaN
    }

    /// Whether the operand is null, which missing fields equal.
    var isNull: Bool { operand.type == .null }

    @inline(__always) func matches(_ value: ValueView?) -> Bool {
        guard let value else { return matchesMissing }
        if value.type == operand.type, operation == .equal, let equal = equalBytes(value) { return equal }
        return compare(value)
    }

    /// A missing field counts as null.
    private var matchesMissing: Bool {
        switch operand.type {
        case .null: operation != .less && operation != .greater
        case .minKey: operation == .greater || operation == .greaterOrEqual
        case .maxKey: operation == .less || operation == .lessOrEqual
        default: false
        }
    }

    /// Equality of two values of one type where the bytes decide it.
    @inline(__always) private func equalBytes(_ value: ValueView) -> Bool? {
        let same = value.byteCount == operand.byteCount && memcmp(value.pointer, operand.pointer, value.byteCount) == 0
        switch operand.type {
        case .double, .decimal128, .document, .array, .javascriptWithScope: return same ? true : nil
        default: return same
        }
    }

    private func compare(_ value: ValueView) -> Bool {
        guard value.type.comparisonClass == operandClass else {
            guard operand.type == .minKey || operand.type == .maxKey else { return false }
            return holds(ValueView.compare(value, operand))
        }
        if operandIsNaN || value.isNaN {
            // NaN is equal to NaN and neither less nor greater than any number.
            guard operandIsNaN, value.isNaN else { return false }
            return operation != .less && operation != .greater
        }
        return holds(ValueView.compare(value, operand))
    }

    @inline(__always) private func holds(_ order: Int) -> Bool {
        switch operation {
        case .equal: order == 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        }
    }
}

/// A comparison as a node of a filter.
final class ComparisonPredicate: ValuePredicate {
    let comparison: Comparison
    init(_ operation: ComparisonOperator, _ operand: ValueView) { comparison = Comparison(operation, operand) }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        comparison.matches(value)
    }
    override func describe() -> Document { [comparison.operation.rawValue: Value(comparison.operand)] }
}

extension BSONType {
    /// The bracket within which values compare; equal for types that compare with each other.
    var comparisonClass: UInt8 {
        switch self {
        case .minKey: 0
        case .undefined: 1
        case .null: 2
        case .double, .int32, .int64, .decimal128: 3
        case .string, .symbol: 4
        case .document: 5
        case .array: 6
        case .binary: 7
        case .objectID: 8
        case .bool: 9
        case .dateTime: 10
        case .timestamp: 11
        case .regex: 12
        case .dbPointer: 13
        case .javascript: 14
        case .javascriptWithScope: 15
        case .maxKey: 16
        }
    }
}

extension ValueView {
    /// Whether the value is a number that is not one.
    @inline(__always) var isNaN: Bool {
        switch type {
        case .double: asDouble?.isNaN ?? false
        // The five bits below the sign are all ones.
        case .decimal128: asDecimal128.map { $0.high & 0x7C00_0000_0000_0000 == 0x7C00_0000_0000_0000 } ?? false
        default: false
        }
    }
}
