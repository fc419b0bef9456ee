import BSON
import Core

/// `$elemMatch` with operators: an array with an element that satisfies all of them.
final class ElementMatchValuePredicate: ValuePredicate {
    let condition: ValuePredicate
    init(_ condition: ValuePredicate) { self.condition = condition }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        let found = try details.first(in: array) { (element, _, details) throws(ServerError) in
            try condition.matches(element.value, &details)
        }
        guard let found else { return false }
        details.position = found
        return true
    }
    override var weight: MatchWeight { condition.weight }
    override func describe() -> Document { ["$elemMatch": .document(condition.describe())] }
}

/// `$elemMatch` with fields: an array with a document (or an array, by index) that matches a filter.
final class ElementMatchObjectPredicate: ValuePredicate {
    let filter: MatchNode
    init(_ filter: MatchNode) { self.filter = filter }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        let found = try details.first(in: array) { (element, _, details) throws(ServerError) in
            guard let document = element.value.asDocument ?? element.value.asArray else { return false }
            return try filter.matches(document, &details)
        }
        guard let found else { return false }
        details.position = found
        return true
    }
    override var weight: MatchWeight { filter.weight }
    override func describe() -> Document { ["$elemMatch": .document(filter.describe())] }
}
