internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `bulkWrite`: inserts, updates and deletes in several collections by one command (MongoDB 8.0).
enum BulkWriteCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "bulkWrite", [.write, .retryable, .adminOnly, .stable], .bulkWrite,
                help: "writes to several collections at once", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        let concern = try context.writeConcern()
        return .later {
            let bulk = try BulkWrite(context)
            try await bulk.check(context)
            try await context.node.inWritingSlices({ try bulk.run(context, until: $0).ended }) {
                try await context.awaitNextSlice()
            }
            try await bulk.reply(context)
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }
}

/// One `bulkWrite` on its way.
private final class BulkWrite {
    private enum Running {
        case update(UpdateOperation)
        case delete(DeleteOperation)
    }

    private let namespaces: [Namespace]
    private var operations: DocumentRun
    private let isOrdered: Bool
    private let wantsErrorsOnly: Bool
    private let batchSize: Int?
    private let query: QueryContext
    private let validation: Validation?
    private var index = 0
    /// The operation that a slice has left, and one that is running.
    private var pending: DocumentView?
    private var running: Running?
    /// The document to insert with the `_id` that it was given, when its insert has to be tried again.
    private var identified: Document?
    private var isDone = false
    private var results: [Document] = []
    private var (errors, inserted, matched, modified, upserted, deleted) = (0, 0, 0, 0, 0, 0)
    /// The ids of statements that an earlier try has executed.
    private var retried: [Int32] = []

    init(_ context: CommandContext) throws {
        let statements = try WriteStatements(context, field: "ops")
        var names = try WriteStatements(context, field: "nsInfo").makeRun()
        var namespaces: [Namespace] = []
        var known: Set<Namespace> = []
        while let info = try names.next() {
            try FieldTable.bulkNamespace.check(info, at: "bulkWrite.nsInfo")
            let namespace = try Namespace(validating: info["ns"]?.asString ?? "")
            guard known.insert(namespace).inserted else {
                throw ServerError(.badValue, "nsInfo contains the namespace \(namespace) twice")
            }
            namespaces.append(namespace)
        }
        self.namespaces = namespaces
        operations = statements.makeRun()
        isOrdered = WriteCommands.isOrdered(context)
        wantsErrorsOnly = context.body["errorsOnly"]?.isTruthy ?? false
        batchSize = context.body["cursor"]?.asDocument?["batchSize"]?.asInteger.map { Int(clamping: $0) }
        query = context.queryContext()
        validation = query.budget.map { Validation($0.value) }
    }

    /// What is wrong with the form of an operation is wrong with the command: nothing is done then.
    func check(_ context: CommandContext) async throws {
        var rest = operations
        try await context.inPreparingSlices { end -> Void? in
            while let operation = try rest.next() {
                _ = try namespace(of: operation)
                try Self.fields(of: operation).check(operation, at: "bulkWrite.ops")
                if context.runtime.now >= end { return nil }
            }
            return ()
        }
    }

    private static func fields(of operation: DocumentView) -> FieldTable {
        operation.isFirst("insert") ? .bulkInsert : operation.isFirst("update") ? .bulkUpdate : .bulkDelete
    }

    private func namespace(of operation: DocumentView) throws(ServerError) -> Namespace {
        guard let first = operation.first, first.key == "insert" || first.key == "update" || first.key == "delete"
        else {
            throw ServerError(
                .failedToParse,
                "BSON field 'bulkWrite.ops' must hold inserts, updates and deletes, not "
                    + "'\(operation.first?.key.string ?? "")'")
        }
        guard !first.value.isNullish else {
            throw ServerError(
                .missingField, "BSON field 'bulkWrite.ops.\(first.key.string)' is missing but a required field")
        }
        guard first.value.type.isNumber else {
            throw wrongType("bulkWrite.ops.\(first.key.string)", first.value, "number")
        }
        guard let number = first.value.asInteger, number >= 0, number < namespaces.count else {
            throw ServerError(.badValue, "BulkWrite ops entry \(first.key.string) has an invalid nsInfo index.")
        }
        return namespaces[Int(number)]
    }

    func run(_ context: CommandContext, until deadline: Instant) throws -> WriteProgress {
        while !isDone {
            guard let operation = try pending ?? operations.next() else { break }
            pending = operation
            let namespace = try namespace(of: operation)
            var database = namespace.database
            try database.withUTF8 { try context.node.role.checkWritable(UnsafeRawBufferPointer($0)) }
            var write = try context.writeContext()
            write.validation = validation
            query.budget?.value.beginSlice(until: deadline)
            do {
                if case .yield = try step(operation, namespace, context, write, deadline) { return .yield }
            } catch let error as ServerError where error.isInterruption {
                return .yield
            } catch let error as ServerError where !error.code.concernsCommand {
                count()
                fail(error)
            }
            running = nil
            pending = nil
            identified = nil
            index += 1
            if context.isSliceOver(write, deadline) { return .yield }
        }
        return .done
    }

    private func step(
        _ operation: DocumentView, _ namespace: Namespace, _ context: CommandContext, _ write: WriteContext,
        _ deadline: Instant
    ) throws -> WriteProgress {
        let data = context.node.data
        let id = context.statementID(index)
        if running == nil, try context.wasExecuted(id, write), retried.last != id { retried.append(id) }
        if operation.isFirst("insert") {
            try insert(operation, namespace, write, data, id)
            return .done
        }
        switch try running ?? open(operation, namespace, data, id) {
        case .update(let update):
            running = .update(update)
            if case .yield = try update.run(write, until: deadline) { return .yield }
            count()
            succeed(n: update.n, nModified: update.nModified, upsertedID: update.upsertedID)
        case .delete(let delete):
            running = .delete(delete)
            if case .yield = try delete.run(write, until: deadline) { return .yield }
            count()
            succeed(n: delete.n)
        }
        return .done
    }

    private func insert(
        _ operation: DocumentView, _ namespace: Namespace, _ write: WriteContext, _ data: DataStore, _ id: Int32
    ) throws {
        guard let document = operation["document"]?.asDocument else {
            throw ServerError(.missingField, "BSON field 'bulkWrite.ops.document' is missing but a required field")
        }
        do {
            if try !data.wasExecuted(id, write) {
                try namespace.checkUserWritable()
                let collection = try data.ensureCollection(namespace, write)
                if let identified {
                    _ = try identified.withView { try data.insertOne($0, into: collection, write, statement: id) }
                } else {
                    try data.insertOne(document, into: collection, write, statement: id)
                }
            }
        } catch let missing as StorageNotResident {
            identified = identified ?? data.identified(document)
            throw missing
        }
        inserted += 1
        succeed(n: 1)
    }

    /// The operation as a statement of `update` or `delete`.
    private func open(
        _ operation: DocumentView, _ namespace: Namespace, _ data: DataStore, _ id: Int32
    ) throws -> Running {
        let isDelete = operation.isFirst("delete")
        let statement = Document { writer in
            for element in operation.dropFirst() {
                switch element.key {
                case "filter": writer.append("q", element.value)
                case "updateMods": writer.append("u", element.value)
                case "constants": writer.append("c", element.value)
                case "multi": if !isDelete { writer.append("multi", element.value) }
                default: writer.append(element.key, element.value)
                }
            }
            if isDelete { writer.append("limit", int32: operation["multi"]?.isTruthy == true ? 0 : 1) }
        }
        return try statement.withView { view in
            if isDelete { return .delete(try DeleteOperation(data, namespace, view, context: query, id: id)) }
            return .update(UpdateOperation(data, namespace, try UpdateStatement(view, context: query), id: id))
        }
    }

    // MARK: Results

    /// Adds up what the running operation has done; also when it failed half-way.
    private func count() {
        switch running {
        case .update(let update):
            if update.upsertedID == nil { matched += update.n } else { upserted += 1 }
            modified += update.nModified
        case .delete(let delete): deleted += delete.n
        case nil: break
        }
    }

    private func succeed(n: Int, nModified: Int? = nil, upsertedID: Value? = nil) {
        guard !wantsErrorsOnly else { return }
        results.append(
            Document { writer in
                writer.append("ok", double: 1)
                writer.append("idx", int32: Int32(clamping: index))
                writer.append("n", int32: Int32(clamping: n))
                if let nModified { writer.append("nModified", int32: Int32(clamping: nModified)) }
                if let upsertedID { writer.document("upserted") { $0.append("_id" as String, upsertedID) } }
            })
    }

    private func fail(_ error: ServerError) {
        errors += 1
        isDone = isOrdered
        results.append(
            Document { writer in
                writer.append("ok", double: 0)
                writer.append("idx", int32: Int32(clamping: index))
                writer.append("code", int32: error.code.rawValue)
                if let details = error.details {
                    details.withView { for field in $0 { writer.append(field.key, field.value) } }
                }
                writer.append("errmsg", string: error.message)
                writer.append("n", int32: 0)
            })
    }

    /// The results, in a cursor that stays open where they are more than a batch.
    func reply(_ context: CommandContext) async throws {
        let batch = FirstBatch(
            context, of: DocumentList(results), Namespace("admin", "$cmd.bulkWrite"), size: batchSize ?? .max)
        defer { batch.close() }
        try await context.node.inSlices({ try batch.run(until: $0).ended }) { try await context.endSlice() }
        try batch.write(at: nil)
        let writer = context.writer
        WriteOutcome.append(retried: retried, to: writer)
        writer.append("nErrors", int32: Int32(clamping: errors))
        writer.append("nInserted", int32: Int32(clamping: inserted))
        writer.append("nMatched", int32: Int32(clamping: matched))
        writer.append("nModified", int32: Int32(clamping: modified))
        writer.append("nUpserted", int32: Int32(clamping: upserted))
        writer.append("nDeleted", int32: Int32(clamping: deleted))
    }
}
