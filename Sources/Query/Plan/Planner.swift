import BSON
public import Core

/// Chooses how to find the documents of a query, by rules alone: the same query and indexes give the same plan.
public enum Planner {
    /// Plans a query over a collection that has `indexes` (the `_id` index may be among them).
    ///
    /// `hint` names an index that must be used; code 2 when there is none such. `limits` say which keys of it.
    public static func plan(
        filter: Filter, sort: SortPattern? = nil, hint: QueryHint? = nil, limits: KeyLimits? = nil,
        indexes: [IndexSpec]
    ) throws(ServerError) -> QueryPlan {
        let sort = sort.flatMap { $0.isEmpty && $0.natural == nil ? nil : $0 }
        if let limits { return try limited(limits, hint, filter, sort, indexes) }
        if let hint { return try hinted(hint, filter, sort, indexes) }
        if let direction = sort?.natural {
            return QueryPlan(access: .collectionScan(direction), residual: filter, providesSort: true)
        }
        if let plan = lookup(filter, sort) { return plan }
        let visible = indexes.filter { !$0.isHidden }
        if let choice = best(visible, filter.tree, sort) {
            return QueryPlan(
                access: .indexScan(choice.scan), residual: filter,
                providesSort: sort == nil || choice.sortDirection != nil)
        }
        if let scans = union(filter.tree, visible) {
            return QueryPlan(access: .indexUnion(scans), residual: filter, providesSort: sort == nil)
        }
        return QueryPlan(access: .collectionScan(.forward), residual: filter, providesSort: sort == nil)
    }

    // MARK: Lookups by _id

    private static func lookup(_ filter: Filter, _ sort: SortPattern?) -> QueryPlan? {
        for node in (filter.tree as? AndNode)?.children ?? [filter.tree] {
            guard let node = node as? PathNode, node.path.string == "_id" else { continue }
            if let predicate = node.predicate as? ComparisonPredicate, predicate.comparison.operation == .equal,
                isPossibleID(predicate.comparison.operand)
            {
                return QueryPlan(
                    access: .idLookup(Value(predicate.comparison.operand)), residual: filter, providesSort: true)
            }
            if let predicate = node.predicate as? InPredicate, predicate.expressions.isEmpty {
                let bounds = FieldBounds(predicate.values.filter(isPossibleID).map { .point(Value($0)) })
                let isSorted = sort.map { sort in
                    sort.pattern.fields.count == 1 && sort.pattern.fields[0].path.string == "_id"
                        && sort.pattern.fields[0].kind == .ascending
                }
                return QueryPlan(
                    access: .idsLookup(bounds.intervals.map(\.low.value)), residual: filter,
                    providesSort: isSorted ?? true)
            }
        }
        return nil
    }

    /// Arrays, regular expressions and undefined are never an `_id`.
    private static func isPossibleID(_ value: ValueView) -> Bool {
        switch value.type {
        case .array, .regex, .undefined: false
        default: true
        }
    }

    // MARK: Indexes

    private static func best(_ indexes: [IndexSpec], _ filter: MatchNode, _ sort: SortPattern?) -> IndexChoice? {
        let constraints = PathConstraint.collect(filter)
        var best: IndexChoice?
        for index in indexes {
            guard let choice = IndexChoice(index, constraints: constraints, filter: filter, sort: sort, isHinted: false)
            else { continue }
            let isUseful =
                choice.isBounded || choice.sortDirection != nil
                || (index.partialFilter != nil || index.isSparse) && !constraints.isEmpty
            guard isUseful else { continue }
            // The first of equals wins, so that the order of the list decides.
            if best.map({ choice.score > $0.score }) ?? true { best = choice }
        }
        return best
    }

    /// One scan for each branch of an `$or`, when every branch has an index.
    private static func union(_ filter: MatchNode, _ indexes: [IndexSpec]) -> [IndexScan]? {
        for node in (filter as? AndNode)?.children ?? [filter] {
            guard let node = node as? OrNode else { continue }
            var scans: [IndexScan] = []
            for branch in node.children {
                guard let choice = best(indexes, branch, nil), choice.isBounded else { break }
                scans.append(choice.scan)
            }
            if scans.count == node.children.count { return scans }
        }
        return nil
    }

    // MARK: Hints

    private static func hinted(
        _ hint: QueryHint, _ filter: Filter, _ sort: SortPattern?, _ indexes: [IndexSpec]
    ) throws(ServerError) -> QueryPlan {
        if case .natural(let direction) = hint {
            let isSorted = sort == nil || sort?.natural == direction
            return QueryPlan(access: .collectionScan(direction), residual: filter, providesSort: isSorted)
        }
        let index = named(hint, indexes)
        if index == nil, isIdHint(hint) {
            // The caller keeps no index for _id: its order is the table's.
            if let plan = lookup(filter, sort) { return plan }
            return QueryPlan(access: .collectionScan(.forward), residual: filter, providesSort: sort == nil)
        }
        guard let index else { throw badHint() }
        if index.isIdIndex, let plan = lookup(filter, sort) { return plan }
        let constraints = PathConstraint.collect(filter.tree)
        guard let choice = IndexChoice(index, constraints: constraints, filter: filter.tree, sort: sort, isHinted: true)
        else { throw badHint() }
        return QueryPlan(
            access: .indexScan(choice.scan), residual: filter, providesSort: sort == nil || choice.sortDirection != nil)
    }

    private static func named(_ hint: QueryHint, _ indexes: [IndexSpec]) -> IndexSpec? {
        switch hint {
        case .natural: nil
        case .name(let name): indexes.first { $0.name == name && !$0.isHidden }
        case .keyPattern(let pattern):
            indexes.first { index in
                !index.isHidden
                    && index.keyPattern.withView { a in pattern.withView { DocumentView.compare(a, $0) == 0 } }
            }
        }
    }

    /// `min` and `max`: part of a hinted index, whatever the filter says; that is only checked on what is found.
    private static func limited(
        _ limits: KeyLimits, _ hint: QueryHint?, _ filter: Filter, _ sort: SortPattern?, _ indexes: [IndexSpec]
    ) throws(ServerError) -> QueryPlan {
        guard let hint else {
            throw ServerError(
                location: 51173, "When using min()/max() a hint of which index to use must be provided")
        }
        guard let index = named(hint, indexes) else { throw badHint() }
        let choice = IndexChoice(index, constraints: [], filter: filter.tree, sort: sort, isHinted: true)
        let scan = try limits.scan(index, choice?.sortDirection ?? .forward)
        return QueryPlan(
            access: .indexScan(scan), residual: filter, providesSort: sort == nil || choice?.sortDirection != nil)
    }

    private static func isIdHint(_ hint: QueryHint) -> Bool {
        switch hint {
        case .name(let name): name == "_id_"
        case .keyPattern(let pattern): pattern.keys == ["_id"] && pattern["_id"]?.asNumber == 1
        case .natural: false
        }
    }

    private static func badHint() -> ServerError {
        ServerError(
            .badValue,
            "error processing query: planner returned error: hint provided does not correspond to an existing index")
    }
}
