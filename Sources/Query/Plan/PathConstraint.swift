import BSON
import Core

/// A conjunct of a filter that says something about one path.
struct PathConstraint {
    /// An `$elemMatch` around the predicate: its predicates are about the same element.
    struct Group: Equatable {
        let id: Int
        /// Names of the array's path.
        let pathCount: Int
    }

    let path: String
    let names: [String]
    let found: PredicateBounds
    let isNegation: Bool
    let groups: [Group]

    var bounds: FieldBounds { found.bounds }
    /// Whether a missing field, or null in its place, may match.
    var mayMatchNull: Bool { isNegation || found.includesNull }

    /// The length of the longest array path whose one element both are about.
    func sharedElementPathCount(_ other: PathConstraint) -> Int {
        groups.filter { other.groups.contains($0) }.map(\.pathCount).max() ?? 0
    }

    /// The conjuncts of `filter` that indexes may help with.
    static func collect(_ filter: MatchNode) -> [PathConstraint] {
        var collector = Collector()
        collector.visit(filter, prefix: [], groups: [])
        return collector.found
    }

    private struct Collector {
        var found: [PathConstraint] = []
        var groupCount = 0

        mutating func visit(_ node: MatchNode, prefix: [String], groups: [Group]) {
            switch node {
            case let node as AndNode:
                for child in node.children { visit(child, prefix: prefix, groups: groups) }
            case let node as PathNode: predicate(node, prefix: prefix, groups: groups)
            case let node as NotNode:
                guard let child = node.child as? PathNode else { return }
                negation(child, prefix: prefix, groups: groups)
            default: break
            }
        }

        /// Inside `$elemMatch`, a name that is a number may mean an array's element, which an index does not see.
        private func isUsable(_ node: PathNode, _ groups: [Group]) -> Bool {
            groups.isEmpty || !node.path.hasNumericPart
        }

        private mutating func predicate(_ node: PathNode, prefix: [String], groups: [Group]) {
            guard isUsable(node, groups) else { return }
            let names = prefix + node.path.names
            if let predicate = node.predicate as? ElementMatchObjectPredicate {
                groupCount += 1
                let group = Group(id: groupCount, pathCount: names.count)
                visit(predicate.filter, prefix: names, groups: groups + [group])
                return
            }
            guard let bounds = BoundsBuilder.bounds(node.predicate) else { return }
            add(names, bounds, isNegation: false, groups: groups)
        }

        private mutating func negation(_ node: PathNode, prefix: [String], groups: [Group]) {
            guard isUsable(node, groups) else { return }
            let names = prefix + node.path.names
            if node.predicate is ExistsPredicate {
                let missing = PredicateBounds(
                    bounds: FieldBounds([.point(.null)]), excludesMissing: false, isExact: false)
                add(names, missing, isNegation: true, groups: groups)
                return
            }
            guard let bounds = BoundsBuilder.bounds(node.predicate) else { return }
            let isNotNull =
                (node.predicate as? ComparisonPredicate).map { predicate in
                    predicate.comparison.isNull && predicate.comparison.matches(nil)
                } ?? false
            guard bounds.isExact || isNotNull else { return }
            // What is missing inside an array has the key null without being null: only for paths without arrays.
            let rest = PredicateBounds(bounds: bounds.bounds.complement, excludesMissing: isNotNull, isExact: false)
            add(names, rest, isNegation: true, groups: groups)
        }

        private mutating func add(_ names: [String], _ bounds: PredicateBounds, isNegation: Bool, groups: [Group]) {
            found.append(
                PathConstraint(
                    path: names.joined(separator: "."), names: names, found: bounds, isNegation: isNegation,
                    groups: groups))
        }
    }

    /// Whether the constraint's bounds hold for a field of an index.
    func applies(to field: KeyPattern.Field, multikey: UInt64) -> Bool {
        guard field.path.string == path else { return false }
        // A number in a path may mean a field or an element: then null says nothing.
        if field.path.hasNumericPart, mayMatchNull { return false }
        // `$ne: null` on a path with arrays: null is also the key of an element without the field.
        if isNegation, found.excludesMissing, multikey != 0 { return false }
        if field.kind == .hashed { return bounds.isPoints && !isNegation && !hasArrayPoint }
        return true
    }

    private var hasArrayPoint: Bool {
        bounds.intervals.contains {
            switch $0.low.value {
            case .array, .undefined, .regex: true
            default: false
            }
        }
    }
}
