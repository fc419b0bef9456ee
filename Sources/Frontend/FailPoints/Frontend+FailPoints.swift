internal import BSON
package import Core

/// Where a node meets its fail points. Nothing here runs while none is on.
extension Frontend {
    /// What `failCommand` has in store for a command that is about to run.
    func failCommand(_ context: RequestContext) -> FailPointSettings? {
        // Else it could not be switched off any more.
        guard context.body.first.map({ !($0.key == "configureFailPoint") }) ?? false else { return nil }
        return failPoints.fires(.failCommand, runtime) { settings in
            isMeant(by: settings, context)
        }
    }

    private func isMeant(by settings: FailPointSettings, _ context: RequestContext) -> Bool {
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
    func checkStream(_ context: RequestContext) async throws {
        guard failPoints.isActive, let settings = failCommand(context) else { return }
        try await meet(settings, context)
    }

    /// Runs a command that `failCommand` has fired for.
    func run(_ context: RequestContext, failing settings: FailPointSettings) async throws {
        try await meet(settings, context)
        if context.connection.isClosed { return }
        try await context.runToEnd()
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
    private func meet(_ settings: FailPointSettings, _ context: RequestContext) async throws {
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
    package func deadline(_ limit: Duration, _ now: Instant, _ command: RegisteredCommand) throws(ServerError)
        -> Instant
    {
        if failPoints.isActive, !command.traits.contains(.testOnly) {
            if failPoints.fires(.maxTimeNeverTimeOut, runtime) != nil { return .distantFuture }
            if failPoints.fires(.maxTimeAlwaysTimeOut, runtime) != nil {
                throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
            }
        }
        return now + limit
    }
}

extension RequestContext {
    /// The collection that a command names, as `database.collection`; nil for one that names none.
    fileprivate var namespaceText: String? {
        guard let name = argument.asString ?? body["collection"]?.asString else { return nil }
        return "\(database).\(name)"
    }
}

extension ClientConnection {
    /// What the client calls itself: `client.application.name` of its first `hello`.
    package var applicationName: String? { clientMetadata?.applicationName }
}

extension Document {
    /// The name in `client`, the metadata that a client sends.
    fileprivate var applicationName: String? { self["application"]?.asDocument?["name"]?.asString }
}
