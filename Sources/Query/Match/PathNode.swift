import BSON
import Core

/// A predicate on what a path leads to, with MongoDB's implicit search of arrays.
///
/// An array on the way is searched element by element (documents only; a name that is a number is also an index). An
/// array at the end counts as each of its elements and as itself, unless the predicate is about arrays.
final class PathNode: MatchNode {
    let path: CompiledPath
    let predicate: ValuePredicate

    init(_ path: CompiledPath, _ predicate: ValuePredicate) {
        self.path = path
        self.predicate = predicate
    }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try enter(document, 0, &details)
    }

    override func describe() -> Document { [path.string: .document(predicate.describe())] }

    override func watch(by budget: EvaluationBudget?) -> Bool { predicate.watch(by: budget) }

    private func enter(
        _ document: DocumentView, _ part: Int, _ details: inout MatchDetails
    ) throws(ServerError) -> Bool {
        let name = path.parts[part]
        guard let value = document.find(name.base, count: name.count) else {
            return try predicate.matches(nil, &details)
        }
        return try descend(value, part + 1, &details)
    }

    private func descend(_ value: ValueView, _ part: Int, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        if part == path.count {
            if value.type == .array, predicate.expandsArrays {
                return try expand(value, &details)
            }
            return try predicate.matches(value, &details)
        }
        switch value.type {
        case .document: return try enter(DocumentView(base: value.pointer), part, &details)
        case .array: return try search(DocumentView(base: value.pointer), part, &details)
        default: return try predicate.matches(nil, &details)
        }
    }

    private func search(
        _ array: DocumentView, _ part: Int, _ details: inout MatchDetails
    ) throws(ServerError) -> Bool {
        var index = 0
        for element in array {
            let value = element.value
            if value.type == .document, try enter(DocumentView(base: value.pointer), part, &details) {
                details.position = index
                return true
            }
            if index == path.parts[part].index, try descend(value, part + 1, &details) { return true }
            index += 1
        }
        return false
    }

    private func expand(_ value: ValueView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var index = 0
        for element in DocumentView(base: value.pointer) {
            if try predicate.matches(element.value, &details) {
                details.position = index
                return true
            }
            index += 1
        }
        return try predicate.matches(value, &details)
    }
}
