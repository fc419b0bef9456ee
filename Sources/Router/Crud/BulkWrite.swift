import BSON
import Core
import Frontend
import Sharding
import Wire

/// `bulkWrite`: operations on several collections, as runs of operations of one kind on one of them.
enum BulkWrite {
    /// One operation: where, and as which statement.
    private struct Operation {
        let namespace: Namespace
        let kind: WriteBatch.Kind
        let statement: Document
    }

    /// What has become of one.
    private struct Result {
        var n: Int64 = 0
        var nModified: Int64?
        var upserted: Value?
        var error: Document?
    }

    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        let operations = try read(context)
        let isOrdered = context.body["ordered"]?.isTruthy ?? true
        let options = Document { writer in
            writer.append("ordered", bool: isOrdered)
            for field in context.body.dropFirst() {
                switch field.key {
                case "lsid", "txnNumber", "writeConcern", "maxTimeMS", "comment", "let", "bypassDocumentValidation",
                    "apiVersion", "apiStrict", "apiDeprecationErrors":
                    writer.append(field.key, field.value)
                default: continue
                }
            }
        }
        var results: [Result?] = Array(repeating: nil, count: operations.count)
        var start = 0
        var hasFailed = false
        while start < operations.count, !(hasFailed && isOrdered) {
            // One by one where a result says something that a batch does not tell of each.
            var end = start + 1
            while operations[start].kind == .insert, end < operations.count, operations[end].kind == .insert,
                operations[end].namespace == operations[start].namespace
            {
                end += 1
            }
            try await carryOut(operations[start..<end], context, options, isOrdered, &results)
            hasFailed = hasFailed || results[start..<end].contains { $0?.error != nil }
            start = end
        }
        try await answer(results, operations, context)
    }

    private static func carryOut(
        _ run: ArraySlice<Operation>, _ context: RouterContext, _ options: Document, _ isOrdered: Bool,
        _ results: inout [Result?]
    ) async throws(ServerError) {
        let buffer = ByteBuffer(capacity: 4096)
        for operation in run { operation.statement.withView { buffer.append($0.bytes) } }
        var statements: [DocumentView] = []
        var at = UnsafeRawPointer(buffer.base)
        for _ in run {
            statements.append(DocumentView(base: at))
            at += DocumentView(base: at).byteCount
        }
        guard let first = run.first else { return }
        let batch = WriteBatch(first.kind, statements, isOrdered: isOrdered)
        let execution = BatchExecution(context, first.namespace, batch, options: options)
        if context.arguments.transactionNumber != nil {
            execution.firstStatement = (context.arguments.statementID ?? 0) &+ Int32(truncatingIfNeeded: run.startIndex)
        }
        do throws(ServerError) { _ = try await execution.run() } catch {
            guard !error.code.concernsCommand else { throw error }
            for index in batch.pending { batch.fail(index, error) }
        }
        withExtendedLifetime(buffer) {}
        let failures = Dictionary(batch.errors.map { ($0.index, $0.error) }) { first, _ in first }
        for offset in statements.indices {
            if let error = failures[offset] {
                results[run.startIndex + offset] = Result(error: error)
            } else if !batch.pending.contains(offset) {
                let isInsert = first.kind == .insert
                results[run.startIndex + offset] = Result(
                    n: isInsert ? 1 : batch.n, nModified: first.kind == .update ? batch.nModified : nil,
                    upserted: batch.upsertedID(of: offset))
            }
        }
    }

    // MARK: Reading

    private static func read(_ context: RouterContext) throws(ServerError) -> [Operation] {
        var namespaces: [Namespace] = []
        for entry in try list("nsInfo", context) {
            guard let name = entry["ns"]?.asString else {
                throw ServerError(.missingField, "BSON field 'bulkWrite.nsInfo.ns' is missing but a required field")
            }
            namespaces.append(try Namespace(validating: name))
        }
        var operations: [Operation] = []
        for entry in try list("ops", context) {
            guard let first = entry.first, let kind = WriteBatch.Kind(rawValue: first.key.string) else {
                throw ServerError(.failedToParse, "an operation of bulkWrite must begin with insert, update or delete")
            }
            guard let place = first.value.asInteger.flatMap({ Int(exactly: $0) }), namespaces.indices.contains(place)
            else {
                throw ServerError(.badValue, "BulkWrite ops entry \(first.key.string) has an invalid nsInfo index.")
            }
            operations.append(
                Operation(namespace: namespaces[place], kind: kind, statement: try statement(entry, kind)))
        }
        guard (1...Limits.writeBatchSizeMax).contains(operations.count) else {
            throw ServerError(
                .invalidLength,
                "Write batch sizes must be between 1 and \(Limits.writeBatchSizeMax). "
                    + "Got \(operations.count) operations.")
        }
        return operations
    }

    private static func list(_ name: StaticString, _ context: RouterContext) throws(ServerError) -> [DocumentView] {
        if let sequence = context.request.sequence(name) { return Array(sequence) }
        guard let array = context.body[name]?.asArray else {
            throw ServerError(.missingField, "BSON field 'bulkWrite.\(name)' is missing but a required field")
        }
        return array.compactMap { $0.value.asDocument }
    }

    /// An operation as a statement of the command of its kind.
    private static func statement(
        _ entry: DocumentView, _ kind: WriteBatch.Kind
    ) throws(ServerError) -> Document {
        switch kind {
        case .insert:
            guard let document = entry["document"]?.asDocument else {
                throw ServerError(.missingField, "BSON field 'bulkWrite.ops.document' is missing but a required field")
            }
            return document.document
        case .update:
            return Document { writer in
                for field in entry.dropFirst() {
                    switch field.key {
                    case "filter": writer.append("q", field.value)
                    case "updateMods": writer.append("u", field.value)
                    case "constants": writer.append("c", field.value)
                    default: writer.append(field.key, field.value)
                    }
                }
            }
        case .delete:
            return Document { writer in
                for field in entry.dropFirst() {
                    switch field.key {
                    case "filter": writer.append("q", field.value)
                    case "multi": continue
                    default: writer.append(field.key, field.value)
                    }
                }
                writer.append("limit", int32: entry["multi"]?.isTruthy == true ? 0 : 1)
            }
        }
    }

    // MARK: Answering

    private static func answer(
        _ results: [Result?], _ operations: [Operation], _ context: RouterContext
    ) async throws(ServerError) {
        let errorsOnly = context.body["errorsOnly"]?.isTruthy ?? false
        var totals = (inserted: Int64(0), matched: Int64(0), modified: Int64(0), upserted: Int64(0), deleted: Int64(0))
        var failures: Int32 = 0
        let buffer = ByteBuffer(capacity: 4096)
        for (index, result) in results.enumerated() {
            guard let result else { continue }
            if result.error != nil {
                failures += 1
            } else {
                switch operations[index].kind {
                case .insert: totals.inserted += 1
                case .update:
                    totals.matched += result.upserted == nil ? result.n : 0
                    totals.modified += result.nModified ?? 0
                    totals.upserted += result.upserted == nil ? 0 : 1
                case .delete: totals.deleted += result.n
                }
            }
            if errorsOnly, result.error == nil { continue }
            let writer = DocumentWriter(startingIn: buffer)
            writer.append("ok", double: result.error == nil ? 1 : 0)
            writer.append("idx", int32: Int32(clamping: index))
            if let error = result.error {
                error.withView { view in
                    for field in view where !(field.key == "index") { writer.append(field.key, field.value) }
                }
            }
            writer.append("n", int32: Int32(clamping: result.n))
            if let modified = result.nModified { writer.append("nModified", int32: Int32(clamping: modified)) }
            if let id = result.upserted { writer.document("upserted") { $0.append("_id" as String, id) } }
            writer.finish()
        }
        let cursor = BufferedCursor(buffer)
        try await context.answer(
            from: cursor, firstBatch: .max, Namespace("admin", "$cmd.bulkWrite"))
        context.writer.append("nErrors", int32: failures)
        context.writer.append("nInserted", int32: Int32(clamping: totals.inserted))
        context.writer.append("nMatched", int32: Int32(clamping: totals.matched))
        context.writer.append("nModified", int32: Int32(clamping: totals.modified))
        context.writer.append("nUpserted", int32: Int32(clamping: totals.upserted))
        context.writer.append("nDeleted", int32: Int32(clamping: totals.deleted))
    }
}

/// Documents that are all there already.
final class BufferedCursor: RouterCursor {
    private let documents: ByteBuffer
    private var at = 0

    init(_ documents: ByteBuffer) { self.documents = documents }

    func close() {}

    func next(_ context: RouterContext, documentsMax: Int) async throws(ServerError) -> RouterBatch {
        let batch = ByteBuffer(capacity: 4096)
        var count = 0
        while at < documents.count, count < documentsMax {
            let document = DocumentView(base: UnsafeRawPointer(documents.base) + at)
            guard count == 0 || batch.count + document.byteCount <= Limits.cursorBatchBytesMax else { break }
            batch.append(document.bytes)
            at += document.byteCount
            count += 1
        }
        return RouterBatch(documents: batch, isLast: at >= documents.count)
    }
}
