internal import BSON
internal import Core

/// When a fail point that is met fires.
package enum FailPointMode {
    case off
    case alwaysOn
    /// The next that many times, then never.
    case times(Int32)
    /// Not the next that many times, then always.
    case skip(Int32)
    /// Each time with that probability.
    case activationProbability(Double)

    /// - Throws: `FailedToParse` and `BadValue` for a mode that is none.
    init(_ value: ValueView?) throws(ServerError) {
        guard let value else {
            throw ServerError(.failedToParse, "BSON field 'configureFailPoint.mode' is missing but a required field")
        }
        if let name = value.asString {
            switch name {
            case "off": self = .off
            case "alwaysOn": self = .alwaysOn
            default: throw ServerError(.failedToParse, "unknown mode '\(name)': 'off' or 'alwaysOn' is expected")
            }
            return
        }
        guard let view = value.asDocument, let field = view.first, view.fieldCount == 1 else {
            throw ServerError(
                .failedToParse,
                "'mode' is 'off', 'alwaysOn', {times: n}, {skip: n} or {activationProbability: p}")
        }
        switch field.key {
        case "times": self = .times(try Self.count(field))
        case "skip": self = .skip(try Self.count(field))
        case "activationProbability":
            guard let chance = field.value.asDouble, (0...1).contains(chance) else {
                throw ServerError(.badValue, "'activationProbability' must be a number between 0 and 1")
            }
            self = .activationProbability(chance)
        default: throw ServerError(.badValue, "'mode.\(field.key.string)' is not a mode of fail points")
        }
    }

    private static func count(_ field: DocumentView.Element) throws(ServerError) -> Int32 {
        guard let number = field.value.asInteger, let count = Int32(exactly: number), count >= 0 else {
            throw ServerError(
                .badValue, "'mode.\(field.key.string)' must be an integer between 0 and 2147483647")
        }
        return count
    }

    /// The fail point is met: whether it fires now.
    mutating func fires(_ runtime: any NodeRuntime) -> Bool {
        switch self {
        case .off: return false
        case .alwaysOn: return true
        case .times(let left):
            guard left > 0 else { return false }
            self = left == 1 ? .off : .times(left - 1)
            return true
        case .skip(let left):
            guard left > 0 else { return true }
            self = .skip(left - 1)
            return false
        case .activationProbability(let chance):
            return Double(runtime.randomNumber() >> 11) * 0x1p-53 < chance
        }
    }

    var isOff: Bool {
        switch self {
        case .off, .times(0): true
        default: false
        }
    }
}
