internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Replication
internal import Wire

/// The statements of a write command, in a document sequence or an array of its body.
struct WriteStatements {
    let count: Int
    let byteCount: Int
    private let sequence: UnsafeRawBufferPointer?
    private let array: DocumentView?
    private let field: StaticString

    /// - Throws: `MissingField`, `TypeMismatch`, `InvalidLength`.
    init(_ context: CommandContext, field: StaticString) throws(ServerError) {
        self.field = field
        if let sequence = context.request.sequence(field) {
            if context.arguments.given.contains(context.command.fields.mark(of: field)) {
                throw ServerError(.failedToParse, "'\(field)' is given twice: in the body and as a document sequence")
            }
            self.sequence = sequence.bytes
            array = nil
            count = sequence.count
            byteCount = sequence.bytes.count
        } else {
            guard let value = context.body[field] else {
                throw ServerError(
                    .missingField, "BSON field '\(context.command.name).\(field)' is missing but a required field")
            }
            guard let view = value.asArray else {
                throw wrongType("\(context.command.name).\(field)", value, "array")
            }
            sequence = nil
            array = view
            count = view.fieldCount
            byteCount = view.byteCount
        }
        guard (1...Limits.writeBatchSizeMax).contains(count) else {
            throw ServerError(
                .invalidLength,
                "Write batch sizes must be between 1 and \(Limits.writeBatchSizeMax). Got \(count) operations.")
        }
    }

    func makeRun() -> DocumentRun {
        if let sequence { return DocumentRun(sequence: sequence, field: field) }
        return DocumentRun(array: array!, field: field)
    }
}

/// What a write command has done so far, and the reply that says so.
final class WriteOutcome {
    /// The statements that are through: a command that was put off goes on behind them.
    var done = 0
    var n = 0
    var nModified: Int?
    var upserted: [(index: Int, id: Value)] = []
    var errors: [StatementError] = []
    /// The ids of statements that an earlier try has executed.
    var retried: [Int32] = []

    func append(to writer: DocumentWriter) {
        writer.append("n", int32: Int32(clamping: n))
        if let nModified { writer.append("nModified", int32: Int32(clamping: nModified)) }
        if !upserted.isEmpty {
            writer.array("upserted") { array in
                for entry in upserted {
                    array.document {
                        $0.append("index", int32: Int32(clamping: entry.index))
                        $0.append("_id" as String, entry.id)
                    }
                }
            }
        }
        Self.append(retried: retried, to: writer)
        Self.append(errors, to: writer)
    }

    static func append(_ errors: [StatementError], to writer: DocumentWriter) {
        guard !errors.isEmpty else { return }
        writer.array("writeErrors") { array in
            for failure in errors { array.document { append(failure, to: $0) } }
        }
    }

    static func append(retried: [Int32], to writer: DocumentWriter) {
        guard !retried.isEmpty else { return }
        writer.array("retriedStmtIds") { for id in retried { $0.append(.int32(id)) } }
    }

    private static func append(_ failure: StatementError, to writer: DocumentWriter) {
        writer.append("index", int32: Int32(clamping: failure.index))
        writer.append("code", int32: failure.error.code.rawValue)
        if let details = failure.error.details, failure.error.code == .staleConfig {
            writer.append("errInfo", details)
        } else if let details = failure.error.details {
            details.withView { for field in $0 { writer.append(field.key, field.value) } }
        }
        writer.append("errmsg", string: failure.error.message)
    }
}

/// Runs write commands: at once when they are short, in slices with a copy of the request when they are not.
enum WriteCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "insert", [.write, .retryable, .stable], .insert, help: "inserts documents", run: InsertCommand.run))
        table.add(
            Command(
                "update", [.write, .retryable, .stable], .update, help: "updates documents", run: UpdateCommand.run))
        table.add(
            Command(
                "delete", [.write, .retryable, .stable], .delete, help: "deletes documents", run: DeleteCommand.run))
    }

    /// One slice of a command: goes on until `deadline`, or to the end.
    typealias Slice = (CommandContext, WriteContext, Instant) throws -> WriteProgress

    /// Checks what all writes need and runs the slices that `prepare` makes.
    /// - Parameters:
    ///   - isShort: whether it may run to its end within this step of the loop, if all that it needs is in memory.
    ///   - check: looks at all that a long command says before any of it is done.
    ///   - prepare: makes the slices, from behind the statements that the outcome says are done.
    static func run(
        _ context: CommandContext, isShort: Bool, check: @escaping (CommandContext) async throws -> Void = { _ in },
        _ prepare: @escaping (CommandContext, WriteOutcome) throws -> Slice
    ) throws -> CommandOutcome {
        try context.checkWritable()
        let concern = try context.writeConcern()
        let before = context.node.lastOpTime
        if isShort {
            let outcome = WriteOutcome()
            let slice = try prepare(context, outcome)
            do {
                if try slice(context, try context.writeContext(), .distantFuture) == .done {
                    outcome.append(to: context.writer)
                    let after = context.node.lastOpTime
                    return context.finishWrite(after == before ? nil : after, concern)
                }
            } catch let missing as StorageNotResident {
                context.node.data.note(missing)
            }
            return .later { try await finish(context, outcome, concern, prepare) }
        }
        return .later {
            try await check(context)
            try await finish(context, WriteOutcome(), concern, prepare)
        }
    }

    private static func finish(
        _ context: CommandContext, _ outcome: WriteOutcome, _ concern: WriteConcern,
        _ prepare: (CommandContext, WriteOutcome) throws -> Slice
    ) async throws {
        let slice = try prepare(context, outcome)
        try await context.inWriteSlices { try slice(context, $0, $1).ended }
        outcome.append(to: context.writer)
        try await context.awaitWriteConcern(context.node.lastOpTime, concern)
    }

    static func isOrdered(_ context: CommandContext) -> Bool {
        !context.arguments.given.contains(context.registered.orderedMark) || context.body["ordered"]?.isTruthy ?? true
    }
}

/// `insert`.
enum InsertCommand {
    static func run(_ context: CommandContext) throws -> CommandOutcome {
        let statements = try WriteStatements(context, field: "documents")
        let found = context.existingCollection()
        if statements.byteCount <= Limits.shortWriteBytes, found?.validationMayTakeLong != true {
            return try runAtOnce(context, statements, found)
        }
        let namespace = try context.namespace()
        let isOrdered = WriteCommands.isOrdered(context)
        context.node.counters.insert += Int64(statements.count)
        return try WriteCommands.run(context, isShort: false) { context, outcome in
            var operation = InsertOperation(
                into: .namespace(namespace), try WriteStatements(context, field: "documents").makeRun(),
                isOrdered: isOrdered, firstStatement: context.arguments.statementID ?? 0,
                statementIDs: context.statementIDs,
                budget: EvaluationBudget(context.runtime, deadline: context.deadline))
            return { context, write, deadline in
                let progress = try operation.run(context.node.data, write, until: deadline)
                outcome.n = operation.n
                context.profiled?.inserted = operation.n
                outcome.errors = operation.errors
                outcome.retried = operation.retried
                return progress
            }
        }
    }

    /// What is short runs to its end in this step of the loop, without closures; into a collection that exists, without
    /// strings.
    private static func runAtOnce(
        _ context: CommandContext, _ statements: WriteStatements, _ found: Collection?
    ) throws -> CommandOutcome {
        let target = try target(context, found)
        try context.checkWritable()
        let concern = try context.writeConcern()
        var operation = InsertOperation(
            into: target, statements.makeRun(), isOrdered: WriteCommands.isOrdered(context),
            firstStatement: context.arguments.statementID ?? 0, statementIDs: context.statementIDs)
        let write = try context.writeContext()
        context.node.counters.insert += Int64(statements.count)
        let before = context.node.lastOpTime
        guard case .done = try operation.run(context.node.data, write, until: .distantFuture) else {
            return goOnLater(operation, concern, context)
        }
        reply(operation, context)
        let after = context.node.lastOpTime
        return context.finishWrite(after == before ? nil : after, concern)
    }

    private static func reply(_ operation: InsertOperation, _ context: CommandContext) {
        context.profiled?.inserted = operation.n
        context.writer.append("n", int32: Int32(clamping: operation.n))
        if !operation.retried.isEmpty { WriteOutcome.append(retried: operation.retried, to: context.writer) }
        if !operation.errors.isEmpty { WriteOutcome.append(operation.errors, to: context.writer) }
    }

    /// Something was not in memory: what is done is done, the rest goes on as a task.
    @inline(never)
    private static func goOnLater(
        _ begun: InsertOperation, _ concern: WriteConcern, _ context: CommandContext
    ) -> CommandOutcome {
        .later {
            var operation = begun
            try operation.move(to: WriteStatements(context, field: "documents").makeRun())
            try await context.inWriteSlices { try operation.run(context.node.data, $0, until: $1).ended }
            reply(operation, context)
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    @inline(__always)
    private static func target(
        _ context: CommandContext, _ found: Collection?
    ) throws(ServerError) -> InsertOperation.Target {
        if let found, !found.namespace.isSystem, !found.namespace.isOplog, !found.namespace.isAboutOwnership {
            return .collection(found)
        }
        return .namespace(try context.namespace())
    }
}

/// `update`.
enum UpdateCommand {
    static func run(_ context: CommandContext) throws -> CommandOutcome {
        // A pipeline's expressions may take any time, and so may validating a document of any length.
        let isValidated = context.existingCollection()?.isValidated == true
        let isShort: (DocumentView) -> Bool = {
            !isValidated && $0["multi"]?.isTruthy != true && $0["u"]?.type != .array
                && StatementCommand.isPointQuery($0)
        }
        return try StatementCommand.run(
            context, field: "updates", countsModified: true, isShort
        ) { context in
            let namespace = try context.namespace()
            let variables = context.queryContext()
            return { view, id in
                let operation = UpdateOperation(
                    context.node.data, namespace, try UpdateStatement(view, context: variables), id: id)
                return StatementCommand.Running(run: operation.run) {
                    ($0.n + operation.n, ($0.nModified ?? 0) + operation.nModified, operation.upsertedID)
                }
            }
        } checkForm: { (statement) throws(ServerError) in
            try UpdateStatement.checkForm(statement, at: "update.updates")
        } count: {
            context.node.counters.update += Int64($0)
        }
    }
}

/// `delete`.
enum DeleteCommand {
    static func run(_ context: CommandContext) throws -> CommandOutcome {
        let isShort: (DocumentView) -> Bool = { $0["limit"]?.asInteger == 1 && StatementCommand.isPointQuery($0) }
        return try StatementCommand.run(
            context, field: "deletes", countsModified: false, isShort
        ) { context in
            let namespace = try context.namespace()
            let variables = context.queryContext()
            return { view, id in
                let operation = try DeleteOperation(context.node.data, namespace, view, context: variables, id: id)
                return StatementCommand.Running(run: operation.run) { ($0.n + operation.n, nil, nil) }
            }
        } checkForm: { (statement) throws(ServerError) in
            try DeleteOperation.fields.check(statement, at: "delete.deletes")
        } count: {
            context.node.counters.delete += Int64($0)
        }
    }
}

/// What `update` and `delete` share: statements that are compiled one by one and may each take several slices.
enum StatementCommand {
    /// A statement on its way: its slices, and what it adds to the command's outcome.
    struct Running {
        let run: (WriteContext, Instant) throws -> WriteProgress
        let result: (WriteOutcome) -> (n: Int, nModified: Int?, upsertedID: Value?)
    }
    typealias Compile = (DocumentView, Int32) throws -> Running

    /// A query for one `_id` is one look-up; anything else may have to scan, and is sliced.
    static func isPointQuery(_ statement: DocumentView) -> Bool { isPoint(statement["q"]) }

    /// Whether a filter begins with the equality of `_id`, and holds nothing that may take long on one document.
    static func isPoint(_ filter: ValueView?) -> Bool {
        guard let filter = filter?.asDocument, let first = filter.first, first.key == "_id", first.value.type != .regex,
            !filter.contains(where: { $0.key.isOperator })
        else { return false }
        return first.value.type != .document || first.value.asDocument?.first?.key.isOperator != true
    }

    /// Whether a projection may hold expressions, which may take any time.
    static func mayCompute(_ projection: ValueView?) -> Bool {
        projection?.asDocument?.contains { $0.value.type == .document || $0.value.type == .array } ?? false
    }

    static func run(
        _ context: CommandContext, field: StaticString, countsModified: Bool, _ isShort: (DocumentView) -> Bool,
        _ makeCompiler: @escaping (CommandContext) throws -> Compile,
        checkForm: @escaping (DocumentView) throws(ServerError) -> Void, count: (Int) -> Void
    ) throws -> CommandOutcome {
        _ = try context.namespace()
        let statements = try WriteStatements(context, field: field)
        let isOrdered = WriteCommands.isOrdered(context)
        count(statements.count)
        // What is wrong with the form of a statement is wrong with the command: nothing is done then.
        let areShort = try statements.areShort(isShort)
        if areShort { try statements.check(checkForm) }
        return try WriteCommands.run(context, isShort: areShort) { context in
            try await WriteStatements(context, field: field).check(checkForm, context)
        } _: { context, outcome in
            let compile = try makeCompiler(context)
            var run = try WriteStatements(context, field: field).makeRun()
            for _ in 0..<outcome.done { _ = try run.next() }
            var pending: DocumentView?
            var errorBytes = 0
            var current: Running?
            var shown: Document?
            if countsModified, outcome.nModified == nil { outcome.nModified = 0 }
            return { context, write, deadline in
                while true {
                    let index = outcome.done
                    do {
                        if current == nil {
                            guard let view = try pending ?? run.next() else { return .done }
                            pending = view
                            try context.checkRouting()
                            let id = context.statementID(index)
                            let wasExecuted = try context.wasExecuted(id, write)
                            if wasExecuted, outcome.retried.last != id { outcome.retried.append(id) }
                            shown = context.profiledStatement(view)
                            current = try compile(view, id)
                        }
                        if let current, try current.run(write, deadline) == .yield { return .yield }
                        finish(current, outcome, index, context, shown)
                    } catch let error as ServerError where !error.code.concernsCommand {
                        finish(current, outcome, index, context, shown, error)
                        outcome.errors.append(index: index, error, countingIn: &errorBytes)
                        if isOrdered { return .done }
                    }
                    current = nil
                    pending = nil
                    outcome.done += 1
                    if context.isSliceOver(write, deadline) { return .yield }
                }
            }
        }
    }

    private static func finish(
        _ statement: Running?, _ outcome: WriteOutcome, _ index: Int, _ context: CommandContext, _ shown: Document?,
        _ error: ServerError? = nil
    ) {
        let result = statement?.result(outcome)
        let before = (n: outcome.n, nModified: outcome.nModified)
        if let result {
            outcome.n = result.n
            if let modified = result.nModified { outcome.nModified = modified }
            if let id = result.upsertedID { outcome.upserted.append((index, id)) }
        }
        context.endStatement(
            shown, n: outcome.n - before.n, nModified: outcome.nModified.map { $0 - (before.nModified ?? 0) },
            isUpsert: result?.upsertedID != nil, error)
    }
}

extension WriteStatements {
    /// - Throws: what is wrong with the form of a statement.
    func check(_ checkForm: (DocumentView) throws(ServerError) -> Void) throws(ServerError) {
        var run = makeRun()
        while let statement = try run.next() { try checkForm(statement) }
    }

    /// The same for statements of any number, in slices.
    func check(_ checkForm: (DocumentView) throws(ServerError) -> Void, _ context: CommandContext) async throws {
        var run = makeRun()
        try await context.inPreparingSlices { end -> Void? in
            while let statement = try run.next() {
                try checkForm(statement)
                if context.runtime.now >= end { return nil }
            }
            return ()
        }
    }

    /// Whether all statements together may run to their end in one step of the loop.
    func areShort(_ isShort: (DocumentView) -> Bool) throws(ServerError) -> Bool {
        guard count <= Limits.shortWriteStatements, byteCount <= Limits.shortWriteBytes else { return false }
        var run = makeRun()
        while let statement = try run.next() { if !isShort(statement) { return false } }
        return true
    }
}
