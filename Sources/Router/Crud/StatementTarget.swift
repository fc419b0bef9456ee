import BSON
import Core
import Frontend
import Query
import Sharding

/// Where one statement of a write goes.
enum StatementTarget {
    /// One shard has, or gets, all that it is about.
    case one(ShardRoute)
    /// Each of several shards carries it out on what it has.
    case each([ShardRoute], [KeyRange])
    /// It is for one document, which has to be found first.
    case search([ShardTarget])
}

/// A shard, and what the router believes of it.
struct ShardRoute {
    let shard: ShardID
    let versions: RoutedRequest

    init(_ shard: ShardID, _ versions: RoutedRequest) {
        self.shard = shard
        self.versions = versions
    }

    init(_ target: ShardTarget) { self.init(target.shard, RoutedRequest(placement: target.version)) }
}

extension RouterContext {
    /// Where a statement goes in a sharded collection.
    /// - Throws: `ShardKeyNotFound` and what else is wrong with the statement alone.
    func target(
        of statement: DocumentView, _ kind: WriteBatch.Kind, in collection: RoutedCollection
    ) throws(ServerError) -> StatementTarget {
        switch kind {
        case .insert: return .one(ShardRoute(try collection.owner(of: statement)))
        case .update:
            return try target(
                filter: statement["q"]?.asDocument, isMulti: statement["multi"]?.isTruthy ?? false,
                isUpsert: statement["upsert"]?.isTruthy ?? false, in: collection)
        case .delete:
            return try target(
                filter: statement["q"]?.asDocument, isMulti: statement["limit"]?.asInteger == 0, isUpsert: false,
                in: collection)
        }
    }

    /// Where a change of the documents that match a filter goes.
    func target(
        filter: DocumentView?, isMulti: Bool, isUpsert: Bool, in collection: RoutedCollection
    ) throws(ServerError) -> StatementTarget {
        let fields = collection.space.pattern.fields.map(\.path)
        let bounds = try filter.map { filter throws(ServerError) in
            try Filter(filter, context: queryContext(declaring: variables)).shardKeyBounds(of: fields)
        }
        let ranges = try bounds.map { bounds throws(ServerError) in try collection.space.ranges(bounds) } ?? [.all]
        let targets = try collection.table.targets(ranges)
        if isUpsert {
            // What is inserted gets its key from the filter.
            guard let bounds, bounds.allSatisfy(\.isOneValue), targets.count == 1 else {
                throw ServerError(
                    .shardKeyNotFound,
                    "Failed to target upsert by query :: could not extract exact shard key of "
                        + "\(collection.namespace): the filter must say one value for each of \(fields)")
            }
            return .one(ShardRoute(targets[0]))
        }
        if targets.count <= 1 { return .one(ShardRoute(targets.first ?? collection.anyTarget)) }
        // At most one shard has the document of an `_id`; the others find nothing.
        if isMulti || filter?.hasPlainID == true { return .each(targets.map { ShardRoute($0) }, ranges) }
        return .search(targets)
    }
}

extension ShardKeyBounds {
    /// Whether the field has one value.
    var isOneValue: Bool {
        guard intervals.count == 1, let only = intervals.first else { return false }
        return only.includesLow && only.includesHigh && only.low == only.high
    }
}

extension DocumentView {
    /// Whether a filter asks for one `_id`.
    var hasPlainID: Bool {
        guard let id = self["_id"] else { return false }
        switch id.type {
        case .regex, .array: return false
        case .document:
            guard let first = id.asDocument?.first, first.key.isOperator else { return true }
            return first.key == "$eq" && id.asDocument?.fieldCount == 1
        default: return true
        }
    }
}
