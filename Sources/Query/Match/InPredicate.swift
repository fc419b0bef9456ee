import BSON
import Core

/// `$in`: equality with one of many values, or a match of one of its regular expressions.
final class InPredicate: ValuePredicate {
    /// The values in MongoDB's order, without regular expressions.
    let values: [ValueView]
    let expressions: [RegexPredicate]
    let hasNull: Bool
    let source: Value

    init(values: [ValueView], expressions: [RegexPredicate], source: Value) {
        self.values = values.sorted { ValueView.compare($0, $1) < 0 }
        self.expressions = expressions
        self.source = source
        hasNull = values.contains { $0.type == .null }
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value else { return hasNull }
        if contains(value) { return true }
        for expression in expressions where try expression.matches(value, &details) { return true }
        return false
    }

    private func contains(_ value: ValueView) -> Bool {
        var low = 0
        var high = values.count
        while low < high {
            let middle = (low + high) / 2
            let order = ValueView.compare(values[middle], value)
            if order == 0 { return true }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return false
    }

    override func watch(by budget: EvaluationBudget?) -> Bool {
        expressions.reduce(false) { mayTakeLong, expression in expression.watch(by: budget) || mayTakeLong }
    }

    override func describe() -> Document { ["$in": source] }
}
