import BSON
import Core

/// What one index can do for a query, and how good that is. Always the same for the same question: no statistics.
struct IndexChoice {
    let index: IndexSpec
    let bounds: [FieldBounds]
    /// The direction in which the index gives the sort, if it does.
    let sortDirection: ScanDirection?
    let score: Int

    var scan: IndexScan { IndexScan(index: index, bounds: bounds, direction: sortDirection ?? .forward) }
    /// Whether the index leaves out anything at all.
    var isBounded: Bool { !bounds[0].isAll }

    /// Nil when the index could miss a document that matches. `isHinted` accepts a sparse or partial index that could,
    /// as MongoDB.
    init?(
        _ index: IndexSpec, constraints: [PathConstraint], filter: MatchNode, sort: SortPattern?, isHinted: Bool
    ) {
        if !isHinted, let partial = index.partialFilter, !PartialIndex.isImplied(partial.tree, by: filter) {
            return nil
        }
        let fields = index.pattern.fields
        if index.isSparse, !isHinted {
            let excludesMissing = constraints.contains { constraint in
                constraint.found.excludesMissing
                    && zip(fields, index.multikeyPaths).contains { constraint.applies(to: $0, multikey: $1) }
            }
            guard excludesMissing else { return nil }
        }
        self.index = index
        let bounds = IndexChoice.chooseBounds(index, constraints)
        self.bounds = bounds
        sortDirection = sort.flatMap { IndexChoice.sortDirection(index, bounds: bounds, sort: $0) }
        score = IndexChoice.score(index, bounds, providesSort: sortDirection != nil)
    }

    // MARK: Bounds

    private static func chooseBounds(_ index: IndexSpec, _ constraints: [PathConstraint]) -> [FieldBounds] {
        var chosen: [PathConstraint] = []
        // A sparse index has no key for an element without the field, which null would match.
        let hidesNull = index.isSparse && index.isMultikey
        return zip(index.pattern.fields, index.multikeyPaths).map { field, multikey in
            let usable = constraints.filter { constraint in
                constraint.applies(to: field, multikey: multikey)
                    && (field.kind != .hashed || index.hash != nil)
                    && !(hidesNull && constraint.mayMatchNull)
                    && chosen.allSatisfy { canCombine($0, constraint, index) }
            }
            guard
                let best = usable.enumerated().max(by: { a, b in
                    let (ratingA, ratingB) = (rating(a.element), rating(b.element))
                    return ratingA != ratingB ? ratingA < ratingB : a.offset > b.offset
                })?.element
            else { return .all }
            var bounds = best.bounds
            chosen.append(best)
            for other in usable where canIntersect(best, other, multikey) {
                bounds = bounds.intersection(other.bounds)
                chosen.append(other)
            }
            return bounds
        }
    }

    private static func rating(_ constraint: PathConstraint) -> Int {
        let bounds = constraint.bounds
        if bounds.intervals.isEmpty || bounds.isSinglePoint { return 4 }
        if bounds.isPoints { return 3 }
        if bounds.isAll { return 0 }
        return constraint.isNegation ? 1 : 2
    }

    /// Whether two constraints on one field are met by one key: there are no arrays, or both are about one element.
    private static func canIntersect(_ a: PathConstraint, _ b: PathConstraint, _ multikey: UInt64) -> Bool {
        multikey >> UInt64(min(a.sharedElementPathCount(b), 63)) == 0
    }

    /// Whether constraints on two fields of an index are met by one key: they share no array, or only one element of
    /// it.
    private static func canCombine(_ a: PathConstraint, _ b: PathConstraint, _ index: IndexSpec) -> Bool {
        let bound = a.sharedElementPathCount(b)
        var shared = 0
        while shared < a.names.count, shared < b.names.count, a.names[shared] == b.names[shared] { shared += 1 }
        for (field, multikey) in zip(index.pattern.fields, index.multikeyPaths)
        where field.path.string == a.path || field.path.string == b.path {
            for part in bound..<max(bound, shared) where multikey & (1 << UInt64(min(part, 63))) != 0 { return false }
        }
        return true
    }

    // MARK: Sort

    private static func sortDirection(_ index: IndexSpec, bounds: [FieldBounds], sort: SortPattern) -> ScanDirection? {
        guard !sort.isEmpty, sort.natural == nil else { return nil }
        let fields = index.pattern.fields
        guard !fields.contains(where: { $0.kind == .hashed }) else { return nil }
        let isUnbounded = bounds.allSatisfy(\.isAll)
        var direction: ScanDirection?
        var at = 0
        for wanted in sort.pattern.fields {
            if let field = fields.firstIndex(where: { $0.path.string == wanted.path.string }),
                bounds[field].isSinglePoint, index.multikeyPaths[field] == 0
            {
                // The field has one value in all results: it sorts nothing.
                continue
            }
            while at < fields.count, fields[at].path.string != wanted.path.string, isFixed(at, index, bounds) {
                at += 1
            }
            guard at < fields.count, fields[at].path.string == wanted.path.string else { return nil }
            // With arrays, the key that a bounded scan meets first need not be the one that counts for the sort; and a
            // sparse index leaves out the key of an element without the field, which would count.
            guard index.multikeyPaths[at] == 0 || isUnbounded && !index.isSparse else { return nil }
            let needed: ScanDirection = fields[at].kind == wanted.kind ? .forward : .backward
            guard direction == nil || direction == needed else { return nil }
            direction = needed
            at += 1
        }
        return direction ?? .forward
    }

    /// Whether a field of the index has one value in all entries that the scan meets, or that results come from.
    private static func isFixed(_ field: Int, _ index: IndexSpec, _ bounds: [FieldBounds]) -> Bool {
        guard bounds[field].isSinglePoint else { return false }
        return index.multikeyPaths[field] == 0 || bounds[..<field].allSatisfy(\.isSinglePoint)
    }

    // MARK: Score

    /// Leading fields with one value count most, then a range, then that no sort is needed, then a shorter index.
    private static func score(_ index: IndexSpec, _ bounds: [FieldBounds], providesSort: Bool) -> Int {
        var score = 0
        var points = 0
        for one in bounds {
            if one.intervals.isEmpty || one.isSinglePoint {
                score += 100
                points += 1
                continue
            }
            if one.isPoints {
                score += 80
                points += 1
                continue
            }
            if !one.isAll { score += one.intervals.contains { $0.low == .minKey || $0.high == .maxKey } ? 20 : 60 }
            break
        }
        if index.isUnique, points == bounds.count { score += 1000 }
        if providesSort { score += 30 }
        return score * Limits.indexFieldsMax - bounds.count
    }
}
