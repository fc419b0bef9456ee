import BSON
import Core
import Sharding
import Wire

/// One member of a set, and the channels to it: one for what is answered at once, with many requests in flight, and
/// others for batches of cursors and for requests that wait for something at the member, which hold nobody up there.
final class RemoteMember {
    /// What a request's reply is like.
    enum Lane: Int, CaseIterable {
        case prompt, bulk, waiting
    }

    let endpoint: Endpoint
    private let host: RemoteHost
    private var channels: [[Channel]] = Array(repeating: [], count: Lane.allCases.count)
    private var isClosed = false

    init(_ endpoint: Endpoint, _ host: RemoteHost) {
        self.endpoint = endpoint
        self.host = host
    }

    /// Connections that are open, and requests that wait for replies.
    var connectionCount: Int { channels.reduce(0) { $0 + $1.count } }
    var requestCount: Int { channels.reduce(0) { $0 + $1.reduce(0) { $0 + $1.requestsInFlight } } }

    /// Sends a request; `completion` is called once, on the loop, with the reply, which is valid during the call.
    func send(_ request: RemoteRequest, completion: @escaping Channel.Completion) {
        guard !isClosed else { return completion(.failure(.closed(.local))) }
        channel(request.lane).request(timeout: request.timeout, write: request.write, completion: completion)
    }

    /// The same, as a call that suspends. The reply is copied.
    func call(_ request: RemoteRequest) async -> Result<RemoteReply, ChannelError> {
        await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Result<RemoteReply, ChannelError>, Never>) in
            send(request) { [endpoint] result in
                continuation.resume(
                    returning: result.map { RemoteReply(body: $0.body.document, endpoint: endpoint) })
            }
        }
    }

    func close() {
        isClosed = true
        for channel in channels.joined() { channel.close() }
        channels = Array(repeating: [], count: Lane.allCases.count)
    }

    /// The first channel of a lane that has room. A member takes so many requests of one connection at a time; what is
    /// beyond that goes over another one.
    private func channel(_ lane: Lane) -> Channel {
        channels[lane.rawValue].removeAll { !$0.isUsable }
        let usable = channels[lane.rawValue]
        if let free = usable.first(where: { $0.requestsInFlight < Limits.routerChannelRequestsMax }) { return free }
        if usable.count >= Limits.routerChannelsMax,
            let last = usable.min(by: { $0.requestsInFlight < $1.requestsInFlight })
        {
            return last
        }
        var settings = Channel.Settings(connectTimeout: Limits.routerConnectTimeout)
        settings.outlivesTimeouts = true
        let channel = Channel(to: endpoint, over: host.transport, host.runtime, settings: settings)
        channel.introduce { [host] writer in
            writer.append("hello", int32: 1)
            writer.append("helloOk", bool: true)
            ClusterIntroduction(
                clusterID: host.introduction.clusterID, kind: .router, name: host.introduction.name
            ).append(to: writer)
        }
        channels[lane.rawValue].append(channel)
        return channel
    }
}

/// A request to a member of a set.
struct RemoteRequest {
    var access: ServerSelection.Operation
    var preference = ReadPreference.primary
    /// The member that it is for; nil for whoever the preference allows.
    var endpoint: Endpoint?
    /// Whether it may be carried out twice: a read, or a write that the shard knows again.
    var isRepeatable = true
    var lane = RemoteMember.Lane.prompt
    /// When it must be done; a member is waited for no longer.
    var deadline = Instant.distantFuture
    /// How long the reply may take; nil for ever: the connection breaks when the member is gone.
    var timeout: Duration?
    /// Appends the whole message under the number that it is given.
    let write: (ByteBuffer, Int32) -> Void

    init(
        access: ServerSelection.Operation, deadline: Instant = .distantFuture,
        write: @escaping (ByteBuffer, Int32) -> Void
    ) {
        self.access = access
        self.deadline = deadline
        self.write = write
    }
}

/// A member's reply.
struct RemoteReply {
    let body: Document
    /// Who has answered: the one that holds its cursor, if it has one.
    let endpoint: Endpoint

    var isOK: Bool { body.withView { $0["ok"]?.isTruthy == true } }
    /// Nil for a reply that is no error.
    var code: ErrorCode? { isOK ? nil : RemoteReply.code(body) }
    var message: String { body.withView { $0["errmsg"]?.asString ?? "no message" } }

    private static func code(_ body: Document) -> ErrorCode {
        ErrorCode(rawValue: body.withView { $0["code"]?.asInteger.flatMap { Int32(exactly: $0) } } ?? 8)
    }

    /// The error that it is; nil for none.
    var error: ServerError? {
        guard let code else { return nil }
        let details = Document { writer in
            body.withView { view in
                for field in view where !RemoteReply.isFrame(field.key) { writer.append(field.key, field.value) }
            }
        }
        let labels = body.withView { $0["errorLabels"]?.asArray?.compactMap { $0.value.asString } } ?? []
        return ServerError(code, message, labels: labels, details: details.isEmpty ? nil : details)
    }

    /// The reply when it is no error.
    /// - Throws: the error that it is.
    func checked() throws(ServerError) -> RemoteReply {
        if let error { throw error }
        return self
    }

    /// Fields that belong to a reply and not to its error.
    private static func isFrame(_ key: KeyView) -> Bool {
        switch key {
        case "ok", "errmsg", "code", "codeName", "errorLabels", "topologyVersion", "$clusterTime", "operationTime",
            "$configTime", "$topologyTime":
            true
        default: false
        }
    }

    /// A shard's change of primary is none of the router: clients would take the router for one that cannot go on.
    func withoutStateChange(_ code: ErrorCode, _ title: String) -> RemoteReply {
        let replaced = ErrorCode.hostUnreachable
        let body = Document { writer in
            self.body.withView { view in
                for field in view {
                    switch field.key {
                    case "code": writer.append("code", int32: replaced.rawValue)
                    case "codeName": writer.append("codeName", string: replaced.name)
                    case "errmsg":
                        writer.append("errmsg", string: "\(title): \(code.name): \(field.value.asString ?? "")")
                    case "topologyVersion": continue
                    default: writer.append(field.key, field.value)
                    }
                }
            }
        }
        return RemoteReply(body: body, endpoint: endpoint)
    }
}
