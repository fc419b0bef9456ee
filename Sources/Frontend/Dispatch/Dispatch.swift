internal import BSON
internal import Core
internal import Wire

/// One request's way: parse, find the command, check what it needs, run it, reply.
extension Frontend {
    /// Handles one whole message of a client or member. Replies go to the connection's output; the caller flushes.
    func handle(_ message: UnsafeRawBufferPointer, on connection: ClientConnection) {
        var request: Request
        do {
            request = try Request(message)
        } catch {
            return refuse(message, error, connection)
        }
        counters.requests += 1
        counters.bytesIn &+= message.count
        let startedAt = runtime.now
        if request.form == .query, let collection = request.queriedCollection {
            return refuse(request, collection, connection)
        }
        let output = request.isUnacknowledged ? scratch : connection.output
        let before = output.count
        let reply = startReply(request.form, to: request.requestID, in: output, connection)
        // The table holds it.
        unowned(unsafe) var found: RegisteredCommand?
        var begun: RequestContext?
        do {
            let command = try self.command(for: request)
            found = command
            command.total += 1
            let arguments = try GenericArguments.parse(request.body, command) { request.sequence($0) != nil }
            var holder: ByteBuffer?
            if arguments.hasNulls { (request, holder) = request.droppingNulls(of: command) }
            CrashReport.begin(request.body, database: arguments.database)
            defer { CrashReport.end() }
            let context = command.makeContext(
                RequestContext.Call(
                    frontend: self, connection: connection, request: request, arguments: arguments, reply: reply,
                    holder: holder, startedAt: startedAt))
            begun = context
            try admit(context)
            switch try begin(context) {
            case .done: end(context)
            case .held:
                if request.isUnacknowledged {
                    context.didEnd(responseBytes: 0, failing: nil)
                } else {
                    holdReply(context)
                }
            case .later(let work): putOff(context, message) { [self] in await complete(context, work) }
            }
        } catch {
            if let context = begun {
                if let wait = context.wait(after: error) {
                    putOff(context, message) { [self] in end(context, failing: error, unmet: await wait()) }
                } else {
                    end(context, failing: error)
                }
            } else {
                finish(reply, failing: error, connection, nil, found)
            }
        }
        if request.isUnacknowledged {
            scratch.removeAll(keeping: 1 << 16)
        } else {
            counters.bytesOut &+= output.count - before
        }
    }

    /// Answers a message that cannot be understood, or closes the connection.
    private func refuse(
        _ message: UnsafeRawBufferPointer, _ error: InvalidMessage, _ connection: ClientConnection
    ) {
        counters.malformedMessages += 1
        guard !error.isFramingLost else { return connection.close(because: error.reason) }
        let header = MessageHeader(at: message.baseAddress!)
        let reply = MessageWriter(
            message: connection.output, requestID: connection.nextReplyID(), responseTo: header.requestID)
        finish(reply, failing: ServerError(.invalidBSON, error.reason), connection)
    }

    /// Answers an OP_QUERY on a collection, as MongoDB has done since 6.0.
    private func refuse(_ request: Request, _ collection: String, _ connection: ClientConnection) {
        let reply = MessageWriter(
            reply: connection.output, requestID: connection.nextReplyID(), responseTo: request.requestID,
            isFailedQuery: true)
        let reason = "OP_QUERY is no longer supported. The client driver may require an upgrade. (\(collection))"
        reply.document.append("$err", string: reason)
        reply.document.append("code", int32: 5_739_101)
        reply.document.append("ok", double: 0)
        reply.finish()
    }

    private func begin(_ context: RequestContext) throws -> CommandOutcome {
        if failPoints.isActive, let failure = failCommand(context) {
            return .later { [self] in try await run(context, failing: failure) }
        }
        return try context.begin()
    }

    func startReply(
        _ form: Request.Form, to requestID: Int32, in output: ByteBuffer, _ connection: ClientConnection
    ) -> MessageWriter {
        switch form {
        case .message:
            MessageWriter(message: output, requestID: connection.nextReplyID(), responseTo: requestID)
        case .query:
            MessageWriter(reply: output, requestID: connection.nextReplyID(), responseTo: requestID)
        }
    }

    private func command(for request: Request) throws(ServerError) -> RegisteredCommand {
        guard let first = request.body.first else { throw ServerError(.commandNotFound, "no such command: ''") }
        guard let command = commands.find(first.key) else {
            if let meaning = service.meaning(ofMissing: first.key) {
                throw ServerError(
                    .commandNotSupported, "The command '\(first.key.string)' is not supported yet: \(meaning)")
            }
            throw ServerError(.commandNotFound, "no such command: '\(first.key.string)'")
        }
        if request.form == .query, command.traits.isDisjoint(with: [.handshake, .legacyQuery]) {
            throw ServerError(
                .unsupportedOpQueryCommand,
                "Unsupported OP_QUERY command: \(command.name). The client driver may require an upgrade.")
        }
        return command
    }

    /// Checks what holds for all commands, and finds out when this one must be done.
    private func admit(_ context: RequestContext) throws(ServerError) {
        let command = context.command
        let traits = command.traits
        let arguments = context.arguments
        let connection = context.connection
        if context.request.form == .message, arguments.database == nil {
            throw ServerError(.missingField, "OP_MSG requests require a $db argument")
        }
        if let name = arguments.database { try Frontend.checkDatabaseName(name) }
        if traits.contains(.adminOnly), let name = arguments.database, !(KeyView(name) == "admin") {
            throw ServerError(.unauthorized, "\(command.name) may only be run against the admin database.")
        }
        if traits.contains(.testOnly), !settings.enableTestCommands {
            throw ServerError(
                .commandNotFound, "no such command: '\(command.name)' (start with --set enableTestCommands=1)")
        }
        if traits.contains(.clusterOnly), connection.peer?.clusterKind == nil {
            throw connection.introductionError
                ?? ServerError(.commandNotFound, "no such command: '\(command.name)'")
        }
        if arguments.isRouted, connection.peer?.clusterKind == nil {
            throw connection.introductionError
                ?? ServerError(
                    .unauthorized,
                    "shardVersion, databaseVersion, $configTime and $topologyTime are for the nodes of a sharded "
                        + "cluster; this connection has not introduced itself as one of them")
        }
        if traits.contains(.memberOnly), connection.peer?.isMember != true {
            throw connection.introductionError
                ?? ServerError(
                    .unauthorized,
                    "\(command.name) is for members of the replica set; this connection has not introduced itself")
        }
        if isShuttingDown, !traits.contains(.handshake) {
            throw ServerError(.interruptedAtShutdown, "interrupted at shutdown")
        }
        if let session = arguments.sessionID {
            try sessions.touch(session, now: context.startedAt, &connection.session)
        }
        if arguments.transactionNumber != nil, arguments.sessionID == nil {
            throw ServerError(.invalidOptions, "Transaction number requires a session ID to be specified")
        }
        if let concern = arguments.writeConcern, !traits.contains(.write), !traits.contains(.writeConcern),
            !concern.isEmpty
        {
            throw ServerError(.invalidOptions, "Command \(command.name) does not support writeConcern")
        }
        try service.admit(context)
        if let time = arguments.clusterTime { try service.advanceClusterTime(to: time) }
        guard let limit = arguments.maxTimeMillis, limit > 0 else { return }
        context.deadline = try deadline(.milliseconds(limit), context.startedAt, command)
    }

    /// - Throws: `InvalidNamespace` for a `$db` that cannot be a database's name.
    private static func checkDatabaseName(_ name: UnsafeRawBufferPointer) throws(ServerError) {
        // What is nearly every name needs no string.
        var isPlain = !name.isEmpty && name.count < 64
        for byte in name {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                continue
            default: isPlain = false
            }
        }
        if !isPlain { try Namespace.checkDatabase(String(decoding: name, as: UTF8.self)) }
    }

    // MARK: Commands that are put off

    /// Keeps a reply with the connection until the service lets it go.
    private func holdReply(_ context: RequestContext) {
        let responseBytes = context.reply.byteCount
        context.reply = context.reply.taken()
        let operation = context.connection.beginWaiting(context)
        operation.wait = .writeConcern
        let isRetryable = context.arguments.transactionNumber != nil
        context.hold(responseBytes: responseBytes) { [self] failure in
            if let failure { appendWriteConcernError(failure, isRetryableWrite: isRetryable, to: context.writer) }
            finish(context)
            context.didEndHeld()
            send(context, operation)
        }
        context.forget()
    }

    /// Runs `body`, which ends the command, as a task with a copy of its request.
    private func putOff(
        _ context: RequestContext, _ message: UnsafeRawBufferPointer, _ body: @escaping () async -> Void
    ) {
        context.retain(message)
        let operation = context.connection.beginWaiting(context)
        context.pause()
        runtime.spawn("command") { [self] in
            context.resume()
            defer { CrashReport.end() }
            await body()
            send(context, operation)
        }
    }

    /// Runs the rest of a command, and ends it.
    private func complete(_ context: RequestContext, _ work: () async throws -> Void) async {
        do {
            try await work()
            end(context)
        } catch {
            end(context, failing: error, unmet: await context.wait(after: error)?())
        }
    }

    /// Sends the reply of a command that was put off, which has ended.
    private func send(_ context: RequestContext, _ operation: Operation) {
        let connection = context.connection
        connection.reply {
            if !connection.isClosed, !context.request.isUnacknowledged {
                connection.send(context.reply, compressedBy: context.replyCompressor)
            }
            connection.endWaiting(operation)
        }
    }
}
