internal import CDecimal

extension Decimal128 {
    /// The value with at most `places` digits behind the point, or rounded before the point when negative. Values that
    /// have no more digits stay as they are.
    public func rounded(
        places: Int = 0, _ rule: FloatingPointRoundingRule = .toNearestOrEven
    ) -> Decimal128 {
        let target = -max(places, -Decimal128.exponentMax)
        guard isFinite, exponent < target else { return self }
        if rule == .awayFromZero { return rounded(places: places, isNegative ? .down : .up) }
        let rounding: cdecimal_rounding =
            switch rule {
            case .towardZero: CDECIMAL_TOWARD_ZERO
            case .down: CDECIMAL_DOWN
            case .up: CDECIMAL_UP
            case .toNearestOrAwayFromZero: CDECIMAL_NEAREST_AWAY
            default: CDECIMAL_NEAREST_EVEN
            }
        return quantized(exponent: target, rounding)
    }

    /// The same number with `places` digits behind the point, as zeros at its end; with fewer where 34 digits do not
    /// suffice.
    public func padded(places: Int) -> Decimal128 {
        let target = max(-min(places, -Decimal128.exponentMin), Decimal128.exponentMin)
        guard isFinite, exponent > target else { return self }
        let digits = coefficient
        let room = digits == 0 ? Int.max : Decimal128.digitsMax - String(digits).utf8.count
        let pad = min(exponent - target, room)
        return pad > 0 ? quantized(exponent: exponent - pad, CDECIMAL_NEAREST_EVEN) : self
    }

    /// The whole number next to the value in a direction. As in MongoDB, NaN for infinities and where the digits do not
    /// reach down to the point.
    public func whole(_ rule: FloatingPointRoundingRule) -> Decimal128 {
        quantized(exponent: 0, rule == .up ? CDECIMAL_UP : rule == .down ? CDECIMAL_DOWN : CDECIMAL_TOWARD_ZERO)
    }

    private func quantized(exponent: Int, _ rounding: cdecimal_rounding) -> Decimal128 {
        let quantum = Decimal128(isNegative: false, coefficient: 1, exponent: exponent)
        return Decimal128(cdecimal_quantize(parts, quantum.parts, rounding))
    }
}
