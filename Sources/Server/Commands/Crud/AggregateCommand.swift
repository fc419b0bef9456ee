internal import BSON
internal import Core
internal import Data
internal import Query

/// `aggregate`: the first batch of a pipeline's results, and a cursor for the rest.
enum AggregateCommand {
    static func add(to table: inout CommandTable) {
        table.add(Command("aggregate", [.read], help: "the results of a pipeline over a collection", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        try context.checkFields {
            switch $0 {
            case "pipeline", "cursor", "explain", "allowDiskUse", "bypassDocumentValidation", "hint", "collation", "let",
                "fromMongos", "needsMerge", "exchange":
                true
            default: false
            }
        }
        if context.body["explain"]?.isTruthy == true {
            return try SingleReplyRead.start(context) { context, point in
                try ExplainCommand.open(
                    context, context.body, verbosity: .queryPlanner, point, context: try context.queryContext())
            }
        }
        if let pipeline = context.body["pipeline"]?.asArray,
            let stage = try OutputStage(pipeline, database: context.database)
        {
            return try AggregateOutput.run(context, stage)
        }
        try context.checkReadable()
        let concern = try context.readConcern()
        if let point = try context.node.role.readPoint(concern), concern.level != .linearizable {
            let cursor = try open(context, point)
            let shown = concern.level == .snapshot ? point : .latest
            if try Batches.fillFirst(context, cursor, point: shown) { return .done }
            return .later { context in try await Batches.sendFirst(context, cursor, point: point, concern) }
        }
        return .later { context in
            let point = try await context.awaitReadPoint(concern)
            try context.checkReadable()
            try await Batches.sendFirst(context, try open(context, point), point: point, concern)
        }
    }

    static func open(_ context: CommandContext, _ point: ReadPoint) throws -> FindCursor {
        guard let value = context.body["cursor"] else {
            throw ServerError(.failedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
        }
        guard let options = value.asDocument else { throw wrongType("aggregate.cursor", value, "object") }
        var batchSize: Int?
        for element in options {
            guard element.key == "batchSize" else {
                throw ServerError(
                    .unknownField, "BSON field 'aggregate.cursor.\(element.key.string)' is an unknown field.")
            }
            guard let number = element.value.asInteger else { throw wrongType("cursor.batchSize", element.value, "long") }
            guard number >= 0 else {
                throw ServerError(.badValue, "BSON field 'batchSize' value must be >= 0, actual value '\(number)'")
            }
            batchSize = Int(clamping: number)
        }
        let namespace = try namespace(context, context.body)
        let cursor = try cursor(context, context.body, namespace, point, context: try context.queryContext())
        return FindCursor(source: cursor, namespace: namespace, batchSize: batchSize)
    }

    /// The collection that a pipeline reads; for `{aggregate: 1}` one that cannot exist.
    static func namespace(_ context: CommandContext, _ command: DocumentView) throws(ServerError) -> Namespace {
        guard let target = command.first?.value else { throw ServerError(.failedToParse, "the aggregate command is empty") }
        if target.asInteger == 1 { return Namespace(context.database, "$cmd.aggregate") }
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
        if namespace.collection == "$cmd.aggregate" {
            guard let stage, DatabaseStages.names.contains(stage.string) else {
                throw ServerError(
                    .invalidNamespace, "{aggregate: 1} is not valid for '\(stage?.string ?? "an empty pipeline")'; a "
                        + "collection is required.")
            }
        }
        if stage.map({ $0 == "$changeStream" }) == true, !context.node.role.isReplicated {
            throw ServerError(
                ErrorCode(rawValue: 40573), "The $changeStream stage is only supported on replica sets")
        }
        func open(_ pipeline: DocumentView) throws -> AggregateCursor {
            try AggregateCursor(
                context.node.data, namespace, pipeline: pipeline, hint: command["hint"], context: query, at: point
            ) { try DatabaseStages.documents(of: $0, context, namespace, query) }
        }
        guard try OutputStage(pipeline, database: context.database) != nil else { return try open(pipeline) }
        return try OutputStage.withoutOutput(pipeline).withView(open)
    }
}

/// Runs a pipeline that ends in `$out` or `$merge`.
enum AggregateOutput {
    static func run(_ context: CommandContext, _ stage: OutputStage) throws -> CommandOutcome {
        try checkWritable(stage, context)
        let concern = try context.writeConcern()
        let readConcern = try context.readConcern()
        guard readConcern.level != .linearizable else {
            throw ServerError(
                .invalidOptions, "$out and $merge cannot be used with a 'linearizable' read concern level")
        }
        return .later { context in
            let point = try await context.awaitReadPoint(readConcern)
            try checkWritable(stage, context)
            let cursor = try AggregateCommand.open(context, point)
            defer { cursor.source.close() }
            let output = try OutputWriter(stage, context)
            do {
                try await write(cursor.source, to: output, stage, context)
            } catch {
                if (try? checkWritable(stage, context)) != nil { output.abandon(try context.writeContext()) }
                throw error
            }
            context.writer.document("cursor") { writer in
                writer.array("firstBatch") { _ in }
                writer.append("id", int64: 0)
                writer.append("ns", string: cursor.namespace.fullName)
            }
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func checkWritable(_ stage: OutputStage, _ context: CommandContext) throws {
        var database = stage.target.database
        try database.withUTF8 { try context.node.role.checkWritable(UnsafeRawBufferPointer($0)) }
    }

    private static func write(
        _ source: any BatchSource, to output: OutputWriter, _ stage: OutputStage, _ context: CommandContext
    ) async throws {
        let buffer = ByteBuffer(capacity: 4096)
        while true {
            buffer.removeAll(keeping: 1 << 20)
            var array = ArrayWriter(startingIn: buffer)
            let progress = try source.next(
                into: &array, maxDocuments: Limits.shortWriteStatements, maxBytes: Limits.cursorBatchBytesMax,
                deadline: context.runtime.now + Limits.loopSliceMax)
            array.finish()
            let write = try context.writeContext()
            for element in DocumentView(base: UnsafeRawPointer(buffer.base)) {
                if let document = element.value.asDocument { try output.write(document, write) }
            }
            if progress == .exhausted { return try output.finish(write) }
            await context.node.yieldLoop()
            try checkWritable(stage, context)
            try context.checkDeadline()
        }
    }
}

/// First stages of a pipeline that make their documents themselves.
enum DatabaseStages {
    /// Those that need no collection.
    static let names: Set<String> = [
        "$currentOp", "$listSessions", "$listLocalSessions", "$documents", "$changeStream",
    ]

    static func documents(
        of stage: PipelineStage, _ context: CommandContext, _ namespace: Namespace, _ query: QueryContext
    ) throws -> [Document]? {
        switch stage.name {
        case "$collStats": return [try collectionStatistics(stage, context, namespace)]
        case "$indexStats": return try indexStatistics(context, namespace)
        case "$currentOp": return CurrentOperation.documents(context)
        case "$listSessions", "$listLocalSessions": return context.node.sessions.documents
        case "$documents": return try given(stage, query)
        default: return nil
        }
    }

    /// `{$documents: <expression>}`.
    private static func given(_ stage: PipelineStage, _ query: QueryContext) throws -> [Document] {
        let wrapped = Document { $0.append("v", stage.specification) }
        let value = try wrapped.withView { view in
            try view["v"].flatMap { try Expression($0, context: query).evaluate(root: .empty) }
        }
        guard let values = value?.asArray else {
            throw ServerError(ErrorCode(rawValue: 5_858_203), "an array is expected by the $documents stage")
        }
        return try values.map {
            guard let document = $0.asDocument else {
                throw ServerError(ErrorCode(rawValue: 40228), "$documents needs an array of objects")
            }
            return document
        }
    }

    private static func collectionStatistics(
        _ stage: PipelineStage, _ context: CommandContext, _ namespace: Namespace
    ) throws -> Document {
        let collection = context.node.data.catalog.find(namespace)
        let wanted = stage.specification.asDocument?.keys ?? []
        if collection == nil, !namespace.isOplog, wanted.contains("count") {
            throw ServerError(
                .namespaceNotFound, "Unable to retrieve count in $collStats stage :: caused by :: Collection "
                    + "[\(namespace)] not found.")
        }
        return Document { writer in
            writer.append("ns", string: namespace.fullName)
            writer.append("host", string: context.node.advertisedName)
            writer.append("localTime", dateTime: context.runtime.wallClock.milliseconds)
            if wanted.contains("storageStats") {
                writer.document("storageStats") { StatisticsCommands.write(namespace, context.node, scale: 1, to: $0) }
            }
            if wanted.contains("count") {
                let count = collection?.count ?? context.node.data.oplog.count
                writer.append("count", int64: Int64(count))
            }
        }
    }

    private static func indexStatistics(_ context: CommandContext, _ namespace: Namespace) throws -> [Document] {
        guard let collection = context.node.data.catalog.find(namespace) else { return [] }
        return collection.readyIndexes.map { index in
            Document { writer in
                writer.append("name", string: index.name)
                writer.append("key", index.keyPattern)
                writer.append("host", string: context.node.advertisedName)
                writer.append("spec", index.definition)
            }
        }
    }
}
