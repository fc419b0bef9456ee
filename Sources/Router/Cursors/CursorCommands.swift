import BSON
import Core
import Frontend
import Sharding

/// `getMore` and `killCursors`: a cursor of the router holds those of members.
enum CursorCommands {
    static func getMore(_ context: RouterContext) throws -> CommandOutcome {
        context.count()
        guard let id = context.argument.asInt64 else { throw wrongType("getMore.getMore", context.argument, "long") }
        guard let collection = context.body["collection"]?.asString else {
            throw ServerError(.missingField, "BSON field 'getMore.collection' is missing but a required field")
        }
        guard let entry = context.frontend.cursors.find(id) else {
            throw ServerError(.cursorNotFound, "cursor id \(id) not found")
        }
        let namespace = "\(context.database).\(collection)"
        guard entry.namespace == namespace else {
            throw ServerError(
                .unauthorized,
                "Requested getMore on namespace '\(namespace)', but cursor belongs to '\(entry.namespace)'")
        }
        guard entry.session == context.arguments.sessionID else {
            throw ServerError(.unauthorized, "Cannot run getMore on cursor \(id), which was created in another session")
        }
        guard !entry.isPinned else {
            throw ServerError(.objectIsBusy, "cursor id \(id) is in use by another operation")
        }
        guard entry.awaitsData || (context.arguments.maxTimeMillis ?? 0) == 0 else {
            throw ServerError(.badValue, "cannot set maxTimeMS on getMore command for a non-awaitData cursor")
        }
        entry.isPinned = true
        return .later {
            do throws(ServerError) {
                try await next(context, entry)
            } catch {
                entry.isPinned = false
                if entry.isKilled { entry.contents.close() } else { context.frontend.cursors.close(entry) }
                throw error
            }
        }
    }

    private static func next(_ context: RouterContext, _ entry: CursorRegistry.Entry) async throws(ServerError) {
        let isOver: Bool
        switch entry.contents {
        case let cursor as RemoteCursor: isOver = try await goOn(cursor, context, entry)
        case let cursor as any RouterCursor: isOver = try await goOn(cursor, context, entry)
        default: throw ServerError(.cursorNotFound, "cursor id \(entry.id) not found")
        }
        entry.isPinned = false
        if entry.isKilled {
            entry.contents.close()
            throw ServerError(.cursorKilled, "cursor \(entry.id) was killed while it was in use")
        }
        entry.lastUse = context.runtime.now
        if isOver { context.frontend.cursors.close(entry) }
    }

    /// Asks the member for the next batch and passes it on.
    private static func goOn(
        _ cursor: RemoteCursor, _ context: RouterContext, _ entry: CursorRegistry.Entry
    ) async throws(ServerError) -> Bool {
        var request = try context.forwarded(
            RoutedRequest(), access: .read, body: context.withFirst(.int64(cursor.id)), keepsSequences: false)
        request.endpoint = cursor.endpoint
        request.isRepeatable = false
        request.lane = entry.awaitsData ? .waiting : .bulk
        let reply = try await context.send(request, to: cursor.set)
        var isOver = true
        try context.relay(reply) { _ in
            isOver = false
            return entry.id
        }
        guard reply.isOK else {
            context.frontend.cursors.close(entry)
            return true
        }
        if isOver { cursor.ended() }
        return isOver
    }

    private static func goOn(
        _ cursor: any RouterCursor, _ context: RouterContext, _ entry: CursorRegistry.Entry
    ) async throws(ServerError) -> Bool {
        var size = Int.max
        if let value = context.body["batchSize"] {
            guard let number = value.coercedInteger, number >= 0 else {
                throw wrongType("getMore.batchSize", value, "long")
            }
            if number > 0 { size = Int(clamping: number) }
        }
        let batch = try await cursor.next(context, documentsMax: size)
        context.writer.append(batch, as: "nextBatch", id: batch.isLast ? 0 : entry.id, entry.namespace)
        return batch.isLast
    }

    static func killCursors(_ context: RouterContext) throws -> CommandOutcome {
        guard let list = context.body["cursors"]?.asArray else {
            throw ServerError(.failedToParse, "killCursors needs 'cursors', an array of cursor ids")
        }
        var killed: [Int64] = []
        var missing: [Int64] = []
        for element in list {
            guard let id = element.value.asInt64 else {
                throw wrongType("killCursors.cursors.\(element.key.string)", element.value, "long")
            }
            if let entry = context.frontend.cursors.find(id) {
                context.frontend.cursors.close(entry)
                killed.append(id)
            } else {
                missing.append(id)
            }
        }
        context.writer.array("cursorsKilled") { for id in killed { $0.append(.int64(id)) } }
        context.writer.array("cursorsNotFound") { for id in missing { $0.append(.int64(id)) } }
        context.writer.array("cursorsAlive") { _ in }
        context.writer.array("cursorsUnknown") { _ in }
        return .done
    }
}

extension RouterContext {
    /// The command with another value in its first field.
    func withFirst(_ value: Value) -> Document {
        Document { writer in
            var isFirst = true
            for field in body {
                if isFirst { writer.append(field.key.string, value) } else { writer.append(field.key, field.value) }
                isFirst = false
            }
        }
    }
}

/// A cursor whose batches the router makes itself, of those of several members.
protocol RouterCursor: CursorContents {
    /// The next documents, one at least unless there are no more.
    func next(_ context: RouterContext, documentsMax: Int) async throws(ServerError) -> RouterBatch
}

/// Documents of one reply.
struct RouterBatch {
    /// One behind the other.
    let documents: ByteBuffer
    /// There are no more behind them.
    let isLast: Bool
}

extension DocumentWriter {
    /// Writes `cursor: {firstBatch: […], id, ns}`.
    func append(_ batch: RouterBatch, as name: StaticString, id: Int64, _ namespace: String) {
        document("cursor") { cursor in
            cursor.array(name) { array in
                var at = UnsafeRawPointer(batch.documents.base)
                let end = at + batch.documents.count
                while at < end {
                    let document = DocumentView(base: at)
                    array.append(document)
                    at += document.byteCount
                }
            }
            cursor.append("id", int64: id)
            cursor.append("ns", string: namespace)
        }
    }
}
