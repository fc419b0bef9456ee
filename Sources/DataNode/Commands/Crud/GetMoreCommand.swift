internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Wire

/// `getMore` and `killCursors`: the rest of a query, or the end of it.
enum GetMoreCommand {
    static func add(to table: inout CommandSet) {
        // The cursor has its point in time; the session's read concern comes along.
        table.add(
            Command("getMore", [.read, .snapshotRead, .stable], .getMore, help: "the next batch of a cursor", run: run))
        table.add(Command("killCursors", [.snapshotRead, .stable], .killCursors, help: "closes cursors", run: kill))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.getMore += 1
        guard let id = context.argument.asInt64 else { throw wrongType("getMore.getMore", context.argument, "long") }
        guard let collection = context.body["collection"] else {
            throw ServerError(.missingField, "BSON field 'getMore.collection' is missing but a required field")
        }
        let namespace = try namespace(context, collection)
        let batchSize = try size(context.body["batchSize"])
        try context.node.role.checkServesReads(of: context.arguments.database)
        guard let entry = context.frontend.cursors.find(id), let source = entry.contents as? any BatchSource else {
            throw ServerError(.cursorNotFound, "cursor id \(id) not found")
        }
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
            throw ServerError(
                .badValue, "cannot set maxTimeMS on getMore command for a non-awaitData cursor")
        }
        do {
            try context.node.checkGetMore(context.connection)
        } catch {
            context.frontend.cursors.close(entry)
            throw error
        }
        if let left = entry.timeLeft, !entry.awaitsData {
            do {
                context.deadline = try context.frontend.deadline(left, context.startedAt, context.command)
                try context.checkDeadline()
            } catch {
                context.frontend.cursors.close(entry)
                throw error
            }
        }
        context.profiled?.goesOn(with: entry)
        let batch = Batch("nextBatch", context)
        // From here to the end of the command nobody else uses the cursor.
        entry.isPinned = true
        if entry.awaitsData || entry.isLinearizable || context.request.allowsExhaust {
            return .later { try await serve(context, entry, source, batchSize, batch) }
        }
        source.willContinue(until: context.deadline)
        do {
            let progress = try batch.fill(
                from: source, limit: batchSize, deadline: context.runtime.loopSliceEnd)
            guard progress == .yield else {
                entry.isPinned = false
                finish(context, entry, source, batch, progress)
                return .done
            }
        } catch {
            release(context, entry)
            throw error
        }
        return .later { try await serve(context, entry, source, batchSize, batch) }
    }

    /// A cursor over no collection is named after its command: `$cmd.aggregate`, `$cmd.bulkWrite`.
    private static func namespace(_ context: CommandContext, _ collection: ValueView) throws(ServerError) -> String {
        if let name = collection.asString, name.hasPrefix("$cmd.") { return "\(context.database).\(name)" }
        return try context.namespace(collection: collection, field: "getMore").fullName
    }

    private static func size(_ value: ValueView?) throws(ServerError) -> Int {
        guard let value else { return .max }
        guard let number = value.coercedInteger else { throw wrongType("getMore.batchSize", value, "long") }
        guard number >= 0 else { throw CommandFields.negative("batchSize", number) }
        return number == 0 ? .max : Int(clamping: number)
    }

    /// Answers with the batch that was begun; with further ones behind it, where the client lets the server go on
    /// without being asked (exhaust), for as long as the client takes them: then it has to ask again.
    private static func serve(
        _ context: CommandContext, _ entry: CursorRegistry.Entry, _ source: any BatchSource, _ batchSize: Int,
        _ begun: Batch
    ) async throws {
        do {
            var batch = begun
            var progress = try await fill(batch, context, entry, source, batchSize)
            while progress != .exhausted, context.mayStream(batch.byteCount) {
                batch.finish(id: entry.id, entry.namespace, from: source)
                context.stream()
                context.node.counters.getMore += 1
                try await context.awaitNextReadSlice()
                batch = Batch("nextBatch", context)
                progress = try await fill(batch, context, entry, source, batchSize)
            }
            entry.isPinned = false
            finish(context, entry, source, batch, progress)
        } catch {
            release(context, entry)
            throw error
        }
    }

    /// Fills a batch; on a cursor that waits for data, with what is there, else with what comes before the time is
    /// over.
    private static func fill(
        _ batch: Batch, _ context: CommandContext, _ entry: CursorRegistry.Entry, _ source: any BatchSource,
        _ batchSize: Int
    ) async throws -> CursorProgress {
        let node = context.node
        var deadline = Instant.zero
        if entry.awaitsData {
            // There, maxTimeMS is how long to wait, and not the operation's time limit.
            let wait = context.arguments.maxTimeMillis.map { Duration.milliseconds($0) } ?? Limits.awaitDataDefault
            deadline = node.runtime.now + min(wait, Limits.awaitMax)
            context.deadline = .distantFuture
        }
        while true {
            let progress = try await batch.fill(
                from: source, limit: batchSize, isLinearizable: entry.isLinearizable)
            try checkAlive(entry)
            guard batch.count == 0, progress == .waiting, node.runtime.now < deadline, !context.connection.isAbandoned,
                !node.isShuttingDown
            else { return progress }
            context.operation?.wait = .data
            let waitsSince = node.runtime.now
            context.pause()
            await node.dataAppended.wait(until: deadline, on: context.connection)
            context.resume()
            context.idleTime += node.runtime.now - waitsSince
            try context.connection.checkInterrupted()
            try checkAlive(entry)
            try node.role.checkServesReads(of: context.arguments.database)
        }
    }

    private static func checkAlive(_ entry: CursorRegistry.Entry) throws(ServerError) {
        if entry.isKilled { throw ServerError(.cursorKilled, "cursor \(entry.id) was killed while it was in use") }
    }

    /// After a failure the cursor is gone.
    private static func release(_ context: CommandContext, _ entry: CursorRegistry.Entry) {
        entry.isPinned = false
        if entry.isKilled { entry.contents.close() } else { context.frontend.cursors.close(entry) }
    }

    private static func finish(
        _ context: CommandContext, _ entry: CursorRegistry.Entry, _ source: any BatchSource, _ batch: Batch,
        _ progress: CursorProgress
    ) {
        let isOpen = progress != .exhausted
        if isOpen {
            entry.lastUse = context.runtime.now
            if let left = entry.timeLeft { entry.timeLeft = left - (entry.lastUse - context.startedAt) }
        } else {
            context.frontend.cursors.close(entry)
            context.profiled?.isCursorExhausted = true
        }
        batch.finish(id: isOpen ? entry.id : 0, entry.namespace, from: source)
    }

    private static func kill(_ context: CommandContext) throws -> CommandOutcome {
        guard let list = context.body["cursors"]?.asArray else {
            throw ServerError(.failedToParse, "killCursors needs 'cursors', an array of cursor ids")
        }
        _ = try namespace(context, context.argument)
        var ids: [Int64] = []
        for element in list {
            guard let id = element.value.asInt64 else {
                throw wrongType("killCursors.cursors.\(element.key.string)", element.value, "long")
            }
            ids.append(id)
        }
        var killed: [Int64] = []
        var missing: [Int64] = []
        for id in ids {
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
