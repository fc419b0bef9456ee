internal import CBSON

/// Doubles as text.
public enum DoubleText {
    /// With as few digits as tell the double from all others: whole numbers without a point, powers from 10^16 on and
    /// below 10^-4.
    public static func shortest(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        let text = value.description.utf8
        let mantissa = text.prefix { $0 | 0x20 != UInt8(ascii: "e") }
        let power = text.dropFirst(mantissa.count + 1)
        let fraction = mantissa.drop { $0 != UInt8(ascii: ".") }.dropFirst()
        var digits = mantissa.filter { DoubleText.isDigit($0) }
        var exponent = (Int(String(decoding: power, as: UTF8.self)) ?? 0) + digits.count - fraction.count - 1
        while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
        while digits.count > 1, digits.first == UInt8(ascii: "0") {
            digits.removeFirst()
            exponent -= 1
        }
        return layOut(isNegative: value.sign == .minus, digits, exponent: value == 0 ? 0 : exponent, powersFrom: 16)
    }

    /// Rounded to `digits` significant digits, as C's `%g` has it.
    public static func rounded(_ value: Double, digits: Int) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let count = min(max(digits, 1), 34)
        let text = scientific(value, digits: count)
        var kept = Array(text.utf8.prefix { $0 != UInt8(ascii: "e") }.filter { isDigit($0) })
        let exponent = Int(text.split(separator: "e").last.map(String.init) ?? "") ?? 0
        while kept.count > 1, kept.last == UInt8(ascii: "0") { kept.removeLast() }
        return layOut(isNegative: value.sign == .minus, kept, exponent: exponent, powersFrom: count)
    }

    /// One digit, a point, the others, and the exponent.
    static func scientific(_ value: Double, digits: Int) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let length = cbson_format_double(value, Int32(clamping: digits), buffer.baseAddress, 64)
            return String(decoding: UnsafeRawBufferPointer(buffer).prefix(Int(length)), as: UTF8.self)
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    /// Digits whose first stands for 10^`exponent`.
    private static func layOut(isNegative: Bool, _ digits: [UInt8], exponent: Int, powersFrom: Int) -> String {
        let text = String(decoding: digits, as: UTF8.self)
        let sign = isNegative ? "-" : ""
        if exponent < -4 || exponent >= powersFrom {
            let rest = text.dropFirst()
            let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return "\(sign)\(text.prefix(1))\(rest.isEmpty ? "" : ".")\(rest)e\(exponent < 0 ? "-" : "+")\(power)"
        }
        if exponent < 0 { return "\(sign)0.\(String(repeating: "0", count: -exponent - 1))\(text)" }
        if digits.count <= exponent + 1 {
            return sign + text + String(repeating: "0", count: exponent + 1 - digits.count)
        }
        return "\(sign)\(text.prefix(exponent + 1)).\(text.dropFirst(exponent + 1))"
    }
}
