import BSON
import Core
import Frontend
import Query
import Sharding

/// `explain`: the plans of all shards that an operation concerns, in one document.
enum ExplainRouting {
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        guard let inner = context.argument.asDocument, let first = inner.first else {
            throw wrongType("explain.explain", context.argument, "object")
        }
        let namespace =
            first.key == "aggregate"
            ? try AggregateRouting.namespace(context, first.value)
            : try context.namespace(collection: first.value, field: "explain")
        try await explain(context, inner, namespace)
    }

    /// `aggregate` with `explain: true`.
    static func runAggregate(_ context: RouterContext) async throws(ServerError) {
        try await explain(context, context.body, try AggregateRouting.namespace(context, context.argument))
    }

    private static func explain(
        _ context: RouterContext, _ command: DocumentView, _ namespace: Namespace
    ) async throws(ServerError) {
        let name = command.first?.key.string ?? ""
        let stages = name == "aggregate" ? try AggregateRouting.stages(command) : []
        try await context.routed { () throws(ServerError) in
            let destination = try await context.destination(namespace, .read)
            guard case .sharded(let collection) = destination else {
                return try await context.forwardWhole(to: destination, .read)
            }
            let query = context.queryContext(declaring: command["let"]?.asDocument)
            var targets =
                name == "aggregate"
                ? try AggregateRouting.leadingTargets(context, collection, stages, query)
                : try collection.table.targets(try collection.ranges(filter(name, command), query))
            if targets.isEmpty { targets = [collection.anyTarget] }
            let isWhole = targets.count == 1 && PipelineSplit.joined(stages).isEmpty
            let split = PipelineSplit(stages)
            let request = Document { writer in
                for field in context.body where !(field.key == "$clusterTime") {
                    let isCommand = field.key == "explain" && name == "aggregate" && field.value.type == .document
                    if isCommand, !isWhole, let inner = field.value.asDocument {
                        writer.document("explain") { part in
                            for field in inner {
                                if field.key == "pipeline" {
                                    part.array("pipeline") { array in for stage in split.shards { array.append(stage) }
                                    }
                                } else {
                                    part.append(field.key, field.value)
                                }
                            }
                        }
                    } else if field.key == "pipeline", !isWhole {
                        writer.array("pipeline") { array in for stage in split.shards { array.append(stage) } }
                    } else {
                        writer.append(field.key, field.value)
                    }
                }
            }
            let replies = try await context.ask(targets) { _ in request }
            if name == "aggregate", !isWhole {
                write(split, replies, context)
            } else {
                try await write(name, command, replies, context)
            }
        }
    }

    private static func filter(_ name: String, _ command: DocumentView) -> DocumentView? {
        switch name {
        case "find": command["filter"]?.asDocument
        case "count", "distinct", "findAndModify", "findandmodify": command["query"]?.asDocument
        case "update": command["updates"]?.asArray?.first?.value.asDocument?["q"]?.asDocument
        case "delete": command["deletes"]?.asArray?.first?.value.asDocument?["q"]?.asDocument
        default: nil
        }
    }

    /// A pipeline that is split.
    private static func write(
        _ split: PipelineSplit, _ replies: [(ShardTarget, RemoteReply)], _ context: RouterContext
    ) {
        let writer = context.writer
        writer.append("mergeType", string: "mongos")
        writer.document("splitPipeline") { inner in
            inner.array("shardsPart") { array in for stage in split.shards { array.append(stage) } }
            inner.array("mergerPart") { array in
                if let sort = split.sort {
                    array.append(["$mergeCursors": ["sort": .document(sort)]] as Document)
                }
                for stage in split.merge { array.append(stage) }
            }
        }
        writer.document("shards") { all in
            for (target, reply) in replies {
                all.document(target.shard.name) { inner in
                    reply.body.withView { view in
                        for field in view where !RouterContext.isGossip(field.key) && !(field.key == "ok") {
                            inner.append(field.key, field.value)
                        }
                    }
                }
            }
        }
    }

    /// Any other operation.
    private static func write(
        _ name: String, _ command: DocumentView, _ replies: [(ShardTarget, RemoteReply)], _ context: RouterContext
    ) async throws(ServerError) {
        let isSorted = name == "find" && !(command["sort"]?.asDocument?.isEmpty ?? true)
        let stage = replies.count == 1 ? "SINGLE_SHARD" : isSorted ? "SHARD_MERGE_SORT" : "SHARD_MERGE"
        var shards: [(name: String, hosts: String, reply: Document)] = []
        for (target, reply) in replies {
            let set = try await context.catalog.shard(target.shard)
            shards.append((target.shard.name, set.hosts, reply.body))
        }
        let writer = context.writer
        writer.document("queryPlanner") { planner in
            planner.document("winningPlan") { plan in
                plan.append("stage", string: stage)
                plan.array("shards") { array in
                    for shard in shards {
                        array.document { entry in
                            entry.append("shardName", string: shard.name)
                            entry.append("connectionString", string: shard.hosts)
                            append(shard.reply["queryPlanner"], to: entry)
                            if let server = shard.reply["serverInfo"] { entry.append("serverInfo", server) }
                        }
                    }
                }
            }
        }
        if shards.contains(where: { $0.reply["executionStats"] != nil }) {
            writer.document("executionStats") { stats in
                for field in ["nReturned", "totalKeysExamined", "totalDocsExamined"] {
                    let sum = shards.reduce(Int64(0)) {
                        $0 &+ ($1.reply["executionStats"]?.asDocument?[field]?.asInteger ?? 0)
                    }
                    stats.append(field, .int64(sum))
                }
                let longest = shards.compactMap {
                    $0.reply["executionStats"]?.asDocument?["executionTimeMillis"]?.asInteger
                }.max()
                stats.append("executionTimeMillis", int64: longest ?? 0)
                stats.document("executionStages") { stages in
                    stages.append("stage", string: stage)
                    stages.array("shards") { array in
                        for shard in shards {
                            array.document { entry in
                                entry.append("shardName", string: shard.name)
                                append(shard.reply["executionStats"], to: entry)
                            }
                        }
                    }
                }
            }
        }
        writer.append("command", command)
    }

    private static func append(_ value: Value?, to writer: DocumentWriter) {
        for (name, value) in value?.asDocument?.fields ?? [] { writer.append(name, value) }
    }
}
