internal import BSON
internal import Core
internal import Wire

/// Why a request to another member got no answer.
enum PeerError: Error {
    case timedOut
    case closed(CloseReason)
    /// As many requests wait for its answers as may.
    case tooMany
    /// The member answered with an error.
    case refused(ServerError)
    /// Its answer is not what was asked for.
    case unreadable(ServerError)

    /// As a command that depends on the answer reports it.
    var serverError: ServerError {
        switch self {
        case .timedOut: ServerError(.networkTimeout, description)
        case .closed, .tooMany: ServerError(.hostUnreachable, description)
        case .refused(let error), .unreadable(let error): error
        }
    }

    var description: String {
        switch self {
        case .timedOut: "timed out"
        case .closed(let reason): "connection closed: \(reason)"
        case .tooMany: "too many requests are under way"
        case .refused(let error), .unreadable(let error): error.description
        }
    }
}

/// Requests to one other member, over a channel that is made when first needed and again after it was lost.
///
/// Callbacks run on the node's loop, each exactly once.
final class PeerLink {
    typealias Completion = (Result<DocumentView, PeerError>) -> Void

    private let runtime: any NodeRuntime
    private let transport: any Transport
    let endpoint: Endpoint
    /// Writes the `hello` that introduces this member, as the first message of each connection.
    private let introduce: (DocumentWriter) -> Void
    /// The current one, or the one that was lost last.
    private var channel: Channel?
    private(set) var isClosed = false
    /// A connection was begun, has been opened; an open one was lost.
    var onConnect: (() -> Void)?
    var onOpen: (() -> Void)?
    var onLost: (() -> Void)?

    init(
        runtime: any NodeRuntime, transport: any Transport, endpoint: Endpoint,
        introduce: @escaping (DocumentWriter) -> Void
    ) {
        self.runtime = runtime
        self.transport = transport
        self.endpoint = endpoint
        self.introduce = introduce
    }

    var isConnected: Bool { channel?.isOpen == true }
    /// Whether an answer is waited for.
    var isInUse: Bool { channel?.isInUse == true }

    /// Sends one command and calls `completion` with the reply's document (valid during the call) or the error.
    func request(
        timeout: Duration, database: String = "admin", _ build: (DocumentWriter) -> Void,
        completion: @escaping Completion
    ) {
        guard !isClosed else { return completion(.failure(.closed(.local))) }
        usableChannel(timeout).request(timeout: timeout, database: database, build) { result in
            completion(PeerLink.result(of: result))
        }
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
        channel?.close()
    }

    /// Drops the connection, so that the next request makes a new one. Requests under way fail.
    func reconnect() { channel?.close() }

    private func usableChannel(_ timeout: Duration) -> Channel {
        if let channel, channel.isUsable { return channel }
        var settings = Channel.Settings(connectTimeout: timeout)
        settings.outlivesTimeouts = true
        let channel = Channel(
            to: endpoint, over: transport, runtime, settings: settings, lastRequestID: channel?.lastRequestID ?? 0)
        self.channel = channel
        channel.onOpen = { [self] in onOpen?() }
        channel.onEnd = { [self] in ended(wasOpen: $0, $1) }
        onConnect?()
        channel.introduce(introduce)
        return channel
    }

    private func ended(wasOpen: Bool, _ reason: ChannelError) {
        if case .unreadable(let why) = reason { runtime.log.log(.warning, "replication", "\(endpoint): \(why)") }
        if wasOpen, !isClosed { onLost?() }
    }

    private static func result(of reply: Result<Reply, ChannelError>) -> Result<DocumentView, PeerError> {
        switch reply {
        case .success(let reply):
            let body = reply.body
            if body["ok"]?.isTruthy == true { return .success(body) }
            let code = ErrorCode(rawValue: Int32(truncatingIfNeeded: body["code"]?.asInteger ?? 8))
            return .failure(.refused(ServerError(code, body["errmsg"]?.asString ?? "no message")))
        case .failure(.timedOut): return .failure(.timedOut)
        case .failure(.closed(let reason)): return .failure(.closed(reason))
        case .failure(.unreadable(let why)): return .failure(.closed(.malformed(why)))
        case .failure(.full): return .failure(.tooMany)
        }
    }
}
