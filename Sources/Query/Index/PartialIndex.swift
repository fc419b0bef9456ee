import BSON
import Core

/// Which filters a partial index may have, and which queries may use it.
enum PartialIndex {
    /// Throws 67 for a filter that a partial index cannot have.
    static func check(_ node: MatchNode, depth: Int = 0) throws(ServerError) {
        switch node {
        case let node as AndNode: for child in node.children { try check(child, depth: depth + 1) }
        case let node as OrNode: for child in node.children { try check(child, depth: depth + 1) }
        case let node as PathNode:
            switch node.predicate {
            case is ComparisonPredicate, is InPredicate, is ExistsPredicate, is TypePredicate: break
            default: throw unsupported(node)
            }
        default: throw unsupported(node)
        }
    }

    private static func unsupported(_ node: MatchNode) -> ServerError {
        ServerError(
            .cannotCreateIndex,
            "Expression not supported in partial index: \(ValueText.document(node.describe()))")
    }

    /// Whether every document that matches `query` surely matches `filter`.
    static func isImplied(_ filter: MatchNode, by query: MatchNode) -> Bool {
        switch filter {
        case let filter as AndNode: return filter.children.allSatisfy { isImplied($0, by: query) }
        case let filter as OrNode where filter.children.contains(where: { isImplied($0, by: query) }): return true
        default: break
        }
        switch query {
        case let query as AndNode: return query.children.contains { isImplied(filter, by: $0) }
        case let query as OrNode: return query.children.allSatisfy { isImplied(filter, by: $0) }
        case let query as PathNode:
            guard let filter = filter as? PathNode, filter.path.string == query.path.string else { return false }
            return implies(query.predicate, filter.predicate)
        default: return false
        }
    }

    /// Whether a value that satisfies `query` satisfies `filter`.
    private static func implies(_ query: ValuePredicate, _ filter: ValuePredicate) -> Bool {
        switch query {
        case let query as ComparisonPredicate:
            let comparison = query.comparison
            switch filter {
            case is ExistsPredicate:
                // Comparisons with null, MinKey and MaxKey hold for missing fields too.
                return !Comparison(comparison.operation, comparison.operand).matches(nil)
            case let filter as ComparisonPredicate: return implies(comparison, filter.comparison)
            default: return comparison.operation == .equal && satisfies(comparison.operand, filter)
            }
        case let query as InPredicate:
            return query.expressions.isEmpty && query.values.allSatisfy { satisfies($0, filter) }
        case is ExistsPredicate: return filter is ExistsPredicate
        default: return query.describe() == filter.describe()
        }
    }

    /// Whether one constant satisfies a predicate. Arrays and null are left out: what they match is not one value.
    private static func satisfies(_ value: ValueView, _ filter: ValuePredicate) -> Bool {
        guard value.type != .array, value.type != .null else { return false }
        if let filter = filter as? TypePredicate {
            // The query's value may be stored as any type that compares with it.
            let kind = value.type.comparisonClass
            return BSONType.allCases.allSatisfy { $0.comparisonClass != kind || filter.types.contains($0) }
        }
        var details = MatchDetails()
        return (try? filter.matches(value, &details)) ?? false
    }

    private static func implies(_ query: Comparison, _ filter: Comparison) -> Bool {
        if query.operation == .equal {
            if query.operand.type == filter.operand.type, filter.operation == .equal {
                return ValueView.compare(query.operand, filter.operand) == 0
            }
            return query.operand.type != .array && query.operand.type != .null && filter.matches(query.operand)
        }
        let kind = query.operand.type.comparisonClass
        guard kind == filter.operand.type.comparisonClass, kind != 0, kind != 16, !query.operand.isNaN,
            !filter.operand.isNaN
        else { return false }
        let order = ValueView.compare(query.operand, filter.operand)
        switch (query.operation, filter.operation) {
        case (.greater, .greater), (.greaterOrEqual, .greaterOrEqual), (.greater, .greaterOrEqual): return order >= 0
        case (.greaterOrEqual, .greater): return order > 0
        case (.less, .less), (.lessOrEqual, .lessOrEqual), (.less, .lessOrEqual): return order <= 0
        case (.lessOrEqual, .less): return order < 0
        default: return false
        }
    }
}
