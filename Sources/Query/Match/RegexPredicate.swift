import BSON
import Core

/// A regular expression on strings; also equal to the same expression stored as a value.
final class RegexPredicate: ValuePredicate {
    let expression: RegularExpression

    init(_ expression: RegularExpression) { self.expression = expression }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value else { return false }
        switch value.type {
        case .string, .symbol:
            guard let text = value.asStringBytes else { return false }
            return try expression.matches(text, details)
        case .regex:
            guard let stored = value.asRegex else { return false }
            return stored.pattern == expression.pattern && String(stored.options.sorted()) == expression.options
        default: return false
        }
    }
    override var weight: MatchWeight { .long }

    override func describe() -> Document {
        expression.options.isEmpty
            ? ["$regex": .string(expression.pattern)]
            : ["$regex": .string(expression.pattern), "$options": .string(expression.options)]
    }
}

extension RegularExpression {
    /// Whether there is a match in a text. A long one is searched in parts, between which the time is looked at.
    func matches(_ text: UnsafeRawBufferPointer, _ details: MatchDetails) throws(ServerError) -> Bool {
        guard text.count > Limits.regexShortTextBytesMax else { return try matches(text) }
        let search: RegexSearch
        if let kept = details.kept(RegexSearch.self) {
            search = kept
        } else {
            search = try RegexSearch(self, [UInt8](text))
        }
        do throws(ServerError) {
            while true {
                switch try search.next() {
                case .match: return true
                case .end: return false
                case .none: try details.spend(Limits.evaluationStepsPerLook)
                }
            }
        } catch {
            details.keep(search, error)
            throw error
        }
    }
}
