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
        case .decimal(let value): return .decimal128(value.whole(rule))
        }
    }

    /// Doubles are rounded by their exact value, which the text of a double only stands for: 2.675 lies below the
    /// half. Decimals come out with all the places that were asked for, as far as 34 digits go.
    private static func toPlace(_ name: String, _ operands: [Value?], isRound: Bool) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard let number = Number(operands[0]) else {
            throw ServerError(
                location: 51081, "\(name) only supports numeric types, not \(typeName(operands[0]))")
        }
        guard let place = try place(name, operands) else { return .null }
        let rule: FloatingPointRoundingRule = isRound ? .toNearestOrEven : .towardZero
        switch number {
        case .int32, .int64: return try integer(name, number, place, isRound)
        case .double(let value):
            guard value.isFinite else { return .double(value) }
            return .double(Decimal128(value, digits: 34).rounded(places: place, rule).doubleValue)
        case .decimal(let value): return .decimal128(value.rounded(places: place, rule).padded(places: place))
        }
    }

    private static func place(_ name: String, _ operands: [Value?]) throws(ServerError) -> Int? {
        guard operands.count > 1 else { return 0 }
        if isNullish(operands[1]) { return nil }
        guard let precision = Number(operands[1]) else {
            throw ServerError(location: 16004, "can't convert from BSON type \(typeName(operands[1])) to long")
        }
        guard let place = precision.exactInteger else {
            let whole = precision.doubleValue
            guard whole.magnitude < 0x1p63 || (precision.isDecimal && whole.isNaN) else {
                throw ServerError(location: 31109, "Can't coerce out of range value \(whole) to long")
            }
            throw ServerError(location: 51082, "precision argument to  \(name) must be a integral value")
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
        // 10^19 is no long, but more than half of it may be one.
        let rounded = Decimal128(value).rounded(places: place, isRound ? .toNearestOrEven : .towardZero)
        guard let result = rounded.exactInt64 else {
            throw ServerError(
                location: 51080,
                "invalid conversion from Decimal128 result in \(name) resulting from arguments: "
                    + "[\(value), \(place)]")
        }
        return Number.integer(result, narrow: number.isInt32).value
    }
}
