internal import BSON
internal import Core
internal import Data

/// `getMore` and `killCursors`: the rest of a query, or the end of it.
enum GetMoreCommand {
    static func add(to table: inout CommandTable) {
        // The cursor has its point in time; the session's read concern comes along.
        table.add(Command("getMore", [.read, .snapshotRead], help: "the next batch of a cursor", run: run))
        table.add(Command("killCursors", [.snapshotRead], help: "closes cursors", run: kill))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.getMore += 1
        for element in context.body.dropFirst() {
            switch element.key {
            case "collection", "batchSize", "term", "lastKnownCommittedOpTime": continue
            default: if !GenericArguments.isGeneric(element.key) { throw context.unknownField(element.key) }
            }
        }
        guard let id = context.argument.asInt64 else { throw wrongType("getMore.getMore", context.argument, "long") }
        guard let collection = context.body["collection"] else {
            throw ServerError(.missingField, "BSON field 'getMore.collection' is missing but a required field")
        }
        let namespace = try context.namespace(collection: collection, field: "getMore").fullName
        let batchSize = try size(context.body["batchSize"])
        guard let entry = context.node.cursors.find(id) else {
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
        do {
            try context.node.checkGetMore(context.connection)
        } catch {
            context.node.cursors.close(entry)
            throw error
        }
        // On a cursor that waits for data, maxTimeMS is how long; else it was set by the query.
        if entry.awaitsData { return .later { context in try await sendTail(context, entry, batchSize) } }
        if let left = entry.timeLeft {
            do {
                context.deadline = try context.node.deadline(left, context.startedAt, context.command)
                try context.checkDeadline()
            } catch {
                context.node.cursors.close(entry)
                throw error
            }
        }
        let batch = Batch()
        entry.isPinned = true
        do {
            let progress =
                entry.isLinearizable
                ? .yield
                : try batch.fill(from: entry.source, limit: batchSize, deadline: context.runtime.loopSliceEnd)
            guard progress == .yield else {
                entry.isPinned = false
                finish(context, entry, batch, progress)
                return .done
            }
        } catch {
            release(context, entry, failed: true)
            throw error
        }
        return .later { context in
            do {
                let progress = try await Batches.fill(
                    batch, from: entry.source, limit: batchSize, isLinearizable: entry.isLinearizable, context)
                try checkAlive(entry)
                entry.isPinned = false
                finish(context, entry, batch, progress)
            } catch {
                release(context, entry, failed: true)
                throw error
            }
        }
    }

    private static func size(_ value: ValueView?) throws(ServerError) -> Int {
        guard let value else { return .max }
        guard let number = value.asInteger else { throw wrongType("getMore.batchSize", value, "long") }
        guard number >= 0 else {
            throw ServerError(.badValue, "BSON field 'batchSize' value must be >= 0, actual value '\(number)'")
        }
        return number == 0 ? .max : Int(clamping: number)
    }

    /// The next batch of a cursor that waits for data: what is there, else what comes before the time is over.
    private static func sendTail(_ context: CommandContext, _ entry: CursorRegistry.Entry, _ batchSize: Int)
        async throws
    {
        entry.isPinned = true
        let node = context.node
        let wait = context.arguments.maxTimeMillis.map { Duration.milliseconds($0) } ?? Limits.awaitDataDefault
        let deadline = node.runtime.now + min(wait, Limits.awaitMax)
        // The wait is not the operation's time limit.
        context.deadline = .distantFuture
        do {
            let batch = Batch()
            var progress = try await Batches.fill(
                batch, from: entry.source, limit: batchSize, isLinearizable: entry.isLinearizable, context)
            while batch.count == 0, progress == .waiting, node.runtime.now < deadline, !context.connection.isAbandoned,
                !node.isShuttingDown
            {
                context.connection.operation?.wait = .data
                await node.dataAppended.wait(until: deadline, on: context.connection)
                try context.connection.checkInterrupted()
                try checkAlive(entry)
                try context.checkReadable()
                progress = try await Batches.fill(
                    batch, from: entry.source, limit: batchSize, isLinearizable: entry.isLinearizable, context)
            }
            try checkAlive(entry)
            entry.isPinned = false
            finish(context, entry, batch, progress)
        } catch {
            release(context, entry, failed: true)
            throw error
        }
    }

    private static func checkAlive(_ entry: CursorRegistry.Entry) throws(ServerError) {
        if entry.isKilled { throw ServerError(.cursorKilled, "cursor \(entry.id) was killed while it was in use") }
    }

    private static func release(_ context: CommandContext, _ entry: CursorRegistry.Entry, failed: Bool) {
        entry.isPinned = false
        if entry.isKilled { entry.source.close() } else if failed { context.node.cursors.close(entry) }
    }

    private static func finish(
        _ context: CommandContext, _ entry: CursorRegistry.Entry, _ batch: Batch, _ progress: CursorProgress
    ) {
        let isOpen = progress != .exhausted
        if isOpen {
            entry.lastUse = context.runtime.now
            if let left = entry.timeLeft { entry.timeLeft = left - (entry.lastUse - context.startedAt) }
        } else {
            context.node.cursors.close(entry)
        }
        context.writer.document("cursor") { writer in
            batch.write("nextBatch", to: writer, context.node)
            writer.append("id", int64: isOpen ? entry.id : 0)
            writer.append("ns", string: entry.namespace)
        }
    }

    private static func kill(_ context: CommandContext) throws -> CommandOutcome {
        guard let list = context.body["cursors"]?.asArray else {
            throw ServerError(.failedToParse, "killCursors needs 'cursors', an array of cursor ids")
        }
        _ = try context.namespace()
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
            if let entry = context.node.cursors.find(id) {
                context.node.cursors.close(entry)
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
