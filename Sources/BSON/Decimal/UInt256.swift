/// 10^0 … 10^38, all the powers of ten that fit.
let powersOfTen: [UInt128] = {
    var powers: [UInt128] = [1]
    while powers.count < 39 { powers.append(powers[powers.count - 1] * 10) }
    return powers
}()

/// The number of decimal digits; 1 for zero.
func decimalDigitCount(_ value: UInt128) -> Int {
    // log10(2) from below; at most one too small.
    let guess = max(((128 - value.leadingZeroBitCount) * 1233) >> 12, 1)
    return guess < powersOfTen.count && value >= powersOfTen[guess] ? guess + 1 : guess
}

/// Just as much of a 256-bit integer as decimal arithmetic needs: exact products and quotients of 34-digit numbers.
struct UInt256: Equatable {
    var high: UInt128
    var low: UInt128

    init(high: UInt128, low: UInt128) {
        self.high = high
        self.low = low
    }
    init(_ value: UInt128) { self.init(high: 0, low: value) }

    /// The exact product.
    init(_ a: UInt128, times b: UInt128) {
        let product = a.multipliedFullWidth(by: b)
        self.init(high: product.high, low: product.low)
    }

    var isZero: Bool { high == 0 && low == 0 }

    /// Decimal digits; 1 for zero.
    var digitCount: Int {
        if high == 0 { return decimalDigitCount(low) }
        var count = 39
        while count < 77, self >= UInt256(powersOfTen[38], times: powersOfTen[count - 38]) { count += 1 }
        return count
    }

    static func >= (a: UInt256, b: UInt256) -> Bool { a.high != b.high ? a.high > b.high : a.low >= b.low }

    /// The caller knows that the sum fits.
    static func &+ (a: UInt256, b: UInt256) -> UInt256 {
        let (low, carry) = a.low.addingReportingOverflow(b.low)
        return UInt256(high: a.high &+ b.high &+ (carry ? 1 : 0), low: low)
    }
    /// The caller knows that `a >= b`.
    static func &- (a: UInt256, b: UInt256) -> UInt256 {
        let (low, borrow) = a.low.subtractingReportingOverflow(b.low)
        return UInt256(high: a.high &- b.high &- (borrow ? 1 : 0), low: low)
    }

    func quotientAndRemainder(dividingBy divisor: UInt128) -> (quotient: UInt256, remainder: UInt128) {
        let (high, rest) = high.quotientAndRemainder(dividingBy: divisor)
        let (low, remainder) = divisor.dividingFullWidth((rest, low))
        return (UInt256(high: high, low: low), remainder)
    }
}
