internal import CDecimal

/// IEEE 754 arithmetic by Intel's decimal library: results are rounded once to 34 digits, half to even.
extension Decimal128 {
    init(_ result: cdecimal) { self.init(high: result.high, low: result.low) }

    var parts: cdecimal { cdecimal(high: high, low: low) }

    public static prefix func - (value: Decimal128) -> Decimal128 {
        Decimal128(high: value.high ^ 1 << 63, low: value.low)
    }
    public static func + (a: Decimal128, b: Decimal128) -> Decimal128 { Decimal128(cdecimal_add(a.parts, b.parts)) }
    public static func - (a: Decimal128, b: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_subtract(a.parts, b.parts))
    }
    public static func * (a: Decimal128, b: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_multiply(a.parts, b.parts))
    }
    public static func / (a: Decimal128, b: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_divide(a.parts, b.parts))
    }

    /// The exact remainder of the division that truncates its quotient: the sign is the dividend's.
    public func remainder(truncatingBy divisor: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_remainder(parts, divisor.parts))
    }

    /// The absolute value.
    public var magnitude: Decimal128 { Decimal128(high: high & ~(1 << 63), low: low) }

    /// The order of BSON: NaN below all numbers and equal to itself, zeros equal. Negative, zero or positive.
    public static func compare(_ a: Decimal128, _ b: Decimal128) -> Int {
        if a.isNaN || b.isNaN { return (a.isNaN ? 0 : 1) - (b.isNaN ? 0 : 1) }
        if cdecimal_equal(a.parts, b.parts) { return 0 }
        return cdecimal_less(a.parts, b.parts) ? -1 : 1
    }
}
