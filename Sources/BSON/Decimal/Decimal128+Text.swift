internal import CDecimal

/// Text as the BSON specification's decimal128 string conversions have it.
extension Decimal128: CustomStringConvertible {
    /// Scientific notation when the exponent is positive or the value is below 0.000001, plain digits otherwise.
    public var description: String {
        if isNaN { return "NaN" }
        let sign = isNegative ? "-" : ""
        if isInfinite { return sign + "Infinity" }
        let digits = String(coefficient)
        let count = digits.utf8.count
        let adjusted = exponent + count - 1
        if exponent > 0 || adjusted < -6 {
            let rest = digits.dropFirst()
            let point = rest.isEmpty ? "" : "."
            return "\(sign)\(digits.prefix(1))\(point)\(rest)E\(adjusted < 0 ? "-" : "+")\(adjusted.magnitude)"
        }
        if exponent == 0 { return sign + digits }
        let whole = count + exponent
        if whole > 0 { return "\(sign)\(digits.prefix(whole)).\(digits.dropFirst(whole))" }
        return sign + "0." + String(repeating: "0", count: -whole) + digits
    }

    /// Parses decimal text; nil when it is malformed or, unless `isRounding`, not representable exactly.
    public init?(_ text: String, isRounding: Bool = false) {
        var scan = DecimalScan(text)
        let isNegative = scan.takeSign()
        if let word = scan.takeWord() {
            switch word {
            case "inf", "infinity": self = .infinity(isNegative: isNegative)
            case "nan": self = isNegative ? -.nan : .nan
            default: return nil
            }
            return
        }
        guard let number = scan.takeNumber() else { return nil }
        if number.digits == 0, !number.sticky {
            // A zero has the nearest exponent that there is, and is exact.
            let exponent = min(max(number.exponent, Decimal128.exponentMin), Decimal128.exponentMax)
            self.init(isNegative: isNegative, coefficient: 0, exponent: exponent)
            return
        }
        // One more digit stands for all that were cut off: it decides how a half is rounded.
        let digits = "\(isNegative ? "-" : "")\(number.digits)\(number.sticky ? "1" : "")"
        var result = cdecimal()
        let exponent = number.sticky ? number.exponent - 1 : number.exponent
        let isExact = cdecimal_parse("\(digits)E\(exponent)", &result)
        guard isExact || isRounding else { return nil }
        self.init(result)
    }

    /// The decimal nearest to a double, of 34 digits at most.
    public init(nearest value: Double) { self.init(cdecimal_from_double(value)) }

    /// The double rounded to `digits` significant decimal digits, as MongoDB converts (15).
    public init(_ value: Double, digits: Int = 15) {
        guard value.isFinite else {
            self = value.isNaN ? .nan : .infinity(isNegative: value < 0)
            return
        }
        if value == 0 {
            self.init(isNegative: value.sign == .minus, coefficient: 0, exponent: 0)
            return
        }
        self = Decimal128(DoubleText.scientific(value, digits: min(max(digits, 1), 34))) ?? .nan
    }
}

/// Reads decimal text from the front.
private struct DecimalScan {
    /// Beyond every exponent that matters, and small enough to add to.
    private static let exponentLimit = 1_000_000
    /// 10^37: one digit more still fits.
    private static let digitsLimit: UInt128 = 10_000_000_000_000_000_000_000_000_000_000_000_000

    private let text: [UInt8]
    private var at = 0

    init(_ text: String) { self.text = Array(text.utf8) }

    private var next: UInt8? { at < text.count ? text[at] : nil }

    mutating func takeSign() -> Bool {
        guard let sign = next, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") else { return false }
        at += 1
        return sign == UInt8(ascii: "-")
    }

    /// The rest in lower case when it starts with a letter.
    func takeWord() -> String? {
        guard let first = next, first | 0x20 >= UInt8(ascii: "a"), first | 0x20 <= UInt8(ascii: "z") else { return nil }
        return String(decoding: text[at...].map { $0 | 0x20 }, as: UTF8.self)
    }

    private mutating func takeDigit() -> UInt8? {
        guard let digit = next, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
        at += 1
        return digit - UInt8(ascii: "0")
    }

    /// Digits, point, digits and exponent up to the end of the text. Beyond 38 digits, all that is kept is whether one
    /// was not zero.
    mutating func takeNumber() -> (digits: UInt128, exponent: Int, sticky: Bool)? {
        var (digits, exponent, sticky, seen, isFraction): (UInt128, Int, Bool, Bool, Bool) = (0, 0, false, false, false)
        while true {
            if let digit = takeDigit() {
                seen = true
                if digits < DecimalScan.digitsLimit {
                    digits = digits * 10 + UInt128(digit)
                    if isFraction { exponent -= 1 }
                } else {
                    sticky = sticky || digit != 0
                    if !isFraction { exponent += 1 }
                }
            } else if next == UInt8(ascii: "."), !isFraction {
                isFraction = true
                at += 1
            } else {
                break
            }
        }
        guard seen else { return nil }
        if let mark = next {
            guard mark | 0x20 == UInt8(ascii: "e") else { return nil }
            at += 1
            let isNegative = takeSign()
            guard var power = takeDigit().map(Int.init) else { return nil }
            while let digit = takeDigit() { power = min(power * 10 + Int(digit), DecimalScan.exponentLimit) }
            exponent += isNegative ? -power : power
        }
        return at == text.count ? (digits, exponent, sticky) : nil
    }
}
