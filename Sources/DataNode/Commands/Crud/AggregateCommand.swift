internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `aggregate`: the first batch of a pipeline's results, and a cursor for the rest.
enum AggregateCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "aggregate", [.read, .snapshotRead, .readConcern, .writeConcern, .stable], .aggregate,
                help: "the results of a pipeline over a collection", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        if context.body["explain"]?.isTruthy == true {
            return try SingleReplyRead.start(context) { context, point in
                try ExplainCommand.open(
                    context, context.body, verbosity: .queryPlanner, point, context: context.queryContext())
            }
        }
        if let pipeline = context.body["pipeline"]?.asArray,
            let stage = try OutputStage(pipeline, database: context.database)
        {
            return try AggregateOutput.run(context, stage)
        }
        // A pipeline that writes nothing waits for nobody, but says nothing wrong either.
        if context.arguments.writeConcern != nil { _ = try context.writeConcern() }
        let gate = try ReadGate(context)
        return try gate.run { point in
            let (cursor, namespace, batchSize) = try open(context, point)
            return FirstBatch(context, of: cursor, namespace, size: batchSize, gate.concern)
        }
    }

    /// Compiles the command's pipeline.
    static func open(
        _ context: CommandContext, _ point: ReadPoint
    ) throws -> (cursor: AggregateCursor, namespace: Namespace, batchSize: Int?) {
        guard let value = context.body["cursor"] else {
            throw ServerError(
                .failedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
        }
        guard let options = value.asDocument else { throw wrongType("aggregate.cursor", value, "object") }
        var batchSize: Int?
        for element in options {
            guard element.key == "batchSize" else {
                throw ServerError(
                    .unknownField, "BSON field 'aggregate.cursor.\(element.key.string)' is an unknown field.")
            }
            if element.value.isNullish { continue }
            guard let number = element.value.coercedInteger else {
                throw wrongType("cursor.batchSize", element.value, "long")
            }
            guard number >= 0 else { throw CommandFields.negative("batchSize", number) }
            batchSize = Int(clamping: number)
        }
        let namespace = try namespace(context, context.body)
        let cursor = try cursor(context, context.body, namespace, point, context: context.queryContext())
        return (cursor, namespace, batchSize)
    }

    /// The collection that a pipeline reads; for `{aggregate: 1}` one that cannot exist.
    static func namespace(_ context: CommandContext, _ command: DocumentView) throws(ServerError) -> Namespace {
        guard let target = command.first?.value else {
            throw ServerError(.failedToParse, "the aggregate command is empty")
        }
        if target.asInteger == 1 { return .withoutCollection(context.database) }
        guard !target.type.isNumber else {
            throw ServerError(
                .badValue, "Invalid command format: the 'aggregate' field must specify a collection name or 1")
        }
        return try context.namespace(collection: target, field: "aggregate")
    }

    /// Compiles the pipeline of an `aggregate`, which may stand inside an `explain`.
    static func cursor(
        _ context: CommandContext, _ command: DocumentView, _ namespace: Namespace, _ point: ReadPoint,
        context query: QueryContext
    ) throws -> AggregateCursor {
        guard let value = command["pipeline"] else {
            throw ServerError(.missingField, "BSON field 'aggregate.pipeline' is missing but a required field")
        }
        guard let pipeline = value.asArray else { throw wrongType("aggregate.pipeline", value, "array") }
        if let collation = command["collation"] { try CollectionOptions.checkCollation(collation) }
        let stage = pipeline.first?.value.asDocument?.first?.key
        if namespace.isWithoutCollection {
            guard let stage, DatabaseStages.names.contains(stage.string) else {
                throw ServerError(
                    .invalidNamespace,
                    "{aggregate: 1} is not valid for '\(stage?.string ?? "an empty pipeline")'; a "
                        + "collection is required.")
            }
        }
        if stage.map({ $0 == "$changeStream" }) == true, !context.node.role.isReplicated {
            throw ServerError(
                ErrorCode(rawValue: 40573), "The $changeStream stage is only supported on replica sets")
        }
        func open(_ pipeline: DocumentView) throws -> AggregateCursor {
            try AggregateCursor(
                context.node.data, namespace, pipeline: pipeline, hint: command["hint"], context: query, at: point,
                allowsDiskUse: command["allowDiskUse"]?.isTruthy ?? true, part: try part(context, command)
            ) { try DatabaseStages.documents(of: $0, context, $1) }
        }
        guard try OutputStage(pipeline, database: context.database) != nil else { return try open(pipeline) }
        return try OutputStage.withoutOutput(pipeline).withView(open)
    }

    /// Whether it is the part of a shard, whose partial results a router merges.
    private static func part(_ context: CommandContext, _ command: DocumentView) throws(ServerError) -> PipelinePart {
        guard command["needsMerge"]?.isTruthy == true else { return .whole }
        guard context.connection.peer != nil else {
            throw ServerError(.unauthorized, "needsMerge is for the routers of a sharded cluster")
        }
        return .shard
    }
}
