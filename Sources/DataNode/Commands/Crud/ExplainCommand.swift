internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `explain`: how a command would be carried out, and, when asked, what that costs. Changes nothing.
enum ExplainCommand {
    enum Verbosity: String {
        case queryPlanner, executionStats, allPlansExecution
    }

    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "explain", [.read, .readConcern, .stable], .explain, help: "how a command would be carried out",
                run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        guard let inner = context.argument.asDocument else { throw wrongType("explain", context.argument, "object") }
        let verbosity = try verbosity(context.body["verbosity"])
        guard inner["explain"] == nil || inner.isFirst("aggregate") else {
            throw ServerError(.illegalOperation, "Explain command cannot explain itself.")
        }
        return try SingleReplyRead.start(context) { context, point in
            // The argument's bytes move when the command becomes a task.
            guard let inner = context.argument.asDocument else { throw ServerError(.failedToParse, "explain is empty") }
            return try checked(inner, context).withView { command in
                try open(
                    context, command, verbosity: verbosity, point, context: context.queryContext())
            }
        }
    }

    /// The command to explain, without the fields that are null. All that it says is checked as if it were run.
    private static func checked(_ inner: DocumentView, _ context: CommandContext) throws(ServerError) -> Document {
        guard let first = inner.first, let command = context.frontend.commands.find(first.key) else {
            return inner.document
        }
        _ = try GenericArguments.parse(inner, command)
        if first.key == "update" { try check(inner["updates"], UpdateStatement.fields, at: "update.updates") }
        if first.key == "delete" { try check(inner["deletes"], DeleteOperation.fields, at: "delete.deletes") }
        return Document { command.copy(inner, to: $0) }
    }

    private static func check(
        _ statements: ValueView?, _ fields: FieldTable, at path: String
    ) throws(ServerError) {
        guard let statements = statements?.asArray else { return }
        guard statements.fieldCount == 1 else {
            throw ServerError(.invalidLength, "explained write batches must be of size 1")
        }
        for element in statements {
            guard let statement = element.value.asDocument else {
                throw wrongType("\(path).\(element.key.string)", element.value, "object")
            }
            try fields.check(statement, at: path)
        }
    }

    /// Compiles all of a command, as running it would: what is wrong with an update is wrong with its explanation.
    private static func compile(
        _ command: DocumentView, _ namespace: Namespace, _ context: CommandContext, _ query: QueryContext
    ) throws {
        let data = context.node.data
        guard let first = command.first else { return }
        switch first.key {
        case "count": _ = try CountOperation(data, namespace, command, context: query)
        case "distinct": _ = try DistinctOperation(data, namespace, command, context: query)
        case "findAndModify", "findandmodify":
            _ = try FindAndModifyOperation(data, namespace, command, context: query)
        case "update":
            for statement in command["updates"]?.asArray?.compactMap({ $0.value.asDocument }) ?? [] {
                _ = try UpdateStatement(statement, context: query)
            }
        case "delete":
            for statement in command["deletes"]?.asArray?.compactMap({ $0.value.asDocument }) ?? [] {
                _ = try DeleteOperation(data, namespace, statement, context: query)
            }
        default: break
        }
    }

    private static func verbosity(_ value: ValueView?) throws(ServerError) -> Verbosity {
        guard let value else { return .allPlansExecution }
        guard let name = value.asString else { throw wrongType("explain.verbosity", value, "string") }
        guard let verbosity = Verbosity(rawValue: name) else {
            throw ServerError(
                .badValue, "Enumeration value '\(name)' for field 'explain.verbosity' is not a valid value.")
        }
        return verbosity
    }

    /// Prepares the explanation of `command`.
    static func open(
        _ context: CommandContext, _ command: DocumentView, verbosity: Verbosity, _ point: ReadPoint,
        context query: QueryContext
    ) throws -> SingleReplyRead {
        guard let first = command.first else {
            throw ServerError(.failedToParse, "explain needs a command to explain")
        }
        let explained = Explained(context, command.document, verbosity)
        if first.key == "aggregate" {
            let namespace = try AggregateCommand.namespace(context, command)
            let cursor = try AggregateCommand.cursor(context, command, namespace, point, context: query)
            return explained.read(namespace, cursor.query, cursor.explainedStages, source: cursor)
        }
        let (find, wrapper) = try asFind(command)
        let namespace = try context.namespace(collection: first.value, field: "explain")
        let data = context.node.data
        if try data.catalog.find(namespace, at: point) == nil, try data.view(namespace, at: point) != nil {
            guard let pipeline = try ViewRead.explained(command) else {
                throw ServerError(.commandNotSupportedOnView, "Namespace \(namespace) is a view, not a collection")
            }
            let cursor = try pipeline.withView {
                try AggregateCursor(data, namespace, pipeline: $0, context: query, at: point)
            }
            return explained.read(namespace, cursor.query, cursor.explainedStages, source: cursor)
        }
        try compile(command, namespace, context, query)
        let request = try find.withView { try FindRequest(namespace, $0, context: query) }
        let cursor = try QueryCursor(context.node.data, request, at: point)
        explained.wrapper = wrapper
        return explained.read(namespace, cursor, [], source: cursor)
    }

    /// The query of a command as a `find`, and the stage that stands above it.
    private static func asFind(_ command: DocumentView) throws -> (find: Document, wrapper: String?) {
        guard let first = command.first else { return (Document(), nil) }
        switch first.key {
        case "find": return (command.document, nil)
        case "count": return (find(command, renaming: "query"), "COUNT")
        case "distinct": return (find(command, renaming: "query"), nil)
        case "findAndModify", "findandmodify":
            return (
                find(command, renaming: "query", limit: 1), command["remove"]?.isTruthy == true ? "DELETE" : "UPDATE"
            )
        case "update":
            guard let statement = command["updates"]?.asArray?.first?.value.asDocument else {
                throw ServerError(.missingField, "BSON field 'update.updates' is missing but a required field")
            }
            return (find(statement, renaming: "q", limit: statement["multi"]?.isTruthy == true ? 0 : 1), "UPDATE")
        case "delete":
            guard let statement = command["deletes"]?.asArray?.first?.value.asDocument else {
                throw ServerError(.missingField, "BSON field 'delete.deletes' is missing but a required field")
            }
            return (find(statement, renaming: "q", limit: statement["limit"]?.asInteger == 1 ? 1 : 0), "DELETE")
        default:
            throw ServerError(
                .commandNotFound, "Explain failed due to unknown command: \(first.key.string)")
        }
    }

    private static func find(_ command: DocumentView, renaming filter: StaticString, limit: Int64? = nil) -> Document {
        Document { writer in
            for element in command {
                switch element.key {
                case filter: writer.append("filter", element.value)
                case "sort", "skip", "hint", "collation": writer.append(element.key, element.value)
                case "limit":
                    // That of a count may be negative.
                    let number = element.value.asInteger.map { Int64(clamping: $0.magnitude) }
                    if limit == nil {
                        writer.append("limit" as String, number.map { .int64($0) } ?? Value(element.value))
                    }
                default: continue
                }
            }
            if let limit, limit > 0 { writer.append("limit", int64: limit) }
        }
    }
}

/// One explanation on its way: runs the query when its costs are asked for, and writes the reply.
private final class Explained {
    private let node: Node
    private let command: Document
    private let verbosity: ExplainCommand.Verbosity
    private let startedAt: Instant
    private var returned = 0
    var wrapper: String?

    init(_ context: CommandContext, _ command: Document, _ verbosity: ExplainCommand.Verbosity) {
        node = context.node
        self.command = command
        self.verbosity = verbosity
        startedAt = context.runtime.now
    }

    func read(
        _ namespace: Namespace, _ query: QueryCursor?, _ stages: [Document], source: any BatchSource
    ) -> SingleReplyRead {
        SingleReplyRead(
            run: { [self] in verbosity == .queryPlanner ? .done : try run(source, until: $0) },
            write: { [self] in write(namespace, query, stages, to: $0) },
            close: { source.close() })
    }

    private func run(_ source: any BatchSource, until deadline: Instant) throws -> WriteProgress {
        let buffer = ByteBuffer(capacity: 4096)
        while node.runtime.now < deadline {
            buffer.removeAll(keeping: 1 << 20)
            var array = ArrayWriter(startingIn: buffer)
            let progress = try source.next(
                into: &array, maxDocuments: Limits.cursorFirstBatchDefault, maxBytes: Limits.cursorBatchBytesMax,
                deadline: deadline)
            returned += array.count
            if progress == .exhausted || progress == .waiting { return .done }
            if progress == .yield { break }
        }
        return .yield
    }

    private func write(_ namespace: Namespace, _ query: QueryCursor?, _ stages: [Document], to writer: DocumentWriter) {
        writer.append("explainVersion", string: "1")
        if stages.isEmpty, let query {
            writePlan(namespace, query, to: writer)
        } else {
            writer.array("stages") { array in
                if let query {
                    array.document { stage in stage.document("$cursor") { writePlan(namespace, query, to: $0) } }
                }
                for stage in stages { array.append(stage) }
            }
        }
        let isPipeline = command.keys.first == "aggregate"
        let shape = command.withView { QueryShape.hash(command: $0, filter: isPipeline ? nil : query?.parsedQuery) }
        writer.append("queryShapeHash", string: shape)
        writer.append("command", command)
        writer.document("serverInfo") {
            $0.append("host", string: node.options.hostname)
            $0.append("port", int32: Int32(truncatingIfNeeded: node.endpoint.port))
            $0.append("version", string: ServerVersion.mongoDB)
            $0.append("gitVersion", string: "quorate-\(ServerVersion.quorate)")
        }
        writer.document("serverParameters") { _ in }
    }

    private func writePlan(_ namespace: Namespace, _ query: QueryCursor, to writer: DocumentWriter) {
        var plan = query.winningPlan
        if let wrapper { plan = ["stage": .string(wrapper), "inputStage": .document(plan)] }
        writer.document("queryPlanner") {
            $0.append("namespace", string: namespace.fullName)
            $0.append("parsedQuery", query.parsedQuery)
            $0.append("indexFilterSet", bool: false)
            let hash = planHash(query)
            $0.append("queryHash", string: hash)
            $0.append("planCacheShapeHash", string: hash)
            $0.append("winningPlan", plan)
            $0.array("rejectedPlans") { _ in }
        }
        guard verbosity != .queryPlanner else { return }
        let isWrite = wrapper == "UPDATE" || wrapper == "DELETE"
        writer.document("executionStats") {
            $0.append("executionSuccess", bool: true)
            $0.append("nReturned", int32: Int32(clamping: isWrite ? 0 : returned))
            let elapsed = (node.runtime.now - startedAt).wholeMilliseconds
            $0.append("executionTimeMillis", int32: Int32(clamping: elapsed))
            $0.append("totalKeysExamined", int32: Int32(clamping: query.keysExamined))
            $0.append("totalDocsExamined", int32: Int32(clamping: query.documentsExamined))
            $0.append("executionStages", counted(plan, query))
            if verbosity == .allPlansExecution { $0.array("allPlansExecution") { _ in } }
        }
    }

    private func planHash(_ query: QueryCursor) -> String {
        func part(_ name: String) -> Document? {
            guard case .document(let document) = command[name] else { return nil }
            return document
        }
        let stages = (command["pipeline"]?.asArray ?? []).compactMap { stage -> Document? in
            guard case .document(let document) = stage else { return nil }
            return document
        }
        return QueryShape.planHash(
            filter: query.parsedQuery, sort: part("sort"), projection: part("projection"), collation: part("collation"),
            stages: stages)
    }

    /// The stages with what they have read.
    private func counted(_ plan: Document, _ query: QueryCursor) -> Document {
        Document { writer in
            let stage = plan["stage"]?.asString
            plan.withView { view in
                for element in view {
                    if element.key == "inputStage", let inner = element.value.asDocument {
                        writer.append("inputStage", counted(inner.document, query))
                    } else {
                        writer.append(element.key, element.value)
                    }
                }
            }
            switch stage {
            case "IXSCAN":
                writer.append("nReturned", int32: Int32(clamping: query.keysExamined))
                writer.append("keysExamined", int32: Int32(clamping: query.keysExamined))
            case "FETCH", "COLLSCAN", "IDHACK":
                writer.append("nReturned", int32: Int32(clamping: query.matched))
                writer.append("docsExamined", int32: Int32(clamping: query.documentsExamined))
            case "UPDATE": writer.append("nWouldModify", int32: Int32(clamping: returned))
            case "DELETE": writer.append("nWouldDelete", int32: Int32(clamping: returned))
            default: writer.append("nReturned", int32: Int32(clamping: returned))
            }
        }
    }
}
