internal import CDecimal

/// Roots, powers, logarithms and trigonometry to 34 digits, by Intel's decimal library. What is not defined is NaN.
extension Decimal128 {
    public func squareRoot() -> Decimal128 { Decimal128(cdecimal_sqrt(parts)) }
    public func exponential() -> Decimal128 { Decimal128(cdecimal_exp(parts)) }
    public func naturalLogarithm() -> Decimal128 { Decimal128(cdecimal_log(parts)) }
    public func decimalLogarithm() -> Decimal128 { Decimal128(cdecimal_log10(parts)) }
    /// With all 34 digits, as MongoDB shows powers.
    public func power(_ exponent: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_power(parts, exponent.parts))
            + Decimal128(isNegative: false, coefficient: 0, exponent: Decimal128.exponentMin)
    }

    public func sine() -> Decimal128 { Decimal128(cdecimal_sin(parts)) }
    public func cosine() -> Decimal128 { Decimal128(cdecimal_cos(parts)) }
    public func tangent() -> Decimal128 { Decimal128(cdecimal_tan(parts)) }
    public func arcSine() -> Decimal128 { Decimal128(cdecimal_asin(parts)) }
    public func arcCosine() -> Decimal128 { Decimal128(cdecimal_acos(parts)) }
    public func arcTangent() -> Decimal128 { Decimal128(cdecimal_atan(parts)) }
    /// The angle of the point that is this far up and `x` to the right.
    public func arcTangent(x: Decimal128) -> Decimal128 { Decimal128(cdecimal_atan2(parts, x.parts)) }
    public func hyperbolicSine() -> Decimal128 { Decimal128(cdecimal_sinh(parts)) }
    public func hyperbolicCosine() -> Decimal128 { Decimal128(cdecimal_cosh(parts)) }
    public func hyperbolicTangent() -> Decimal128 { Decimal128(cdecimal_tanh(parts)) }
    public func areaSine() -> Decimal128 { Decimal128(cdecimal_asinh(parts)) }
    public func areaCosine() -> Decimal128 { Decimal128(cdecimal_acosh(parts)) }
    public func areaTangent() -> Decimal128 { Decimal128(cdecimal_atanh(parts)) }
}
