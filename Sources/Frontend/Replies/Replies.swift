package import BSON
package import Core
internal import Wire

/// How replies end: success, failure, and what gossips on both.
extension Frontend {
    /// Ends a command: its reply, and what the service notes of it.
    /// - Parameters:
    ///   - error: why it failed; nil when it did not.
    ///   - unmet: why the write concern of one that failed was not met besides.
    @inline(__always)
    func end(_ context: RequestContext, failing error: (any Error)? = nil, unmet: ServerError? = nil) {
        if let error {
            finish(context.reply, failing: error, context.connection, context.arguments, context.command, unmet: unmet)
        } else {
            finish(context)
        }
        context.didEnd(responseBytes: context.reply.byteCount, failing: error)
    }

    /// Ends a successful reply.
    @inline(__always)
    func finish(_ context: RequestContext) {
        let writer = context.writer
        if !context.isRelayed { writer.append("ok", double: 1) }
        service.appendGossip(to: writer, operationTime: context.relayedTime ?? context.lastWrite?.timestamp)
        context.reply.finish()
    }

    /// Ends a failed reply: drops what was written of it.
    /// - Parameter unmet: why its write concern was not met besides.
    func finish(
        _ reply: MessageWriter, failing error: any Error, _ connection: ClientConnection,
        _ arguments: GenericArguments? = nil, _ command: RegisteredCommand? = nil,
        unmet: ServerError? = nil
    ) {
        command?.failed += 1
        counters.failures += 1
        let failure = serverError(for: error)
        let injected = error as? InjectedFailure
        reply.restart()
        let writer = reply.document
        writer.append("ok", double: 0)
        writer.append("errmsg", string: connection.speaksHello ? failure.message : failure.messageOfOld)
        writer.append("code", int32: failure.code.rawValue)
        writer.append("codeName", string: failure.code.name)
        if let details = failure.details {
            details.withView { for field in $0 { writer.append(field.key, field.value) } }
        }
        if let unmet { appendWriteConcernError(unmet, to: writer) }
        let isRetryable = arguments?.transactionNumber != nil && injected?.replacesLabels != true
        appendLabels(failure, isRetryableWrite: isRetryable, to: writer)
        // A state change that a fail point made up has not happened: with the version they know, clients would take it
        // for old news.
        if failure.code.isStateChange, injected == nil { topology.append(to: writer) }
        service.appendGossip(to: writer, operationTime: nil)
        reply.finish()
    }

    /// `errorLabels`: those of the error, and `RetryableWriteError` by MongoDB's rule.
    func appendLabels(_ failure: ServerError, isRetryableWrite: Bool, to writer: DocumentWriter) {
        var labels = failure.labels
        if isRetryableWrite, failure.code.isRetryableWrite { labels.append("RetryableWriteError") }
        guard !labels.isEmpty else { return }
        writer.array("errorLabels") { for label in labels { $0.append(string: label) } }
    }

    /// `writeConcernError`, and the label that a retryable one carries.
    package func appendWriteConcernError(_ failure: ServerError, isRetryableWrite: Bool, to writer: DocumentWriter) {
        appendWriteConcernError(failure, to: writer)
        appendLabels(failure, isRetryableWrite: isRetryableWrite, to: writer)
    }

    private func appendWriteConcernError(_ failure: ServerError, to writer: DocumentWriter) {
        writer.document("writeConcernError") {
            $0.append("code", int32: failure.code.rawValue)
            $0.append("codeName", string: failure.code.name)
            $0.append("errmsg", string: failure.message)
            if let details = failure.details { $0.append("errInfo", details) }
        }
    }

    /// What a client is told of an error. A broken promise, of our own or of the storage engine, stops the node; the
    /// client learns that it was not its fault.
    private func serverError(for error: any Error) -> ServerError {
        switch error {
        case let error as ServerError: return error
        case let error as InjectedFailure: return error.error
        case is any BrokenPromise:
            service.fail(error)
            return ServerError(.internalError, "\(error)")
        case let error as InvalidMessage: return ServerError(.invalidBSON, error.reason)
        case let error as InvalidBSON: return ServerError(.invalidBSON, error.description)
        default: return ServerError(.internalError, String(describing: error))
        }
    }
}

extension ServerError {
    /// The message for clients that have not said `helloOk`: drivers of their time look for these words.
    fileprivate var messageOfOld: String {
        switch code {
        case .notWritablePrimary: "not master" + (message.hasPrefix("not primary") ? message.dropFirst(11) : "")
        case .notPrimaryNoSecondaryOk: "not master and slaveOk=false"
        case .notPrimaryOrSecondary: "not master or secondary; cannot currently read from this replSet member"
        default: message
        }
    }
}

extension ErrorCode {
    /// Errors after which a client may send the same retryable write once more: the codes that the drivers'
    /// specification "Retryable Writes" lists.
    package var isRetryableWrite: Bool {
        switch self {
        case .notWritablePrimary, .notPrimaryNoSecondaryOk, .notPrimaryOrSecondary, .primarySteppedDown,
            .interruptedDueToReplStateChange, .interruptedAtShutdown, .shutdownInProgress, .hostUnreachable,
            .hostNotFound, .networkTimeout, .socketException, .exceededTimeLimit:
            true
        default: false
        }
    }
}
