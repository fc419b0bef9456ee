import BSON
import Core

/// What came of sending a command once.
private enum Attempt {
    case reply(Document)
    case failed(any ClientError, mayRetry: Bool)
}

/// A command's reply and where it came from.
struct CommandResult {
    let reply: Document
    let address: Endpoint
}

extension MongoClient {
    /// Runs `body` with the given session, or with one for this operation only.
    func withSession<R>(_ given: ClientSession?, _ body: (ClientSession) async throws -> R) async throws -> R {
        if let given {
            if given.hasEnded { throw ClientUsageError(message: "the session has ended") }
            return try await body(given)
        }
        let session = implicitSession()
        defer { session.end() }
        return try await body(session)
    }

    func implicitSession() -> ClientSession {
        ClientSession(pool: sessions, isImplicit: true, isCausallyConsistent: false)
    }

    /// Selects a server, sends the command and reads its reply; once more, elsewhere if possible, when the error and
    /// the command allow it (retryable-reads and retryable-writes specifications).
    /// - Throws: `CommandError` for `ok: 0`. Write errors inside an `ok: 1` reply are left to the caller.
    func execute(_ request: CommandRequest, session: ClientSession?) async throws -> CommandResult {
        let deadline = runtime.now + options.serverSelectionTimeout
        var first: (any ClientError)?
        var avoiding: [Endpoint] = []
        var transactionNumber: Int64?
        while true {
            let server: Server
            do {
                server = try await serverFor(request, avoiding: avoiding, deadline: deadline)
            } catch {
                throw first ?? error
            }
            let supportsRetry = supportsRetryableWrites(server.address)
            if request.access == .write, first != nil, !supportsRetry, let first { throw first }
            let isRetryableWrite =
                request.access == .write && request.isRetryable && options.retryWrites && supportsRetry
                && request.isAcknowledged
            if session != nil, request.usesSession, request.isAcknowledged { prepare(session) }
            if isRetryableWrite, transactionNumber == nil {
                transactionNumber = session?.serverSession?.nextTransactionNumber()
            }
            let canRetry =
                request.access == .write
                ? transactionNumber != nil : request.isRetryable && options.retryReads && request.pinned == nil
            switch await attempt(request, session, transactionNumber, server, deadline) {
            case .reply(let reply):
                if first == nil, canRetry, isRetryableReply(reply) {
                    first = OperationReply.writeConcernError(reply)
                    avoiding.append(server.address)
                    continue
                }
                return CommandResult(reply: reply, address: server.address)
            case .failed(let error, let mayRetry):
                if let first { throw error.hasLabel("NoWritesPerformed") ? first : error }
                guard canRetry, mayRetry else { throw error }
                first = error
                avoiding.append(server.address)
            }
        }
    }

    private func serverFor(
        _ request: CommandRequest, avoiding: [Endpoint], deadline: Instant
    ) async throws -> Server {
        guard let pinned = request.pinned else {
            return try await select(request.access, request.preference, avoiding: avoiding, deadline: deadline)
        }
        guard let server = server(pinned) else {
            throw NetworkError(address: pinned, kind: .closed, message: "the server is not a member any more")
        }
        return server
    }

    /// Gives the session an id, when the servers know sessions.
    private func prepare(_ session: ClientSession?) {
        guard let session, session.serverSession == nil, watch.logicalSessionTimeoutMinutes != nil else { return }
        session.serverSession = sessions.take()
    }

    private func supportsRetryableWrites(_ address: Endpoint) -> Bool {
        guard let server = watch.description[address], server.logicalSessionTimeoutMinutes != nil else {
            return false
        }
        return server.type == .primary || server.type == .mongos
    }

    private func isRetryableReply(_ reply: Document) -> Bool {
        OperationReply.labels(reply).contains("RetryableWriteError") && reply["writeConcernError"] != nil
    }

    private func attempt(
        _ request: CommandRequest, _ session: ClientSession?, _ transactionNumber: Int64?, _ server: Server,
        _ deadline: Instant
    ) async -> Attempt {
        began(on: server.address)
        defer { ended(on: server.address) }
        var generation = server.pool.generation
        do throws(NetworkError) {
            let connection = try await server.pool.checkOut(until: deadline)
            generation = connection.generation
            defer { server.pool.checkIn(connection) }
            let command = outgoing(request, session, transactionNumber, server.address)
            guard request.isAcknowledged else {
                try connection.post { command.write(to: $0, requestID: $1) }
                return .reply(["ok": 1])
            }
            let reply = try await connection.call(timeout: options.socketTimeout) {
                command.write(to: $0, requestID: $1)
            }
            return judge(reply.document, request, session, server, generation)
        } catch {
            session?.serverSession?.isDirty = true
            connectionFailed(error, server: server, generation: generation)
            var labelled = error
            if transactionNumber != nil { labelled.labels.append("RetryableWriteError") }
            return .failed(labelled, mayRetry: true)
        }
    }

    private func outgoing(
        _ request: CommandRequest, _ session: ClientSession?, _ transactionNumber: Int64?, _ address: Endpoint
    ) -> OutgoingCommand {
        let type = watch.description[address]?.type ?? .unknown
        let isCausal = request.access == .read && session?.isCausallyConsistent == true && request.pinned == nil
        session?.serverSession?.lastUse = runtime.now
        var newest = clusterTime
        if let own = session?.clusterTime { newest = ClusterTime.newer(newest, own) }
        return OutgoingCommand(
            request: request,
            lsid: request.usesSession && request.isAcknowledged ? session?.serverSession?.lsid : nil,
            transactionNumber: transactionNumber, clusterTime: type == .standalone ? nil : newest,
            afterClusterTime: isCausal ? session?.operationTime : nil, preference: sentPreference(request, type))
    }

    /// A member reached directly must be told that a read on it is meant, whatever it is.
    private func sentPreference(_ request: CommandRequest, _ type: ServerType) -> ReadPreference? {
        if request.access == .write || type == .standalone { return nil }
        if watch.description.kind == .single, type != .mongos {
            return request.preference.mode == .primary ? .primaryPreferred : request.preference
        }
        return request.preference.mode == .primary ? nil : request.preference
    }

    /// Takes what every reply carries, and tells failure from success.
    private func judge(
        _ reply: Document, _ request: CommandRequest, _ session: ClientSession?, _ server: Server, _ generation: Int
    ) -> Attempt {
        reply.withView { view in
            if let time = view["$clusterTime"]?.asDocument {
                let owned = time.document
                advance(clusterTime: owned)
                session?.advance(clusterTime: owned)
            }
            if let time = view["operationTime"]?.asTimestamp { session?.advance(operationTime: time) }
        }
        guard let error = OperationReply.commandError(reply, server.address) else { return .reply(reply) }
        if error.code.isStateChange { stateChanged(error, server: server, generation: generation) }
        let mayRetry =
            request.access == .write ? error.hasLabel("RetryableWriteError") : error.code.isRetryableRead
        return .failed(error, mayRetry: mayRetry)
    }
}
