internal import BSON
internal import Core
internal import Wire

/// Why a request to another member got no answer.
enum PeerError: Error {
    case timedOut
    case closed(CloseReason)
    /// The member answered with an error.
    case refused(ServerError)
    /// Its answer is not what was asked for.
    case unreadable(ServerError)

    /// As a command that depends on the answer reports it.
    var serverError: ServerError {
        switch self {
        case .timedOut: ServerError(.networkTimeout, description)
        case .closed: ServerError(.hostUnreachable, description)
        case .refused(let error), .unreadable(let error): error
        }
    }

    var description: String {
        switch self {
        case .timedOut: "timed out"
        case .closed(let reason): "connection closed: \(reason)"
        case .refused(let error), .unreadable(let error): error.description
        }
    }
}

/// Requests to one other member over one connection, made when first needed and again after it was lost.
///
/// Answers come back by request id, so several requests may be under way. Callbacks run on the node's loop, each
/// exactly once.
final class PeerLink: ConnectionDelegate {
    typealias Completion = (Result<DocumentView, PeerError>) -> Void

    private struct Pending {
        let completion: Completion
        let timer: TimerToken
    }

    private let runtime: any NodeRuntime
    private let transport: any Transport
    let endpoint: Endpoint
    /// Writes the `hello` that introduces this member, as the first message of each connection.
    private let introduce: (DocumentWriter) -> Void
    private var connection: (any Connection)?
    private var isOpen = false
    private var pending: [Int32: Pending] = [:]
    private var lastRequestID: Int32 = 0
    private(set) var isClosed = false
    private var lastReceivedAt = Instant.zero
    /// The connection has been opened, or an open one was lost.
    var onOpen: (() -> Void)?
    var onLost: ((CloseReason) -> Void)?

    init(
        runtime: any NodeRuntime, transport: any Transport, endpoint: Endpoint,
        introduce: @escaping (DocumentWriter) -> Void
    ) {
        self.runtime = runtime
        self.transport = transport
        self.endpoint = endpoint
        self.introduce = introduce
    }

    var isConnected: Bool { isOpen }
    /// Whether an answer is waited for.
    var isInUse: Bool { !pending.isEmpty }
    /// A connection was begun.
    var onConnect: (() -> Void)?

    /// Sends one command and calls `completion` with the reply's document (valid during the call) or the error.
    func request(
        timeout: Duration, database: String = "admin", _ build: (DocumentWriter) -> Void,
        completion: @escaping Completion
    ) {
        guard !isClosed else { return completion(.failure(.closed(.local))) }
        let connection = self.connection ?? connect(timeout: timeout)
        let id = send(on: connection, database, build)
        let sentAt = runtime.now
        let timer = runtime.schedule(after: timeout) { [weak self] in
            guard let self, let late = pending.removeValue(forKey: id) else { return }
            // Nothing at all came since: the connection may be dead without anybody having said so (the other host is
            // gone, a firewall forgot it), and would swallow every request to come.
            if lastReceivedAt < sentAt { abandon(connection) }
            late.completion(.failure(.timedOut))
        }
        pending[id] = Pending(completion: completion, timer: timer)
        connection.flush()
    }

    /// The same, as a call that suspends. The answer is copied.
    /// - Throws: `ServerError`: the member's own, or `HostUnreachable`, `NetworkTimeout`.
    func call(
        timeout: Duration = Limits.peerCallTimeout, database: String = "admin", _ build: (DocumentWriter) -> Void
    ) async throws(ServerError) -> Document {
        let answer = await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Result<Document, ServerError>, Never>) in
            request(timeout: timeout, database: database, build) { result in
                switch result {
                case .success(let body): continuation.resume(returning: .success(body.document))
                case .failure(let error): continuation.resume(returning: .failure(error.serverError))
                }
            }
        }
        return try answer.get()
    }

    /// Closes for good. Requests under way fail.
    func close() {
        isClosed = true
        connection?.close(graceful: false)
        fail(.closed(.local))
    }

    /// Drops the connection, so that the next request makes a new one. Requests under way fail.
    func reconnect() { if let connection { abandon(connection, .closed(.local)) } }

    private func connect(timeout: Duration) -> any Connection {
        let connection = transport.connect(to: endpoint, timeout: timeout, delegate: self)
        self.connection = connection
        onConnect?()
        // Its answer is not waited for: a member that refuses the introduction refuses what comes behind it.
        _ = send(on: connection, "admin", introduce)
        return connection
    }

    private func send(
        on connection: any Connection, _ database: String, _ build: (DocumentWriter) -> Void
    ) -> Int32 {
        lastRequestID = lastRequestID == .max ? 1 : lastRequestID + 1
        let message = MessageWriter(message: connection.output, requestID: lastRequestID, responseTo: 0)
        build(message.document)
        message.document.append("$db", string: database)
        message.finish()
        return lastRequestID
    }

    // MARK: ConnectionDelegate

    func connectionDidOpen(_ connection: any Connection) {
        guard connection === self.connection else { return }
        isOpen = true
        onOpen?()
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        guard connection === self.connection else { return }
        lastReceivedAt = runtime.now
        var reader = MessageReader(messages)
        while let message = reader.next() {
            do {
                let reply = try Reply(message)
                guard let waiting = pending.removeValue(forKey: reply.responseTo) else { continue }
                runtime.cancel(waiting.timer)
                waiting.completion(PeerLink.result(of: reply.body))
            } catch {
                runtime.log.log(.warning, "replication", "\(endpoint): \(error.reason)")
                return connection.close(graceful: false)
            }
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        guard connection === self.connection else { return }
        self.connection = nil
        let wasOpen = isOpen
        isOpen = false
        fail(.closed(reason))
        if wasOpen, !isClosed { onLost?(reason) }
    }

    /// Drops a connection that has gone silent: the next request makes a new one.
    private func abandon(_ connection: any Connection, _ error: PeerError = .timedOut) {
        guard connection === self.connection else { return }
        self.connection = nil
        let wasOpen = isOpen
        isOpen = false
        connection.close(graceful: false)
        fail(error)
        if wasOpen { onLost?(.timedOut) }
    }

    private func fail(_ error: PeerError) {
        let failed = pending.sorted { $0.key < $1.key }
        pending = [:]
        for (_, waiting) in failed {
            runtime.cancel(waiting.timer)
            waiting.completion(.failure(error))
        }
    }

    private static func result(of body: DocumentView) -> Result<DocumentView, PeerError> {
        if body["ok"]?.isTruthy == true { return .success(body) }
        let code = ErrorCode(rawValue: Int32(truncatingIfNeeded: body["code"]?.asInteger ?? 8))
        return .failure(.refused(ServerError(code, body["errmsg"]?.asString ?? "no message")))
    }
}
