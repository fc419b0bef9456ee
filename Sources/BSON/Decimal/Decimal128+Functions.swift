internal import CDecimal

/// Roots, powers, logarithms and trigonometry to 34 digits, by Intel's decimal library. What is not defined is NaN.
extension Decimal128 {
    /// The root; NaN below zero.
    public func squareRoot() -> Decimal128 { Decimal128(cdecimal_sqrt(parts)) }
    /// e to this power.
    public func exponential() -> Decimal128 { Decimal128(cdecimal_exp(parts)) }
    /// The logarithm to base e; NaN below zero.
    public func naturalLogarithm() -> Decimal128 { Decimal128(cdecimal_log(parts)) }
    /// The logarithm to base 10; NaN below zero.
    public func decimalLogarithm() -> Decimal128 { Decimal128(cdecimal_log10(parts)) }
    /// With all 34 digits, as MongoDB shows powers.
    public func power(_ exponent: Decimal128) -> Decimal128 {
        Decimal128(cdecimal_power(parts, exponent.parts))
            + Decimal128(isNegative: false, coefficient: 0, exponent: Decimal128.exponentMin)
    }

    /// The sine of an angle in radians.
    public func sine() -> Decimal128 { Decimal128(cdecimal_sin(parts)) }
    /// The cosine of an angle in radians.
    public func cosine() -> Decimal128 { Decimal128(cdecimal_cos(parts)) }
    /// The tangent of an angle in radians.
    public func tangent() -> Decimal128 { Decimal128(cdecimal_tan(parts)) }
    /// The angle in radians; NaN outside of -1 to 1.
    public func arcSine() -> Decimal128 { Decimal128(cdecimal_asin(parts)) }
    /// The angle in radians; NaN outside of -1 to 1.
    public func arcCosine() -> Decimal128 { Decimal128(cdecimal_acos(parts)) }
    /// The angle in radians.
    public func arcTangent() -> Decimal128 { Decimal128(cdecimal_atan(parts)) }
    /// The angle of the point that is this far up and `x` to the right.
    public func arcTangent(x: Decimal128) -> Decimal128 { Decimal128(cdecimal_atan2(parts, x.parts)) }
    /// The hyperbolic sine.
    public func hyperbolicSine() -> Decimal128 { Decimal128(cdecimal_sinh(parts)) }
    /// The hyperbolic cosine.
    public func hyperbolicCosine() -> Decimal128 { Decimal128(cdecimal_cosh(parts)) }
    /// The hyperbolic tangent.
    public func hyperbolicTangent() -> Decimal128 { Decimal128(cdecimal_tanh(parts)) }
    /// The inverse of the hyperbolic sine.
    public func areaSine() -> Decimal128 { Decimal128(cdecimal_asinh(parts)) }
    /// The inverse of the hyperbolic cosine; NaN below 1.
    public func areaCosine() -> Decimal128 { Decimal128(cdecimal_acosh(parts)) }
    /// The inverse of the hyperbolic tangent; NaN outside of -1 to 1.
    public func areaTangent() -> Decimal128 { Decimal128(cdecimal_atanh(parts)) }
}
