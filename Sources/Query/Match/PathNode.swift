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

    override var weight: MatchWeight { predicate.weight }

    private func enter(
        _ document: DocumentView, _ part: Int, _ details: inout MatchDetails
    ) throws(ServerError) -> Bool {
        let name = path.parts[part]
        guard let value = details.find(KeyView(base: name.base, count: name.count), in: document) else {
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
        let named = path.parts[part].index
        return try details.first(in: array) { (element, index, details) throws(ServerError) in
            guard index == named else { return try enter(element.value, at: index, part, &details) }
            return try details.first(of: 2) { (step, details) throws(ServerError) in
                try step == 0
                    ? enter(element.value, at: index, part, &details) : descend(element.value, part + 1, &details)
            } != nil
        } != nil
    }

    /// An element of an array, when it is a document.
    @inline(__always) private func enter(
        _ element: ValueView, at index: Int, _ part: Int, _ details: inout MatchDetails
    ) throws(ServerError) -> Bool {
        guard element.type == .document, try enter(DocumentView(base: element.pointer), part, &details) else {
            return false
        }
        details.position = index
        return true
    }

    /// The elements of an array, then the array.
    private func expand(_ value: ValueView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try details.first(of: 2) { (step, details) throws(ServerError) in
            if step == 1 { return try predicate.matches(value, &details) }
            let array = DocumentView(base: value.pointer)
            let found = try details.first(in: array) { (element, _, details) throws(ServerError) in
                try predicate.matches(element.value, &details)
            }
            guard let found else { return false }
            details.position = found
            return true
        } != nil
    }
}
