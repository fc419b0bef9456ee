import BSON
import Core

/// `$ceil`, `$floor`, `$round`, `$trunc`.
enum RoundingOperators {
    static let table: [String: OperatorEntry] = [
        "$ceil": .unary { (operands) throws(ServerError) in try whole("$ceil", operands[0], .up) },
        "$floor": .unary { (operands) throws(ServerError) in try whole("$floor", operands[0], .down) },
        "$round": .positional(1, 2) { (operands) throws(ServerError) in try toPlace("$round", operands, isRound: true)
        },
        "$trunc": .positional(1, 2) { (operands) throws(ServerError) in try toPlace("$trunc", operands, isRound: false)
        },
    ]

    private static func whole(
        _ name: String, _ operand: Value?, _ rule: FloatingPointRoundingRule
    ) throws(ServerError) -> Value? {
        guard let number = try ArithmeticOperators.number(operand, name) else { return .null }
        switch number {
        case .int32, .int64: return number.value
        case .double(let value): return .double(value.rounded(rule))
        case .decimal(let value): return .decimal128(rounded(value, rule))
        }
    }

    /// A decimal with an integer part beyond a double's has no fraction worth rounding away.
    private static func rounded(_ value: Decimal128, _ rule: FloatingPointRoundingRule) -> Decimal128 {
        value.rounded(places: 0, rule)
    }

    private static func toPlace(_ name: String, _ operands: [Value?], isRound: Bool) throws(ServerError) -> Value? {
        guard let number = try ArithmeticOperators.number(operands[0], name) else { return .null }
        let place = try place(name, operands)
        guard let place else { return .null }
        switch number {
        case .int32, .int64: return try integer(name, number, place, isRound)
        case .double(let value):
            guard value.isFinite else { return .double(value) }
            return .double(DecimalDigits(value).rounded(toPlaces: place, isRound: isRound))
        case .decimal(let value):
            return .decimal128(value.rounded(places: place, isRound ? .toNearestOrEven : .towardZero))
        }
    }

    private static func place(_ name: String, _ operands: [Value?]) throws(ServerError) -> Int? {
        guard operands.count > 1 else { return 0 }
        if isNullish(operands[1]) { return nil }
        guard let precision = Number(operands[1]) else {
            throw ServerError(location: 51080, "precision argument to \(name) must be a integral value")
        }
        guard let place = precision.exactInteger else {
            throw ServerError(location: 51082, "precision argument to \(name) must be a integral value")
        }
        guard (-20...100).contains(place) else {
            throw ServerError(
                location: 51083, "cannot apply \(name) with precision value \(place) value must be in [-20, 100]")
        }
        return Int(place)
    }

    private static func integer(
        _ name: String, _ number: Number, _ place: Int, _ isRound: Bool
    ) throws(ServerError) -> Value? {
        guard place < 0, let value = number.integerValue else { return number.value }
        guard -place <= 18 else { return Number.integer(0, narrow: number.isInt32).value }
        var scale: Int64 = 1
        for _ in 0..<(-place) { scale *= 10 }
        let remainder = value % scale
        var result = value - remainder
        if isRound {
            let isOdd = (result / scale) % 2 != 0
            let twice = remainder.magnitude.multipliedReportingOverflow(by: 2).partialValue
            if twice > scale.magnitude || (twice == scale.magnitude && isOdd) {
                let (away, overflow) = result.addingReportingOverflow(value < 0 ? -scale : scale)
                if overflow { throw ServerError(location: 51080, "invalid conversion of the result of \(name)") }
                result = away
            }
        }
        return Number.integer(result, narrow: number.isInt32).value
    }
}

/// The shortest decimal digits of a double: what people mean by its places.
struct DecimalDigits {
    private var isNegative = false
    private var digits: [UInt8] = []
    /// How many of the digits stand before the decimal point; may be negative or beyond their number.
    private var pointPosition = 0

    init(_ value: Double) {
        var exponent = 0
        var sawPoint = false
        let text = Array(value.description.utf8)
        var index = 0
        while index < text.count {
            let byte = text[index]
            switch byte {
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "."): sawPoint = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"):
                exponent = Int(String(decoding: text[(index + 1)...], as: UTF8.self)) ?? 0
                index = text.count
            default:
                digits.append(byte &- UInt8(ascii: "0"))
                if !sawPoint { pointPosition += 1 }
            }
            index += 1
        }
        pointPosition += exponent
    }

    /// The number with `places` digits behind the point (before it when negative), ties to even or cut off.
    func rounded(toPlaces places: Int, isRound: Bool) -> Double {
        let kept = pointPosition + places
        if kept >= digits.count { return text(digits, pointPosition) }
        if kept < 0 { return isNegative ? -0.0 : 0 }
        var result = Array(digits[..<kept])
        var position = pointPosition
        if isRound, roundsUp(kept) {
            var index = kept - 1
            while index >= 0, result[index] == 9 {
                result[index] = 0
                index -= 1
            }
            if index >= 0 {
                result[index] += 1
            } else {
                result.insert(1, at: 0)
                position += 1
            }
        }
        return text(result, position)
    }

    private func roundsUp(_ kept: Int) -> Bool {
        if digits[kept] != 5 { return digits[kept] > 5 }
        if digits[(kept + 1)...].contains(where: { $0 != 0 }) { return true }
        return kept > 0 && digits[kept - 1] % 2 == 1
    }

    private func text(_ digits: [UInt8], _ position: Int) -> Double {
        let mantissa = digits.isEmpty ? "0" : String(decoding: digits.map { $0 + UInt8(ascii: "0") }, as: UTF8.self)
        let value = Double("0.\(mantissa)e\(position)") ?? 0
        return isNegative ? -value : value
    }
}
