extension Decimal128 {
    /// The decimal128 nearest to an exact result, ties to even, and whether nothing was lost.
    ///
    /// `sticky` says that the exact result lies a little above `digits`; digits must then be more than 34, or so low
    /// that some are dropped. An exact result gets the exponent nearest to `ideal` (IEEE 754 §5.2), an inexact one full
    /// digits.
    static func rounding(
        isNegative: Bool, _ digits: UInt256, exponent: Int, sticky: Bool = false, ideal: Int
    ) -> (value: Decimal128, isExact: Bool) {
        let surplus = max(digits.digitCount - digitsMax, 0)
        let drop = max(surplus, exponentMin - exponent)
        var (kept, isExact) = drop > 0 ? droppingDigits(digits, drop, sticky: sticky) : (digits.low, !sticky)
        var exponent = drop > 0 ? exponent + drop : exponent
        if kept > coefficientMax {
            kept = powersOfTen[digitsMax - 1]
            exponent += 1
        }
        if kept == 0 {
            // A zero that was rounded down keeps the lowest exponent; an exact one takes the ideal exponent.
            let target = isExact ? ideal : exponentMin
            let clamped = min(max(target, exponentMin), exponentMax)
            return (Decimal128(isNegative: isNegative, coefficient: 0, exponent: clamped), isExact)
        }
        if isExact {
            while exponent < ideal, exponent < exponentMax, kept % 10 == 0 {
                kept /= 10
                exponent += 1
            }
            while exponent > max(ideal, exponentMin), kept <= coefficientMax / 10 {
                kept *= 10
                exponent -= 1
            }
        }
        while exponent > exponentMax, kept <= coefficientMax / 10 {
            kept *= 10
            exponent -= 1
        }
        guard exponent <= exponentMax else { return (infinity(isNegative: isNegative), false) }
        return (Decimal128(isNegative: isNegative, coefficient: kept, exponent: exponent), isExact)
    }

    /// `digits` ÷ 10^`count`, rounded half to even; the quotient has at most 35 digits.
    private static func droppingDigits(_ digits: UInt256, _ count: Int, sticky: Bool) -> (UInt128, isExact: Bool) {
        if count > 77 { return (0, digits.isZero && !sticky) }
        var (rest, sticky, left) = (digits, sticky, count)
        if left > 38 {
            let first = rest.quotientAndRemainder(dividingBy: powersOfTen[left - 38])
            rest = first.quotient
            sticky = sticky || first.remainder != 0
            left = 38
        }
        let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: powersOfTen[left])
        let half = powersOfTen[left] / 2
        var kept = quotient.low
        if remainder > half || (remainder == half && (sticky || kept & 1 == 1)) { kept += 1 }
        return (kept, remainder == 0 && !sticky)
    }

    /// The value with at most `places` digits behind the point, or rounded before the point when negative. Values that
    /// have no more digits stay as they are.
    public func rounded(
        places: Int = 0, _ rule: FloatingPointRoundingRule = .toNearestOrEven
    ) -> Decimal128 {
        guard isFinite else { return self }
        let target = places == .min ? Int.max : -places
        guard exponent < target else { return self }
        let drop = target.subtractingReportingOverflow(exponent)
        var (kept, rest, half): (UInt128, UInt128, UInt128) = (0, coefficient, .max)
        if !drop.overflow, drop.partialValue <= 38 {
            let unit = powersOfTen[drop.partialValue]
            (kept, rest) = coefficient.quotientAndRemainder(dividingBy: unit)
            half = unit / 2
        }
        let up =
            switch rule {
            case .towardZero: false
            case .awayFromZero: rest > 0
            case .down: rest > 0 && isNegative
            case .up: rest > 0 && !isNegative
            case .toNearestOrAwayFromZero: rest >= half
            default: rest > half || (rest == half && kept & 1 == 1)
            }
        if up { kept += 1 }
        return Decimal128.rounding(isNegative: isNegative, UInt256(kept), exponent: min(target, 8000), ideal: target)
            .value
    }

    /// The same number with `places` digits behind the point, as zeros at its end; with fewer where 34 digits do not
    /// suffice.
    public func padded(places: Int) -> Decimal128 {
        guard isFinite, exponent > -places else { return self }
        let room = coefficient == 0 ? Int.max : Decimal128.digitsMax - decimalDigitCount(coefficient)
        let pad = min(exponent - max(-places, Decimal128.exponentMin), room)
        guard pad > 0 else { return self }
        let digits = coefficient == 0 ? 0 : coefficient * powersOfTen[pad]
        return Decimal128(isNegative: isNegative, coefficient: digits, exponent: exponent - pad)
    }
}
