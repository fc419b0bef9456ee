internal import CBSON

/// An IEEE 754-2008 decimal128 in binary integer encoding, as the two little-endian halves that BSON carries.
public struct Decimal128: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

extension Decimal128 {
    public static let nan = Decimal128(high: 0x7C00_0000_0000_0000, low: 0)
    public static let zero = Decimal128(isNegative: false, coefficient: 0, exponent: 0)

    public static func infinity(isNegative: Bool = false) -> Decimal128 {
        Decimal128(high: isNegative ? 0xF800_0000_0000_0000 : 0x7800_0000_0000_0000, low: 0)
    }

    /// The most significant digits a value can have.
    static let digitsMax = 34
    /// The exponents of the last digit that the encoding can carry.
    static let exponentMin = -6176
    static let exponentMax = 6111
    /// 10^34 - 1.
    static let coefficientMax: UInt128 = 9_999_999_999_999_999_999_999_999_999_999_999

    public var isNegative: Bool { high >> 63 == 1 }
    public var isNaN: Bool { high >> 58 & 31 == 31 }
    public var isInfinite: Bool { high >> 58 & 31 == 30 }
    public var isFinite: Bool { high >> 59 & 15 != 15 }
    public var isZero: Bool { isFinite && coefficient == 0 }

    /// Whether the encoding is the one with two more leading coefficient bits, which always exceed 34 digits: a zero.
    private var isLongForm: Bool { high >> 61 & 3 == 3 }

    /// The digits of a finite value as an integer; not canonical ones, which exceed 34 digits, count as zero.
    var coefficient: UInt128 {
        guard !isLongForm else { return 0 }
        let digits = UInt128(high & 0x1_FFFF_FFFF_FFFF) << 64 | UInt128(low)
        return digits <= Decimal128.coefficientMax ? digits : 0
    }

    /// The power of ten that the coefficient of a finite value is multiplied with.
    var exponent: Int {
        Int(truncatingIfNeeded: (isLongForm ? high >> 47 : high >> 49) & 0x3FFF) + Decimal128.exponentMin
    }

    /// A finite value from parts that are in range.
    init(isNegative: Bool, coefficient: UInt128, exponent: Int) {
        let sign: UInt64 = isNegative ? 1 << 63 : 0
        let biased = UInt64(truncatingIfNeeded: exponent - Decimal128.exponentMin)
        high = sign | biased << 49 | UInt64(truncatingIfNeeded: coefficient >> 64)
        low = UInt64(truncatingIfNeeded: coefficient)
    }

    public init(_ value: Int64) {
        self.init(isNegative: value < 0, coefficient: UInt128(value.magnitude), exponent: 0)
    }

    /// The value as an integer when it is one exactly.
    public var exactInt64: Int64? {
        guard isFinite else { return nil }
        var digits = coefficient
        guard digits != 0 else { return 0 }
        var power = exponent
        while power < 0 {
            let (quotient, rest) = digits.quotientAndRemainder(dividingBy: 10)
            guard rest == 0 else { return nil }
            digits = quotient
            power += 1
        }
        let limit = UInt128(Int64.min.magnitude)
        while power > 0, digits <= limit {
            digits *= 10
            power -= 1
        }
        guard power == 0, digits <= limit else { return nil }
        let magnitude = UInt64(digits)
        return isNegative ? Int64(truncatingIfNeeded: 0 &- magnitude) : Int64(exactly: magnitude)
    }

    /// The nearest double, ties to even.
    public var doubleValue: Double { cbson_decimal_to_double(high, low) }
}
