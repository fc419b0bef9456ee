import BSON
import Core

/// What matching reports besides yes or no.
struct MatchDetails {
    /// Index of the element of the outermost array at which the last array path matched, or -1.
    var position = -1
}

/// A compiled condition on a document. Not a plug point: a closed family of final classes, so that a walk over the tree
/// costs one virtual call a node.
class MatchNode {
    func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool { true }
    /// The condition in normal form, for `explain`.
    func describe() -> Document { Document() }
    /// Has the budget watch over what may take long on one document; whether there is such a thing.
    func watch(by budget: EvaluationBudget?) -> Bool { false }
}

extension [MatchNode] {
    /// Every one of them.
    func watch(by budget: EvaluationBudget?) -> Bool {
        reduce(false) { mayTakeLong, node in node.watch(by: budget) || mayTakeLong }
    }
}

/// A conjunction; true when empty.
final class AndNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        for child in children where try !child.matches(document, &details) { return false }
        return true
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { children.watch(by: budget) }
    override func describe() -> Document {
        children.isEmpty ? Document() : ["$and": .array(children.map { .document($0.describe()) })]
    }
}

/// A disjunction.
final class OrNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        for child in children where try child.matches(document, &details) { return true }
        return false
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { children.watch(by: budget) }
    override func describe() -> Document { ["$or": .array(children.map { .document($0.describe()) })] }
}

/// `$nor`: none of the children.
final class NorNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = MatchDetails()
        for child in children where try child.matches(document, &ignored) { return false }
        return true
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { children.watch(by: budget) }
    override func describe() -> Document { ["$nor": .array(children.map { .document($0.describe()) })] }
}

/// A negation; what `$not`, `$ne`, `$nin` and `$exists: false` are made of.
final class NotNode: MatchNode {
    let child: MatchNode
    init(_ child: MatchNode) { self.child = child }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = MatchDetails()
        return try !child.matches(document, &ignored)
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { child.watch(by: budget) }
    /// `{path: {$not: condition}}` for a condition on a path, `$nor` for the rest.
    override func describe() -> Document {
        if let path = child as? PathNode { return [path.path.string: ["$not": .document(path.predicate.describe())]] }
        return ["$nor": [.document(child.describe())]]
    }
}

/// `$alwaysTrue` and `$alwaysFalse`.
final class ConstantNode: MatchNode {
    let value: Bool
    init(_ value: Bool) { self.value = value }
    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool { value }
    override func describe() -> Document { [value ? "$alwaysTrue" : "$alwaysFalse": 1] }
}

/// `$expr`: the truth of an aggregation expression.
final class ExpressionNode: MatchNode {
    let expression: Expression
    let source: Value

    init(_ value: ValueView, context: QueryContext) throws(ServerError) {
        expression = try Expression(value, context: context)
        source = Value(value)
    }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        switch try expression.evaluate(root: document) {
        case nil, .null, .undefined: false
        case .bool(let value): value
        case .some(let value): value.type.isNumber ? value.asNumber != 0 : true
        }
    }
    override func watch(by budget: EvaluationBudget?) -> Bool { true }
    override func describe() -> Document { ["$expr": source] }
}
