import BSON
import Core

/// `$elemMatch` with operators: an array with an element that satisfies all of them.
final class ElementMatchValuePredicate: ValuePredicate {
    let condition: ValuePredicate
    init(_ condition: ValuePredicate) { self.condition = condition }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        var index = 0
        for element in array {
            if try condition.matches(element.value, &details) {
                details.position = index
                return true
            }
            index += 1
        }
        return false
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { condition.watch(by: budget) }
    override func describe() -> Document { ["$elemMatch": .document(condition.describe())] }
}

/// `$elemMatch` with fields: an array with a document (or an array, by index) that matches a filter.
final class ElementMatchObjectPredicate: ValuePredicate {
    let filter: MatchNode
    init(_ filter: MatchNode) { self.filter = filter }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        var index = 0
        for element in array {
            if let document = element.value.asDocument ?? element.value.asArray,
                try filter.matches(document, &details)
            {
                details.position = index
                return true
            }
            index += 1
        }
        return false
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { filter.watch(by: budget) }
    override func describe() -> Document { ["$elemMatch": .document(filter.describe())] }
}
