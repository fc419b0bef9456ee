import BSON
import Core

/// A compiled condition on one value. Not a plug point: a closed family of final classes.
class ValuePredicate {
    /// Whether an array at the end of a path is tried element by element before it is tried itself.
    var expandsArrays: Bool { true }
    /// Whether `value` satisfies the condition; nil is a missing field.
    func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool { true }
    /// The operator document, for `explain`.
    func describe() -> Document { Document() }
    /// Has the budget watch over what may take long on one value; whether there is such a thing.
    func watch(by budget: EvaluationBudget?) -> Bool { false }
}

/// All of several conditions, on the same value.
final class AllPredicate: ValuePredicate {
    let children: [ValuePredicate]
    init(_ children: [ValuePredicate]) { self.children = children }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        for child in children where try !child.matches(value, &details) { return false }
        return true
    }
    override func watch(by budget: EvaluationBudget?) -> Bool {
        children.reduce(false) { mayTakeLong, child in child.watch(by: budget) || mayTakeLong }
    }
    override func describe() -> Document {
        Document { writer in
            for child in children { for (name, value) in child.describe().fields { writer.append(name, value) } }
        }
    }
}

/// The negation of a condition on one value.
final class NotPredicate: ValuePredicate {
    let child: ValuePredicate
    init(_ child: ValuePredicate) { self.child = child }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = MatchDetails()
        return try !child.matches(value, &ignored)
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { child.watch(by: budget) }
    override func describe() -> Document { ["$not": .document(child.describe())] }
}

/// `$exists: true`.
final class ExistsPredicate: ValuePredicate {
    override var expandsArrays: Bool { false }
    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        value != nil
    }
    override func describe() -> Document { ["$exists": true] }
}

/// `$size`.
final class SizePredicate: ValuePredicate {
    let size: Int64
    init(_ size: Int64) { self.size = size }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        return Int64(array.fieldCount) == size
    }
    override func describe() -> Document { ["$size": .int64(size)] }
}

/// `$type`: a set of BSON types.
final class TypePredicate: ValuePredicate {
    let types: Set<BSONType>
    let source: Value
    init(_ types: Set<BSONType>, source: Value) {
        self.types = types
        self.source = source
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        value.map { types.contains($0.type) } ?? false
    }
    override func describe() -> Document { ["$type": source] }
}

/// `$mod`: the remainder of a truncated division.
final class ModPredicate: ValuePredicate {
    let divisor: Int64
    let remainder: Int64
    init(divisor: Int64, remainder: Int64) {
        self.divisor = divisor
        self.remainder = remainder
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value, let dividend = ModPredicate.truncated(value) else { return false }
        // The remainder of Int64.min by -1 does not fit the processor's division; it is 0.
        return (divisor == -1 ? 0 : dividend % divisor) == remainder
    }
    override func describe() -> Document { ["$mod": [.int64(divisor), .int64(remainder)]] }

    /// A number without its fraction, when it fits 64 bits.
    static func truncated(_ value: ValueView) -> Int64? {
        if let integer = value.asInteger { return integer }
        guard value.type.isNumber, let number = value.asNumber, number.isFinite else { return nil }
        return Int64(exactly: number.rounded(.towardZero))
    }
}

/// A regular expression on strings; also equal to the same expression stored as a value.
final class RegexPredicate: ValuePredicate {
    let expression: RegularExpression
    private var budget: EvaluationBudget?
    /// The long texts of the document that is being looked at: how the search of each ended, and last the one that was
    /// interrupted. Who comes back with the document asks for all of them again, in the same order.
    private var searches: [LongSearch] = []
    private var attempt: UInt64 = 0
    /// How many of them were asked for in this attempt.
    private var asked = 0

    private struct LongSearch {
        let search: RegexSearch
        var outcome: Bool?
    }

    init(_ expression: RegularExpression) { self.expression = expression }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value else { return false }
        switch value.type {
        case .string, .symbol:
            guard let text = value.asStringBytes else { return false }
            return text.count > Limits.regexShortTextBytesMax ? try search(text) : try expression.matches(text)
        case .regex:
            guard let stored = value.asRegex else { return false }
            return stored.pattern == expression.pattern && String(stored.options.sorted()) == expression.options
        default: return false
        }
    }
    override func watch(by budget: EvaluationBudget?) -> Bool {
        self.budget = budget
        return true
    }

    /// Searches a long text in parts, between which the time is looked at.
    private func search(_ text: UnsafeRawBufferPointer) throws(ServerError) -> Bool {
        guard let budget, budget.isInterruptible else {
            return try finish(try RegexSearch(expression, [UInt8](text)))
        }
        if attempt != budget.attempts {
            attempt = budget.attempts
            asked = 0
        }
        let index = asked
        asked += 1
        if index >= searches.count || !searches[index].search.isOf(text) {
            // Another document, or this one as it has become.
            searches.removeSubrange(min(index, searches.count)...)
            searches.append(LongSearch(search: try RegexSearch(expression, [UInt8](text))))
        }
        if let outcome = searches[index].outcome { return outcome }
        let outcome = try finish(searches[index].search)
        searches[index].outcome = outcome
        return outcome
    }

    private func finish(_ search: RegexSearch) throws(ServerError) -> Bool {
        while true {
            switch try search.next() {
            case .match: return true
            case .end: return false
            case .none: if try budget?.look() == true { throw .evaluationInterrupted }
            }
        }
    }

    override func describe() -> Document {
        expression.options.isEmpty
            ? ["$regex": .string(expression.pattern)]
            : ["$regex": .string(expression.pattern), "$options": .string(expression.options)]
    }
}
