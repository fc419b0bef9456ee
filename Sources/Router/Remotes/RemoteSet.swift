import BSON
import Client
import Core
import Sharding
import Wire

/// What all sets that a router talks to have in common.
final class RemoteHost {
    let runtime: any NodeRuntime
    let transport: any Transport
    let clock: ClusterClock
    let makeSelector: () -> any ReadSelector
    /// How the router introduces itself; the cluster's id is known once the config servers have told it.
    var introduction: (clusterID: ObjectID?, name: String) = (nil, "router")

    init(
        runtime: any NodeRuntime, transport: any Transport, clock: ClusterClock,
        makeSelector: @escaping () -> any ReadSelector
    ) {
        self.runtime = runtime
        self.transport = transport
        self.clock = clock
        self.makeSelector = makeSelector
    }
}

/// A replica set that the router sends requests to: a shard, or the config servers. Its members are watched as a client
/// watches them; each has a channel, with many requests in flight.
final class RemoteSet {
    /// The replica set's name.
    let name: String
    /// How messages name it: "shard a", "the config servers".
    let title: String
    let isConfig: Bool
    private let host: RemoteHost
    private let watch: TopologyWatch
    private var members: [Endpoint: RemoteMember] = [:]

    init(_ host: RemoteHost, name: String, seeds: [Endpoint], title: String, isConfig: Bool = false) {
        self.host = host
        self.name = name
        self.title = title
        self.isConfig = isConfig
        watch = TopologyWatch(
            runtime: host.runtime, transport: host.transport, seeds: seeds, setName: name,
            selector: host.makeSelector(), options: RemoteSet.options)
        watch.onForget = { [unowned self] in members.removeValue(forKey: $0)?.close() }
        // A member that is silent leaves requests waiting for replies that never come: they are told now.
        watch.onFailure = { [unowned self] in if $1.kind == .timedOut { members.removeValue(forKey: $0)?.close() } }
    }

    /// Begins to watch the members.
    func start() { watch.start() }

    private static var options: ClientOptions {
        var options = ClientOptions()
        options.applicationName = "router"
        options.heartbeatInterval = Limits.routerHeartbeatInterval
        options.minimumHeartbeatInterval = Limits.routerHeartbeatIntervalMin
        options.connectTimeout = Limits.routerConnectTimeout
        return options
    }

    /// What is known of the members.
    var description: TopologyDescription { watch.description }
    /// The members that are known, as `config.shards` lists them.
    var hosts: String { "\(name)/\(watch.description.servers.map(\.address.description).joined(separator: ","))" }

    func close() {
        watch.close()
        for member in members.values.sorted(by: { $0.endpoint.description < $1.endpoint.description }) {
            member.close()
        }
        members = [:]
    }

    /// The channels to one member.
    func member(_ endpoint: Endpoint) -> RemoteMember {
        if let member = members[endpoint] { return member }
        let member = RemoteMember(endpoint, host)
        members[endpoint] = member
        return member
    }

    /// The members that were talked to, in order of their addresses.
    var openMembers: [RemoteMember] { members.values.sorted { $0.endpoint.description < $1.endpoint.description } }

    // MARK: Selection

    /// Selects a member, and waits for one that may take the request.
    /// - Throws: `FailedToSatisfyReadPreference` when there is none in time.
    func select(_ request: RemoteRequest, avoiding: [Endpoint]) async throws(ServerError) -> RemoteMember {
        if let endpoint = request.endpoint { return member(endpoint) }
        let deadline = min(request.deadline, host.runtime.now + Limits.routerSelectionTimeout)
        while true {
            guard !watch.isClosed else { throw ServerError(.shutdownInProgress, "the router is shutting down") }
            if let member = try pick(request, avoiding: avoiding) { return member }
            guard host.runtime.now < deadline, await watch.waitForChange(until: deadline) else {
                if request.deadline <= host.runtime.now {
                    throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
                }
                throw ServerError(.failedToSatisfyReadPreference, nobody(request))
            }
        }
    }

    /// A member that may take the request now; nil when none is known.
    func pick(_ request: RemoteRequest, avoiding: [Endpoint] = []) throws(ServerError) -> RemoteMember? {
        do {
            return try watch.pick(request.access, request.preference, avoiding: avoiding).map { member($0) }
        } catch {
            throw ServerError(.badValue, error.description)
        }
    }

    private func nobody(_ request: RemoteRequest) -> String {
        let known = watch.description.servers.map { server in
            "\(server.address) is \(server.type.rawValue)" + (server.error.map { ": \($0)" } ?? "")
        }
        return "Could not find host matching read preference { mode: \"\(request.preference.mode.rawValue)\" } for set "
            + "\(name) (\(title)); \(known.joined(separator: "; "))"
    }

    // MARK: Requests

    /// Sends a request to a member that may take it, and to another one when the first could not.
    ///
    /// Only a request that was surely not carried out, or may be twice, is sent again, and no more often than
    /// `Limits.routerAttemptsMax`.
    /// - Throws: `HostUnreachable`, `NetworkTimeout`, `FailedToSatisfyReadPreference`. An error that the member answers
    ///   with is a reply.
    func call(_ request: RemoteRequest) async throws(ServerError) -> RemoteReply {
        var avoiding: [Endpoint] = []
        var attempts = 0
        while true {
            attempts += 1
            let member = try await select(request, avoiding: avoiding)
            watch.began(on: member.endpoint)
            let answer = await member.call(request)
            watch.ended(on: member.endpoint)
            switch answer {
            case .success(let reply):
                reply.body.withView { host.clock.take($0, isConfig: isConfig) }
                guard let code = reply.code, code.isStateChange else { return reply }
                note(code, reply)
                guard request.endpoint == nil, attempts < Limits.routerAttemptsMax,
                    request.isRepeatable || code.wasNotCarriedOut
                else { return reply.withoutStateChange(code, title) }
            case .failure(.timedOut) where request.deadline <= host.runtime.now:
                throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
            case .failure(let error):
                if error.isOfConnection { watch.connectionFailed(member.endpoint, "\(error)") }
                guard request.endpoint == nil, attempts < Limits.routerAttemptsMax,
                    request.isRepeatable || error.wasNotSent
                else { throw failure(error, member.endpoint) }
            }
            avoiding = [member.endpoint]
        }
    }

    /// A command of the router's own.
    func call(
        _ command: Document, database: String, access: ServerSelection.Operation = .read,
        preference: ReadPreference = .primary, isRepeatable: Bool = true, endpoint: Endpoint? = nil,
        deadline: Instant = .distantFuture
    ) async throws(ServerError) -> RemoteReply {
        let clock = host.clock
        var request = RemoteRequest(access: access, deadline: deadline) { output, id in
            let message = MessageWriter(message: output, requestID: id, responseTo: 0)
            command.withView { for field in $0 { message.document.append(field.key, field.value) } }
            if clock.time != .zero { message.document.appendSeen(clock.time) }
            message.document.append("$db", string: database)
            if preference.mode != .primary {
                message.document.document("$readPreference") { $0.append("mode", string: preference.mode.rawValue) }
            }
            message.finish()
        }
        request.preference = preference
        request.isRepeatable = isRepeatable
        request.endpoint = endpoint
        return try await call(request)
    }

    private func note(_ code: ErrorCode, _ reply: RemoteReply) {
        let version = reply.body.withView { TopologyVersion($0["topologyVersion"]) }
        _ = watch.stateChanged(reply.endpoint, version: version, reply.message)
    }

    private func failure(_ error: ChannelError, _ endpoint: Endpoint) -> ServerError {
        switch error {
        case .timedOut: ServerError(.networkTimeout, "\(endpoint) of \(title) did not answer in time")
        case .closed(let reason):
            ServerError(.hostUnreachable, "the connection to \(endpoint) of \(title) was closed: \(reason)")
        case .unreadable(let why): ServerError(.hostUnreachable, "\(endpoint) of \(title): \(why)")
        case .full: ServerError(.hostUnreachable, "too many requests to \(endpoint) of \(title) are under way")
        }
    }
}

extension DocumentWriter {
    /// The newest cluster time that the router has seen, for a member to follow.
    func appendSeen(_ time: Timestamp) { document("$clusterTime") { $0.append("clusterTime", timestamp: time) } }
}

extension ChannelError {
    /// Whether the request surely did not reach the member.
    var wasNotSent: Bool {
        switch self {
        case .full, .closed(.unreachable), .closed(.timedOut): true
        default: false
        }
    }

    /// Whether it says something about the member, not about the request alone.
    var isOfConnection: Bool {
        switch self {
        case .closed(let reason): reason != .local
        case .unreadable: true
        case .timedOut, .full: false
        }
    }
}

extension ErrorCode {
    /// Whether a member that answers so has not begun with the command.
    var wasNotCarriedOut: Bool {
        switch self {
        case .notWritablePrimary, .notPrimaryNoSecondaryOk, .notPrimaryOrSecondary: true
        default: false
        }
    }
}
