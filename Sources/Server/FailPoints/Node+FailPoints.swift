internal import BSON
internal import Core
internal import Data

/// Where a node meets its fail points. Nothing here runs while none is on.
extension Node {
    /// What `failCommand` has in store for a command that is about to run.
    func failCommand(_ context: CommandContext) -> FailPointSettings? {
        // Else it could not be switched off any more.
        guard context.body.first.map({ !($0.key == "configureFailPoint") }) ?? false else { return nil }
        return failPoints.fires(.failCommand, runtime) { settings in
            isMeant(by: settings, context)
        }
    }

    private func isMeant(by settings: FailPointSettings, _ context: CommandContext) -> Bool {
        let given = context.body.first?.key.string ?? ""
        guard settings.commands.contains(where: { $0 == given || Self.isHelloOfOld($0) && Self.isHelloOfOld(given) })
        else { return false }
        if context.connection.peer != nil, !settings.failsInternalCommands { return false }
        if let name = settings.applicationName {
            // The first hello of a connection says itself whose it is.
            let metadata = context.connection.clientMetadata ?? context.body["client"]?.asDocument?.document
            if name != metadata?.applicationName { return false }
        }
        if let namespace = settings.namespace, namespace != context.namespaceText { return false }
        return true
    }

    private static func isHelloOfOld(_ name: String) -> Bool { name == "isMaster" || name == "ismaster" }

    /// What `failCommand` does to the next reply of a `hello` that streams: waits, closes the connection, or fails.
    func checkStream(_ context: CommandContext) async throws {
        guard failPoints.isActive, let settings = failCommand(context) else { return }
        try await meet(settings, context)
    }

    /// Runs a command that `failCommand` has fired for.
    func run(_ context: CommandContext, failing settings: FailPointSettings) async throws {
        try await meet(settings, context)
        if context.connection.isClosed { return }
        try await runToEnd(context)
        if let error = settings.writeConcernError, !context.reportedWriteConcernError {
            context.writer.append("writeConcernError" as String, .document(error))
            let code = ErrorCode(rawValue: error["code"]?.asInteger.flatMap { Int32(exactly: $0) } ?? 0)
            appendLabels(
                ServerError(code, "", labels: settings.errorLabels ?? []),
                isRetryableWrite: settings.errorLabels == nil && context.arguments.transactionNumber != nil,
                to: context.writer)
        }
    }

    /// What comes before the command, and perhaps in its place.
    private func meet(_ settings: FailPointSettings, _ context: CommandContext) async throws {
        if let time = settings.blocksFor {
            let allowed = context.deadline == .distantFuture ? time : min(time, context.deadline - runtime.now)
            let end = runtime.now + allowed
            await LoopSignal(runtime: runtime).wait(until: end, on: context.connection)
            try context.connection.checkInterrupted()
            if allowed < time { throw ServerError(.maxTimeMSExpired, "operation exceeded time limit") }
        }
        if settings.closesConnection == true {
            return context.connection.close(because: "the fail point failCommand says so")
        }
        if let code = settings.errorCode { throw InjectedFailure(code, .failCommand, labels: settings.errorLabels) }
    }

    /// When a command with `maxTimeMS` has to be done, as the fail points about it say.
    /// - Throws: `MaxTimeMSExpired`.
    func deadline(_ limit: Duration, _ now: Instant, _ command: Command) throws(ServerError) -> Instant {
        if failPoints.isActive, !command.traits.contains(.testOnly) {
            if failPoints.fires(.maxTimeNeverTimeOut, runtime) != nil { return .distantFuture }
            if failPoints.fires(.maxTimeAlwaysTimeOut, runtime) != nil {
                throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
            }
        }
        return now + limit
    }

    /// What `onPrimaryTransactionalWrite` does to each statement of a retryable write; nil when it is off.
    func retryableWriteCheck(_ connection: ClientConnection) -> (() throws -> Void)? {
        guard failPoints.isActive else { return nil }
        return { [unowned self, unowned connection] in
            guard let settings = failPoints.fires(.onPrimaryTransactionalWrite, runtime) else { return }
            if settings.closesConnection ?? true {
                connection.close(because: "the fail point onPrimaryTransactionalWrite says so")
            }
            if let code = settings.failBeforeCommit { throw InjectedFailure(code, .onPrimaryTransactionalWrite) }
        }
    }

    /// What `failGetMoreAfterCursorCheckout` does to a `getMore` that has found its cursor.
    func checkGetMore(_ connection: ClientConnection) throws {
        guard failPoints.isActive, let settings = failPoints.fires(.failGetMoreAfterCursorCheckout, runtime) else {
            return
        }
        if settings.closesConnection == true {
            connection.close(because: "the fail point failGetMoreAfterCursorCheckout says so")
        }
        let code = settings.errorCode ?? .internalError
        throw InjectedFailure(code, .failGetMoreAfterCursorCheckout, labels: settings.errorLabels)
    }
}

extension CommandContext {
    /// The collection that a command names, as `database.collection`; nil for one that names none.
    fileprivate var namespaceText: String? {
        guard let name = argument.asString ?? body["collection"]?.asString else { return nil }
        return "\(database).\(name)"
    }
}

extension ClientConnection {
    /// What the client calls itself: `client.application.name` of its first `hello`.
    var applicationName: String? { clientMetadata?.applicationName }
}

extension Document {
    /// The name in `client`, the metadata that a client sends.
    fileprivate var applicationName: String? { self["application"]?.asDocument?["name"]?.asString }
}
