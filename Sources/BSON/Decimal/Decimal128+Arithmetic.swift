/// IEEE 754 arithmetic: results are exact, then rounded once to 34 digits, half to even.
extension Decimal128 {
    public static prefix func - (value: Decimal128) -> Decimal128 {
        Decimal128(high: value.high ^ 1 << 63, low: value.low)
    }

    public static func + (a: Decimal128, b: Decimal128) -> Decimal128 {
        guard a.isFinite, b.isFinite else {
            if a.isNaN || b.isNaN { return nan }
            if a.isInfinite { return b.isInfinite && a.isNegative != b.isNegative ? nan : a }
            return b
        }
        return a.exponent >= b.exponent ? addFinite(a, b) : addFinite(b, a)
    }

    public static func - (a: Decimal128, b: Decimal128) -> Decimal128 { a + -b }

    /// Adds `b`, whose exponent is not above that of `a`.
    private static func addFinite(_ a: Decimal128, _ b: Decimal128) -> Decimal128 {
        let ideal = b.exponent
        let (digitsA, digitsB) = (a.coefficient, b.coefficient)
        if digitsA == 0 || digitsB == 0 {
            let isNegative = digitsA != 0 ? a.isNegative : digitsB != 0 ? b.isNegative : a.isNegative && b.isNegative
            let one = digitsA != 0 ? a : b
            return rounding(isNegative: isNegative, UInt256(one.coefficient), exponent: one.exponent, ideal: ideal).value
        }
        // With `a` at full width, everything of `b` more than 38 digits below it is only a hint for the rounding.
        let pad = min(digitsMax - decimalDigitCount(digitsA), a.exponent - b.exponent)
        let full = digitsA * powersOfTen[pad]
        let gap = a.exponent - pad - b.exponent
        let shift = gap <= 38 ? gap : 3
        let left = UInt256(full, times: powersOfTen[shift])
        let right = UInt256(gap <= 38 ? digitsB : 1)
        let exponent = a.exponent - pad - shift
        if a.isNegative == b.isNegative {
            return rounding(isNegative: a.isNegative, left &+ right, exponent: exponent, ideal: ideal).value
        }
        let isLarger = left >= right
        let difference = isLarger ? left &- right : right &- left
        let isNegative = difference.isZero ? false : isLarger ? a.isNegative : b.isNegative
        return rounding(isNegative: isNegative, difference, exponent: exponent, ideal: ideal).value
    }

    public static func * (a: Decimal128, b: Decimal128) -> Decimal128 {
        let isNegative = a.isNegative != b.isNegative
        guard a.isFinite, b.isFinite else {
            if a.isNaN || b.isNaN || a.isZero || b.isZero { return nan }
            return infinity(isNegative: isNegative)
        }
        let exponent = a.exponent + b.exponent
        let product = UInt256(a.coefficient, times: b.coefficient)
        return rounding(isNegative: isNegative, product, exponent: exponent, ideal: exponent).value
    }

    public static func / (a: Decimal128, b: Decimal128) -> Decimal128 {
        let isNegative = a.isNegative != b.isNegative
        guard a.isFinite, b.isFinite else {
            if a.isNaN || b.isNaN || (a.isInfinite && b.isInfinite) { return nan }
            if a.isInfinite { return infinity(isNegative: isNegative) }
            return Decimal128(isNegative: isNegative, coefficient: 0, exponent: exponentMin)
        }
        let (digitsA, digitsB) = (a.coefficient, b.coefficient)
        if digitsB == 0 { return digitsA == 0 ? nan : infinity(isNegative: isNegative) }
        let ideal = a.exponent - b.exponent
        if digitsA == 0 { return rounding(isNegative: isNegative, UInt256(0), exponent: ideal, ideal: ideal).value }
        // A dividend with 36 digits more than the divisor makes a quotient of 36 or 37.
        let pad = digitsMax - decimalDigitCount(digitsA)
        let extra = decimalDigitCount(digitsB) + 2
        let dividend = UInt256(digitsA * powersOfTen[pad], times: powersOfTen[extra])
        let (quotient, rest) = dividend.quotientAndRemainder(dividingBy: digitsB)
        return rounding(
            isNegative: isNegative, quotient, exponent: ideal - pad - extra, sticky: rest != 0, ideal: ideal
        ).value
    }

    /// The exact remainder of the division that truncates its quotient: the sign is the dividend's.
    public func remainder(truncatingBy divisor: Decimal128) -> Decimal128 {
        guard isFinite, !divisor.isNaN, !divisor.isZero else { return .nan }
        guard divisor.isFinite else { return self }
        let ideal = min(exponent, divisor.exponent)
        var modulus = divisor.coefficient
        var rest = coefficient
        if divisor.exponent > exponent {
            let scale = divisor.exponent - exponent
            // A divisor beyond 38 digits at this exponent is larger than any dividend.
            guard scale + decimalDigitCount(modulus) <= 38 else { return self }
            modulus *= powersOfTen[scale]
            rest %= modulus
        } else {
            var scale = exponent - divisor.exponent
            rest %= modulus
            while scale > 0, rest != 0 {
                let step = min(scale, 38)
                rest = UInt256(rest, times: powersOfTen[step]).quotientAndRemainder(dividingBy: modulus).remainder
                scale -= step
            }
        }
        return Decimal128(isNegative: isNegative, coefficient: rest, exponent: ideal)
    }

    /// The absolute value.
    public var magnitude: Decimal128 { Decimal128(high: high & ~(1 << 63), low: low) }

    /// The order of BSON: NaN below all numbers and equal to itself, zeros equal. Negative, zero or positive.
    public static func compare(_ a: Decimal128, _ b: Decimal128) -> Int {
        if a.isNaN || b.isNaN { return (a.isNaN ? 0 : 1) - (b.isNaN ? 0 : 1) }
        let signs = (a.isZero ? 0 : a.isNegative ? -1 : 1, b.isZero ? 0 : b.isNegative ? -1 : 1)
        if signs.0 != signs.1 { return signs.0 < signs.1 ? -1 : 1 }
        if signs.0 == 0 { return 0 }
        if a.isInfinite || b.isInfinite {
            return ((a.isInfinite ? 1 : 0) - (b.isInfinite ? 1 : 0)) * signs.0
        }
        let left = a.normalized, right = b.normalized
        if left.exponent != right.exponent { return left.exponent < right.exponent ? -signs.0 : signs.0 }
        if left.digits != right.digits { return left.digits < right.digits ? -signs.0 : signs.0 }
        return 0
    }

    /// The coefficient scaled to 34 digits.
    private var normalized: (exponent: Int, digits: UInt128) {
        let digits = coefficient
        let pad = Decimal128.digitsMax - decimalDigitCount(digits)
        return (exponent - pad, digits * powersOfTen[pad])
    }
}
