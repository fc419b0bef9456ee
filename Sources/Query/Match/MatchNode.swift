import BSON
import Core

/// A compiled condition on a document. Not a plug point: a closed family of final classes, so that a walk over the tree
/// costs one virtual call a node.
class MatchNode {
    func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool { true }
    /// The condition in normal form, for `explain`.
    func describe() -> Document { Document() }
    /// What matching one document may take.
    var weight: MatchWeight { .one }
}

extension [MatchNode] {
    var weight: MatchWeight { reduce(.one) { $0 + $1.weight } }
    /// The first that is true of the document, or false.
    @inline(__always) fileprivate func first(
        _ isTrue: Bool, of document: DocumentView, _ details: inout MatchDetails
    ) throws(ServerError) -> Int? {
        try details.first(of: count) { (index, details) throws(ServerError) in
            try self[index].matches(document, &details) == isTrue
        }
    }
}

/// A conjunction; true when empty.
final class AndNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try children.first(false, of: document, &details) == nil
    }
    override var weight: MatchWeight { children.weight }
    override func describe() -> Document {
        children.isEmpty ? Document() : ["$and": .array(children.map { .document($0.describe()) })]
    }
}

/// A disjunction.
final class OrNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try children.first(true, of: document, &details) != nil
    }
    override var weight: MatchWeight { children.weight }
    override func describe() -> Document { ["$or": .array(children.map { .document($0.describe()) })] }
}

/// `$nor`: none of the children.
final class NorNode: MatchNode {
    let children: [MatchNode]
    init(_ children: [MatchNode]) { self.children = children }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = details.ignored
        return try children.first(true, of: document, &ignored) == nil
    }
    override var weight: MatchWeight { children.weight }
    override func describe() -> Document { ["$nor": .array(children.map { .document($0.describe()) })] }
}

/// A negation; what `$not`, `$ne`, `$nin` and `$exists: false` are made of.
final class NotNode: MatchNode {
    let child: MatchNode
    init(_ child: MatchNode) { self.child = child }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = details.ignored
        return try !child.matches(document, &ignored)
    }
    override var weight: MatchWeight { child.weight }
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
    override var weight: MatchWeight { .long }
    override func describe() -> Document { ["$expr": source] }
}
