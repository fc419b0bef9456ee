internal import BSON
internal import Core
internal import Data
internal import Replication
internal import Wire

/// One request's way: parse, find the command, check what it needs, run it, reply.
extension Node {
    /// Handles one whole message of a client or member. Replies go to the connection's output; the caller flushes.
    func handle(_ message: UnsafeRawBufferPointer, on connection: ClientConnection) {
        var request: Request
        do {
            request = try Request(message)
        } catch {
            counters.malformedMessages += 1
            guard !error.isFramingLost else { return connection.close(because: error.reason) }
            let header = MessageHeader(at: message.baseAddress!)
            let reply = MessageWriter(
                message: connection.connection.output, requestID: connection.nextReplyID(), responseTo: header.requestID
            )
            finish(reply, failing: ServerError(.invalidBSON, error.reason), connection, arguments: nil, command: nil)
            return
        }
        counters.requests += 1
        counters.bytesIn &+= message.count
        let startedAt = runtime.now
        if profiler.isActive { beginStep() }
        if let collection = request.queriedCollection { return refuse(request, collection, connection) }
        let output = request.isUnacknowledged ? scratch : connection.connection.output
        let before = output.count
        let reply = startReply(request, in: output, connection)
        var arguments = GenericArguments()
        var found: Command?
        var holder: ByteBuffer?
        var profiled: ProfiledCommand?
        do {
            let command = try self.command(for: request)
            found = command
            command.total += 1
            arguments = try GenericArguments.parse(request.body, command) { request.sequence($0) != nil }
            if arguments.hasNulls { (request, holder) = request.droppingNulls(of: command) }
            if profiler.isActive { profiled = profiler.begin(command, arguments, startedAt) }
            CrashReport.begin(request.body, database: arguments.database)
            defer { CrashReport.end() }
            let deadline = try admit(command, request, arguments, connection, startedAt)
            let context = CommandContext(
                node: self, connection: connection, request: request, command: command, arguments: arguments,
                reply: reply, retained: nil, holder: holder, startedAt: startedAt, deadline: deadline)
            context.profiled = profiled
            switch try start(context) {
            case .done:
                finish(reply, context)
                noteEnd(context, responseBytes: output.count - before)
            case .awaitingWriteConcern(let optime, let concern):
                if request.isUnacknowledged {
                    noteEnd(context, responseBytes: 0)
                    break
                }
                if profiled != nil { noteProfiled(context, responseBytes: output.count - before) }
                holdReply(context, until: optime, concern)
            case .later(let work):
                reply.discard()
                runLater(context, message, work)
            }
        } catch {
            finish(reply, failing: error, connection, arguments: arguments, command: found)
            if profiled != nil, let found {
                profiler.end(
                    request.body, found, arguments, connection, elapsed: runtime.now - startedAt,
                    responseBytes: output.count - before, profiled, failing: error)
            }
        }
        if profiled != nil { data.observe(nil) }
        if !request.isUnacknowledged { counters.bytesOut &+= output.count - before }
        if request.isUnacknowledged { scratch.removeAll(keeping: 1 << 16) }
    }

    /// Answers an OP_QUERY on a collection, as MongoDB has done since 6.0.
    private func refuse(_ request: Request, _ collection: String, _ connection: ClientConnection) {
        let reply = MessageWriter(
            reply: connection.connection.output, requestID: connection.nextReplyID(), responseTo: request.requestID,
            isFailedQuery: true)
        let reason = "OP_QUERY is no longer supported. The client driver may require an upgrade. (\(collection))"
        reply.document.append("$err", string: reason)
        reply.document.append("code", int32: 5_739_101)
        reply.document.append("ok", double: 0)
        reply.finish()
    }

    private func start(_ context: CommandContext) throws -> CommandOutcome {
        if failPoints.isActive, let failure = failCommand(context) {
            return .later { context in try await context.node.run(context, failing: failure) }
        }
        if let wanted = try causalWait(context) {
            return .later { [self] context in
                try await role.awaitReadConcern(wanted, deadline: context.deadline, on: context.connection)
                try await runToEnd(context)
            }
        }
        if context.command.traits.contains(.write), isLagged {
            return .later { context in try await context.node.runSlowed(context) }
        }
        if context.lacksVariables { return .later { context in try await context.node.runToEnd(context) } }
        return try context.command.run(context)
    }

    /// What a command that reads no documents, or writes, has to wait for so that its session sees what it has seen.
    private func causalWait(_ context: CommandContext) throws(ServerError) -> ReadConcern? {
        guard let view = context.arguments.readConcern, !context.command.traits.contains(.readConcern) else {
            return nil
        }
        let concern = try ReadConcern(view)
        guard let after = concern.afterClusterTime, role.isReplicated, after > lastOpTime.timestamp else { return nil }
        var wanted = ReadConcern()
        wanted.afterClusterTime = after
        return wanted
    }

    private func startReply(_ request: Request, in output: ByteBuffer, _ connection: ClientConnection) -> MessageWriter
    {
        startReply(request.form, to: request.requestID, in: output, connection)
    }

    private func startReply(
        _ form: Request.Form, to requestID: Int32, in output: ByteBuffer, _ connection: ClientConnection
    ) -> MessageWriter {
        switch form {
        case .message:
            MessageWriter(message: output, requestID: connection.nextReplyID(), responseTo: requestID)
        case .query:
            MessageWriter(reply: output, requestID: connection.nextReplyID(), responseTo: requestID)
        }
    }

    private func command(for request: Request) throws(ServerError) -> Command {
        guard let first = request.body.first else { throw ServerError(.commandNotFound, "no such command: ''") }
        guard let command = commands.find(first.key) else {
            if let meaning = MissingCommands.meaning(of: first.key) {
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

    /// Checks what holds for all commands. Returns when the command must be done.
    private func admit(
        _ command: Command, _ request: Request, _ arguments: GenericArguments, _ connection: ClientConnection,
        _ now: Instant
    ) throws(ServerError) -> Instant {
        let traits = command.traits
        if request.form == .message, arguments.database == nil {
            throw ServerError(.missingField, "OP_MSG requests require a $db argument")
        }
        if let name = arguments.database { try checkDatabaseName(name) }
        if traits.contains(.adminOnly), let name = arguments.database, !(KeyView(name) == "admin") {
            throw ServerError(.unauthorized, "\(command.name) may only be run against the admin database.")
        }
        if traits.contains(.testOnly), !options.enableTestCommands {
            throw ServerError(
                .commandNotFound, "no such command: '\(command.name)' (start with --set enableTestCommands=1)")
        }
        if traits.contains(.memberOnly), connection.peer == nil {
            throw connection.introductionError
                ?? ServerError(
                    .unauthorized,
                    "\(command.name) is for members of the replica set; this connection has not introduced itself")
        }
        if traits.contains(.followerOnly), let peer = connection.peer, let role = role as? ReplicaSetRole,
            let obstacle = role.member.obstacle(toFollower: peer.memberID, peer.incarnation)
        {
            throw ServerError(.unauthorized, "\(command.name) is refused: \(obstacle)")
        }
        if isShuttingDown, !traits.contains(.handshake) {
            throw ServerError(.interruptedAtShutdown, "interrupted at shutdown")
        }
        if let session = arguments.sessionID { try sessions.touch(session, now: now) }
        try checkTransactionNumber(command, arguments)
        if let concern = arguments.readConcern { try checkReadConcern(command, concern) }
        if let concern = arguments.writeConcern, !traits.contains(.write), !traits.contains(.writeConcern),
            !concern.isEmpty
        {
            throw ServerError(.invalidOptions, "Command \(command.name) does not support writeConcern")
        }
        if let time = arguments.clusterTime { try role.advanceClusterTime(to: time) }
        guard let limit = arguments.maxTimeMillis, limit > 0 else { return .distantFuture }
        return try deadline(.milliseconds(limit), now, command)
    }

    /// A snapshot session sends its read concern with everything. What a write reads is what is there now.
    private func checkReadConcern(_ command: Command, _ concern: DocumentView) throws(ServerError) {
        if !command.traits.contains(.snapshotRead), let level = concern["level"]?.asStringBytes,
            KeyView(level) == "snapshot"
        {
            throw ServerError(
                .invalidOptions,
                "The command '\(command.name)' does not support readConcern snapshot; find, aggregate and distinct do")
        }
        guard command.traits.isDisjoint(with: [.readConcern, .snapshotRead]) else { return }
        let level = try ReadConcern(concern).level
        guard level == .local else {
            throw ServerError(
                .invalidOptions,
                "Command \(command.name) does not support { readConcern: { level: \"\(level.rawValue)\" } }: "
                    + "it takes 'local' only; leave the read concern out")
        }
    }

    private func checkTransactionNumber(_ command: Command, _ arguments: GenericArguments) throws(ServerError) {
        if arguments.autocommit != nil || arguments.startTransaction {
            throw ServerError(.illegalOperation, "multi-document transactions are not supported by this server yet")
        }
        guard arguments.transactionNumber != nil else { return }
        guard arguments.sessionID != nil else {
            throw ServerError(.invalidOptions, "Transaction number requires a session ID to be specified")
        }
        guard role.isReplicated else {
            throw ServerError(
                .illegalOperation, "Transaction numbers are only allowed on a replica set member or mongos")
        }
        guard command.traits.contains(.retryable) else {
            throw ServerError(
                .notARetryableWriteCommand,
                "txnNumber may only be provided for retryable writes, not for \(command.name)")
        }
    }

    /// Keeps the reply's fields back until the write concern is met, and sends them with `writeConcernError` if it is
    /// not.
    private func holdReply(_ context: CommandContext, until optime: OpTime, _ concern: WriteConcern) {
        let connection = context.connection
        let fields = context.reply.takeDocument()
        let request = context.request
        let reply = (form: request.form, id: request.requestID)
        let isRetryable = context.arguments.transactionNumber != nil
        let (command, startedAt, collection) = (context.command, context.startedAt, context.usedCollection)
        connection.beginWaiting(context).wait = .writeConcern
        role.awaitWriteConcern(optime, concern, deadline: context.deadline, on: connection) { [self] failure in
            let time = noteEnd(command, since: startedAt, collection)
            if time >= profiler.slowNanoseconds, let operation = connection.operation {
                profiler.end(operation, connection, elapsed: .nanoseconds(time))
            }
            guard !connection.isClosed else { return }
            let start = connection.connection.output.count
            let writer = startReply(reply.form, to: reply.id, in: connection.connection.output, connection)
            fields.withView { for field in $0 { writer.document.append(field.key, field.value) } }
            if let failure {
                appendWriteConcernError(failure, isRetryableWrite: isRetryable, to: writer.document)
            }
            writer.document.append("ok", double: 1)
            role.appendGossip(to: writer.document, operationTime: optime.timestamp)
            writer.finish()
            counters.bytesOut &+= connection.connection.output.count - start
            connection.compressReply(from: start)
            connection.endWaiting()
        }
    }

    /// Runs the rest of a command as a task, with a copy of its request.
    private func runLater(
        _ first: CommandContext, _ message: UnsafeRawBufferPointer,
        _ work: @escaping (CommandContext) async throws -> Void
    ) {
        let connection = first.connection
        let command = first.command
        let retained = ByteBuffer(capacity: message.count)
        retained.append(message)
        // The same bytes parsed a moment ago.
        guard var request = try? Request(retained.bytes),
            let arguments = try? GenericArguments.parse(
                request.body, command, hasSequence: { request.sequence($0) != nil })
        else { return connection.close(because: "request changed while it was read") }
        var holder: ByteBuffer?
        if arguments.hasNulls { (request, holder) = request.droppingNulls(of: command) }
        let output = ByteBuffer(capacity: 512)
        let context = CommandContext(
            node: self, connection: connection, request: request, command: command, arguments: arguments,
            reply: startReply(request, in: output, connection), retained: retained, holder: holder,
            startedAt: first.startedAt,
            deadline: first.deadline)
        context.lastWrite = first.lastWrite
        context.profiled = first.profiled
        context.givenOperationID = first.givenOperationID
        connection.beginWaiting(context)
        runtime.spawn("command") { [self] in
            context.resumeObserving()
            defer { CrashReport.end() }
            do {
                try await work(context)
                finish(context.reply, context)
                noteEnd(context, responseBytes: output.count)
            } catch {
                finish(context.reply, failing: error, connection, arguments: arguments, command: command)
                noteProfiled(context, responseBytes: output.count, failing: error)
            }
            if !connection.isClosed, !request.isUnacknowledged {
                let start = connection.connection.output.count
                connection.connection.output.append(output.bytes)
                counters.bytesOut &+= output.count
                connection.compressReply(from: start)
            }
            connection.endWaiting()
        }
    }
}
