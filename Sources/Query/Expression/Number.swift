import BSON
import Core

/// A number of any type, with MongoDB's promotion: int, long, double, decimal; the wider operand decides.
enum Number {
    case int32(Int32)
    case int64(Int64)
    case double(Double)
    case decimal(Decimal128)

    init?(_ value: Value?) {
        switch value {
        case .int32(let value): self = .int32(value)
        case .int64(let value): self = .int64(value)
        case .double(let value): self = .double(value)
        case .decimal128(let value): self = .decimal(value)
        default: return nil
        }
    }

    var value: Value {
        switch self {
        case .int32(let value): .int32(value)
        case .int64(let value): .int64(value)
        case .double(let value): .double(value)
        case .decimal(let value): .decimal128(value)
        }
    }

    /// An integer result: an int when it fits and `narrow`, a long otherwise.
    static func integer(_ value: Int64, narrow: Bool) -> Number {
        if narrow, let small = Int32(exactly: value) { return .int32(small) }
        return .int64(value)
    }

    /// The value when the number is of an integer type.
    var integerValue: Int64? {
        switch self {
        case .int32(let value): Int64(value)
        case .int64(let value): value
        default: nil
        }
    }

    var doubleValue: Double {
        switch self {
        case .int32(let value): Double(value)
        case .int64(let value): Double(value)
        case .double(let value): value
        case .decimal(let value): value.doubleValue
        }
    }

    var decimalValue: Decimal128 {
        switch self {
        case .int32(let value): Decimal128(Int64(value))
        case .int64(let value): Decimal128(value)
        case .double(let value): Decimal128(value)
        case .decimal(let value): value
        }
    }

    /// The number as an integer when it is one exactly, whatever its type.
    var exactInteger: Int64? { value.asInteger }

    /// The number as an integer where MongoDB takes any number for one: doubles are cut, decimals rounded; nil for what
    /// is beyond the integers.
    var coercedInteger: Int64? {
        switch self {
        case .int32(let value): Int64(value)
        case .int64(let value): value
        case .double(let value): Int64(exactly: value.rounded(.towardZero))
        case .decimal(let value): value.rounded().exactInt64
        }
    }

    /// Whether the number is below zero; `isZero` and this look at decimals too small for a double.
    var isNegative: Bool {
        if case .decimal(let value) = self { return !value.isNaN && !value.isZero && value.isNegative }
        return doubleValue < 0
    }

    var isInt32: Bool { if case .int32 = self { true } else { false } }
    var isDouble: Bool { if case .double = self { true } else { false } }
    var isDecimal: Bool { if case .decimal = self { true } else { false } }
    var isZero: Bool {
        if case .decimal(let value) = self { return value.isZero }
        return doubleValue == 0
    }

    static func add(_ a: Number, _ b: Number) -> Number {
        combine(a, b, { $0.addingReportingOverflow($1) }, { $0 + $1 }, { $0 + $1 })
    }
    static func subtract(_ a: Number, _ b: Number) -> Number {
        combine(a, b, { $0.subtractingReportingOverflow($1) }, { $0 - $1 }, { $0 - $1 })
    }
    static func multiply(_ a: Number, _ b: Number) -> Number {
        combine(a, b, { $0.multipliedReportingOverflow(by: $1) }, { $0 * $1 }, { $0 * $1 })
    }

    /// An int overflows to a long, a long to a double.
    private static func combine(
        _ a: Number, _ b: Number, _ integers: (Int64, Int64) -> (partialValue: Int64, overflow: Bool),
        _ doubles: (Double, Double) -> Double, _ decimals: (Decimal128, Decimal128) -> Decimal128
    ) -> Number {
        if a.isDecimal || b.isDecimal { return .decimal(decimals(a.decimalValue, b.decimalValue)) }
        if let x = a.integerValue, let y = b.integerValue {
            let (result, overflow) = integers(x, y)
            if overflow { return .double(doubles(Double(x), Double(y))) }
            return .integer(result, narrow: a.isInt32 && b.isInt32)
        }
        return .double(doubles(a.doubleValue, b.doubleValue))
    }

    /// MongoDB's `$mod`: the sign of the dividend. The divisor is not zero.
    static func remainder(_ a: Number, _ b: Number) -> Number {
        if a.isDecimal || b.isDecimal { return .decimal(a.decimalValue.remainder(truncatingBy: b.decimalValue)) }
        if let x = a.integerValue, let y = b.integerValue {
            // `Int64.min % -1` traps; every number is divisible by one.
            return .integer(y == -1 ? 0 : x % y, narrow: a.isInt32 && b.isInt32)
        }
        return .double(a.doubleValue.truncatingRemainder(dividingBy: b.doubleValue))
    }
}
