public import BSON
public import Core

/// A compiled query filter.
///
/// Owns a copy of what it was made of. Matching reads the document in place and allocates nothing, except in `$expr`.
public final class Filter {
    /// The filter as it was written, for the planner.
    let tree: MatchNode
    /// The same, arranged for speed.
    private let program: MatchNode
    /// The condition on one value, of a filter made by `init(valueCondition:)`.
    private let valuePredicate: ValuePredicate?
    private let source: OwnedBytes
    /// Whether it may take long on one document, however short: with `$expr`, with regular expressions.
    public let mayTakeLong: Bool
    /// A longer document is matched in steps.
    private let bytesAtOnce: Int
    /// The steps of an evaluation that matching something short is worth.
    let shortSteps: Int
    private let budget: EvaluationBudget?
    /// Where the match of a document stands that was interrupted.
    private var progress: MatchProgress?

    /// Compiles a filter document. Owns what it needs of it.
    public init(_ document: DocumentView, context: QueryContext) throws(ServerError) {
        source = OwnedBytes(copying: document)
        tree = try FilterParser(context: context).conjunction(source.view)
        program = SimpleConjunction(tree) ?? tree
        valuePredicate = nil
        let weight = tree.weight
        mayTakeLong = weight.mayTakeLong
        bytesAtOnce = weight.bytesAtOnce
        shortSteps = weight.shortSteps
        budget = context.budget?.value
    }

    /// Compiles a condition on one value, for `matches(value:)`: what `{field: condition}` means for the field's
    /// value.
    ///
    /// Operators (`{$gte: 6}`), a regular expression, or the value itself. A document without operators is a filter
    /// that the value, a document, must match when `documentsAreFilters` is set (`$pull`), else it must be equal.
    public init(
        valueCondition: ValueView, documentsAreFilters: Bool = false, context: QueryContext
    ) throws(ServerError) {
        source = OwnedBytes(copying: valueCondition)
        guard let condition = source.view.first?.value else {
            throw ServerError(.internalError, "a copied value is missing")
        }
        let parser = FilterParser(context: context)
        if documentsAreFilters, let document = condition.asDocument, !FilterParser.isValueCondition(document) {
            tree = try parser.conjunction(document)
            valuePredicate = nil
        } else {
            tree = AndNode([])
            valuePredicate = try parser.condition(condition, field: "", depth: 0).predicate
        }
        program = SimpleConjunction(tree) ?? tree
        let weight = valuePredicate?.weight ?? tree.weight
        mayTakeLong = weight.mayTakeLong
        bytesAtOnce = weight.bytesAtOnce
        shortSteps = weight.shortSteps
        budget = context.budget?.value
    }

    /// Whether the filter matches every document.
    public var isEmpty: Bool { valuePredicate == nil && ((tree as? AndNode)?.children.isEmpty ?? false) }

    /// Whether `document` matches. `$expr` errors surface here.
    @inline(__always)
    public func matches(_ document: DocumentView) throws(ServerError) -> Bool {
        guard document.byteCount > bytesAtOnce, budget != nil else {
            var details = MatchDetails()
            return try program.matches(document, &details)
        }
        var position: Int?
        return try matchesInSteps(document, &position)
    }

    /// The same, and the index of the first array element that an array path matched at: what positional `$` means.
    /// `position` is nil when no array was searched.
    public func matches(_ document: DocumentView, position: inout Int?) throws(ServerError) -> Bool {
        guard document.byteCount > bytesAtOnce, budget != nil else {
            var details = MatchDetails()
            let matched = try program.matches(document, &details)
            position = matched && details.position >= 0 ? details.position : nil
            return matched
        }
        return try matchesInSteps(document, &position)
    }

    /// Made for the first document that needs it: most filters never meet one.
    private func makeProgress() -> MatchProgress? {
        if progress == nil, let budget { progress = MatchProgress(budget) }
        return progress
    }

    private func matchesInSteps(_ document: DocumentView, _ position: inout Int?) throws(ServerError) -> Bool {
        guard let progress = makeProgress() else { return false }
        var found = -1
        let matched = try progress.matches(document, position: &found) { (document, details) throws(ServerError) in
            try tree.matches(document, &details)
        }
        position = matched && found >= 0 ? found : nil
        return matched
    }

    /// The same, for a caller who can come back with the same document: nil when the slice was used up meanwhile.
    @inline(__always)
    public func matchesInterruptibly(_ document: DocumentView) throws(ServerError) -> Bool? {
        guard document.byteCount > bytesAtOnce else { return try matches(document) }
        return try budget.interruptibly { () throws(ServerError) in try matches(document) }
    }

    public func matchesInterruptibly(_ document: DocumentView, position: inout Int?) throws(ServerError) -> Bool? {
        guard document.byteCount > bytesAtOnce else { return try matches(document, position: &position) }
        return try budget.interruptibly { () throws(ServerError) in try matches(document, position: &position) }
    }

    /// Whether one value satisfies the condition. An array is one value here: its elements are not tried.
    ///
    /// For a filter made of a document, the value must be a document that matches.
    public func matches(value: ValueView) throws(ServerError) -> Bool {
        guard value.byteCount > bytesAtOnce, let progress = makeProgress() else {
            var details = MatchDetails()
            return try matches(value, &details)
        }
        return try progress.atOnce { (details) throws(ServerError) in try matches(value, &details) }
    }

    /// The same, for a caller who comes back with the same value when the match was interrupted.
    func matchesInSteps(value: ValueView) throws(ServerError) -> Bool {
        guard value.byteCount > bytesAtOnce, let progress = makeProgress() else {
            var details = MatchDetails()
            return try matches(value, &details)
        }
        let holder = Document { $0.append("", value) }
        return try holder.withChecked { (view) throws(ServerError) in
            var position = -1
            return try progress.matches(view, position: &position) { (view, details) throws(ServerError) in
                guard let value = view.first?.value else { return false }
                return try matches(value, &details)
            }
        }
    }

    private func matches(_ value: ValueView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        if let valuePredicate { return try valuePredicate.matches(value, &details) }
        guard let document = value.asDocument else { return false }
        return try tree.matches(document, &details)
    }

    /// The same for an element of an array, as `$elemMatch` asks: an array among them counts as a document of its
    /// elements.
    func matchesElement(_ value: ValueView) throws(ServerError) -> Bool {
        guard valuePredicate == nil, let array = value.asArray else { return try matches(value: value) }
        return try matches(array)
    }

    /// The filter in normal form, for `explain`.
    public var parsedQuery: Document { valuePredicate?.describe() ?? tree.describe() }

    /// The fields that an upsert takes over: equalities at the top level and inside `$and`, in order. A path that is
    /// set twice is in the list twice.
    public var equalityAssignments: [(path: String, value: Value)] {
        var found: [(path: String, value: Value)] = []
        Filter.collectEqualities(tree, into: &found)
        return found
    }

    private static func collectEqualities(_ node: MatchNode, into found: inout [(path: String, value: Value)]) {
        switch node {
        case let node as AndNode:
            for child in node.children { collectEqualities(child, into: &found) }
        case let node as OrNode where node.children.count == 1:
            collectEqualities(node.children[0], into: &found)
        case let node as PathNode:
            if let predicate = node.predicate as? ComparisonPredicate, predicate.comparison.operation == .equal {
                found.append((path: node.path.string, value: Value(predicate.comparison.operand)))
            }
        default: break
        }
    }
}
