import BSON
import Core
import Frontend
import Query
import Sharding

/// `aggregate`: passed on where one shard has all that the pipeline reads; else each shard runs a part of it, and the
/// rest runs here.
enum AggregateRouting {
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        if context.body["explain"]?.isTruthy == true { return try await ExplainRouting.runAggregate(context) }
        let namespace = try namespace(context, context.argument)
        let stages = try stages(context.body)
        if try await OutputRouting.run(context, namespace, stages) { return }
        try await context.routed { () throws(ServerError) in
            let destination = try await context.destination(namespace, .read)
            if try await isWhole(context, destination, stages) {
                return try await forward(context, destination, stages)
            }
            try await merge(context, namespace, stages)
        }
    }

    /// The collection that a pipeline reads; for `{aggregate: 1}` one that cannot exist.
    static func namespace(_ context: RouterContext, _ target: ValueView) throws(ServerError) -> Namespace {
        if target.asInteger == 1 { return .withoutCollection(context.database) }
        guard !target.type.isNumber else {
            throw ServerError(
                .badValue, "Invalid command format: the 'aggregate' field must specify a collection name or 1")
        }
        return try context.namespace(collection: target, field: "aggregate")
    }

    static func stages(_ command: DocumentView) throws(ServerError) -> [Document] {
        guard let value = command["pipeline"] else {
            throw ServerError(.missingField, "BSON field 'aggregate.pipeline' is missing but a required field")
        }
        guard let pipeline = value.asArray else { throw wrongType("aggregate.pipeline", value, "array") }
        var stages: [Document] = []
        for element in pipeline {
            guard let stage = element.value.asDocument else {
                throw ServerError(.typeMismatch, "Each element of the 'pipeline' array must be an object")
            }
            stages.append(stage.document)
        }
        return stages
    }

    // MARK: Where

    /// Whether one shard has all that the pipeline reads.
    static func isWhole(
        _ context: RouterContext, _ destination: Destination, _ stages: [Document]
    ) async throws(ServerError) -> Bool {
        let joined = PipelineSplit.joined(stages).sorted()
        switch destination {
        case .config, .nowhere: return true
        case .unsharded(let database):
            for name in joined {
                guard let other = try? Namespace(validating: database.name, collection: name) else { continue }
                if try await context.catalog.placement(of: other) != nil { return false }
            }
            return true
        case .sharded(let collection):
            guard joined.isEmpty else { return false }
            return try leadingTargets(context, collection, stages).count <= 1
        }
    }

    /// The shards that have what the `$match` at the beginning of a pipeline leaves.
    static func leadingTargets(
        _ context: RouterContext, _ collection: RoutedCollection, _ stages: [Document], _ query: QueryContext? = nil
    ) throws(ServerError) -> [ShardTarget] {
        var ranges: [KeyRange] = [.all]
        let query = query ?? context.queryContext(declaring: context.variables)
        for stage in stages {
            guard let filter = stage["$match"]?.asDocument else { break }
            let found = try filter.withView { view in
                Result { () throws(ServerError) in try collection.ranges(view, query) }
            }.get()
            ranges = ranges.flatMap { range in found.compactMap { range.intersection($0) } }
        }
        return try collection.table.targets(KeyRange.joined(ranges))
    }

    private static func forward(
        _ context: RouterContext, _ destination: Destination, _ stages: [Document]
    ) async throws(ServerError) {
        guard case .sharded(let collection) = destination else {
            return try await context.forwardWhole(to: destination, .read)
        }
        let target = try leadingTargets(context, collection, stages).first ?? collection.anyTarget
        try await context.forwardWhole(to: target, .read)
    }

    // MARK: Merging

    private static func merge(
        _ context: RouterContext, _ namespace: Namespace, _ stages: [Document]
    ) async throws(ServerError) {
        var batchSize = Limits.cursorFirstBatchDefault
        guard let options = context.body["cursor"]?.asDocument else {
            throw ServerError(
                .failedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
        }
        if let size = options["batchSize"]?.coercedInteger { batchSize = Int(clamping: max(size, 0)) }
        let cursor = try await open(context, namespace, stages)
        try await context.answer(from: cursor, firstBatch: batchSize, namespace)
    }

    /// Opens a pipeline that runs on several shards and here.
    static func open(
        _ context: RouterContext, _ namespace: Namespace, _ stages: [Document]
    ) async throws(ServerError) -> MergingCursor {
        var query = context.queryContext
        query.variables = try context.evaluateVariables(query)
        query.clusterTime = context.router.clock.time
        let budget = EvaluationBudget(context.runtime, deadline: context.deadline)
        // Confined: a context lives and dies on the loop of the router that runs the query.
        query.budget = Confined(budget)
        query.random = Confined(QueryRandom(seed: context.runtime.randomNumber()))
        // What is wrong with it is said before any shard is asked.
        _ = try Document(array: stages.map { .document($0) }).withView { view in
            Result { () throws(ServerError) in try Pipeline(view, context: query) }
        }.get()
        let hub = MergeHub(context.runtime)
        let reach = ClusterReach(database: namespace.database, context: query, hub: hub)
        let output = try await open(context, namespace, stages, reach, isOutermost: true)
        return MergingCursor(output, hub, budget)
    }

    /// Opens a pipeline over a collection; its first batches are there.
    /// - Parameter isOutermost: whether it is the client's, with the options of the command.
    static func open(
        _ context: RouterContext, _ namespace: Namespace, _ stages: [Document], _ reach: ClusterReach,
        isOutermost: Bool
    ) async throws(ServerError) -> any StageExecution {
        let destination = try await context.destination(namespace, .read)
        if try await isWhole(context, destination, stages) {
            let (set, versions) = try await whole(context, destination, stages, reach)
            let command = command(context, namespace, stages, reach, isOutermost: isOutermost, needsMerge: false)
            let reply = try await context.send(
                try context.forwarded(versions, access: .read, body: command, keepsSequences: false), to: set
            ).checked()
            context.note(reply)
            return ShardsSource([try ShardStream(reply, of: set, namespace, hasKeys: false)], sort: nil, reach.hub)
        }
        let split = PipelineSplit(stages)
        let command = command(
            context, namespace, split.shards, reach, isOutermost: isOutermost, needsMerge: split.isGrouped)
        let streams: [ShardStream]
        switch destination {
        case .sharded(let collection):
            let targets = try leadingTargets(context, collection, stages, reach.context)
            context.router.counters.scattered += 1
            streams = try await context.openStreams(
                targets.isEmpty ? [collection.anyTarget] : targets, namespace, hasKeys: false
            ) { _ in command }
        case let other:
            let (set, versions) = try await context.target(of: other)
            let reply = try await context.send(
                try context.forwarded(versions, access: .read, body: command, keepsSequences: false), to: set
            ).checked()
            context.note(reply)
            streams = [try ShardStream(reply, of: set, namespace, hasKeys: false)]
        }
        do {
            let sort = try split.sort.map { sort in try sort.withView { try SortPattern($0) } }
            return try reach.merging(
                split.merge, over: ShardsSource(streams, sort: sort, reach.hub), part: split.isGrouped ? .merge : .whole
            )
        } catch {
            for stream in streams { stream.close() }
            throw (error as? ServerError) ?? ServerError(.internalError, "\(error)")
        }
    }

    private static func whole(
        _ context: RouterContext, _ destination: Destination, _ stages: [Document], _ reach: ClusterReach
    ) async throws(ServerError) -> (set: RemoteSet, versions: RoutedRequest) {
        guard case .sharded(let collection) = destination else { return try await context.target(of: destination) }
        let target = try leadingTargets(context, collection, stages, reach.context).first ?? collection.anyTarget
        return (try await context.catalog.shard(target.shard), context.versions(target))
    }

    /// The command for a shard.
    private static func command(
        _ context: RouterContext, _ namespace: Namespace, _ stages: [Document], _ reach: ClusterReach,
        isOutermost: Bool, needsMerge: Bool
    ) -> Document {
        Document { writer in
            if namespace.isWithoutCollection {
                writer.append("aggregate", int32: 1)
            } else {
                writer.append("aggregate", string: namespace.collection)
            }
            writer.array("pipeline") { array in for stage in stages { array.append(stage) } }
            writer.document("cursor") { _ in }
            if needsMerge { writer.append("needsMerge", bool: true) }
            if !reach.context.variables.isEmpty {
                writer.document("let") { variables in
                    for (name, value) in reach.context.variables.sorted(by: { $0.key < $1.key }) {
                        if let value {
                            variables.document(name) { $0.append("$literal" as String, value) }
                        } else {
                            variables.append(name, .string("$$REMOVE"))
                        }
                    }
                }
            }
            if isOutermost {
                for field in context.body {
                    switch field.key {
                    case "hint", "allowDiskUse", "collation": writer.append(field.key, field.value)
                    default: continue
                    }
                }
            }
            context.appendCommon(to: writer, readConcern: true)
            writer.append("$db", string: namespace.database)
        }
    }
}

extension RouterContext {
    /// The values of the command's variables (`let`), for the stages that run here.
    func evaluateVariables(_ context: QueryContext) throws(ServerError) -> [String: Value?] {
        var context = context
        var values: [String: Value?] = [:]
        for element in variables ?? .empty {
            let name = element.key.string
            if ["NOW", "CLUSTER_TIME", "USER_ROLES"].contains(name) {
                throw ServerError(ErrorCode(rawValue: 4_738_901), "Cannot override system variable '\(name)'")
            }
            if name != "CURRENT" { try Expression.checkVariableName(name) }
            let value = try Expression(element.value, context: context).evaluate(root: .empty)
            guard let value else {
                throw ServerError(
                    ErrorCode(rawValue: 4_890_500),
                    "Command let Expression does not evaluate to a constant: \(name)")
            }
            values[name] = value
            context.variables[name] = value
        }
        return values
    }
}
