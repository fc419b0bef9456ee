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
        if values.binarySearch(value) != nil { return true }
        return try details.first(of: expressions.count) { (index, details) throws(ServerError) in
            try expressions[index].matches(value, &details)
        } != nil
    }

    override var weight: MatchWeight { expressions.reduce(.one) { $0 + $1.weight } }

    override func describe() -> Document { ["$in": source] }
}
