internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding
internal import Wire

/// Requests to the primary of another replica set of the cluster, whoever that is at the moment.
///
/// A request is sent again when its primary is gone, so everything that is asked through one of these may be asked
/// twice.
final class SetLink {
    let setName: String
    private unowned let node: Node
    private let introduce: (DocumentWriter) -> Void
    /// Members that are known, the seeds first.
    private(set) var hosts: [String]
    private var links: [String: PeerLink] = [:]
    private var primary: String?
    private var isClosed = false

    init(_ node: Node, _ connection: SetConnection, introduce: @escaping (DocumentWriter) -> Void) {
        self.node = node
        setName = connection.setName
        hosts = connection.hosts
        self.introduce = introduce
    }

    /// The set with the members that were seen last.
    var connection: SetConnection { SetConnection(setName: setName, hosts: hosts) }

    func close() {
        isClosed = true
        for (_, link) in links.sorted(by: { $0.key < $1.key }) { link.close() }
        links = [:]
    }

    /// Runs a command on the primary. Its reply tells of the cluster's time, and so does the request.
    /// - Parameter patience: how long a primary is looked for, and asked again.
    /// - Throws: the primary's own error; `FailedToSatisfyReadPreference` when there is none within the time.
    func run(
        _ database: String = "admin", patience: Duration = Limits.clusterCallPatience,
        timeout: Duration = Limits.clusterCallTimeout, _ build: @escaping (DocumentWriter) -> Void
    ) async throws(ServerError) -> Document {
        let deadline = node.runtime.now + patience
        var last: ServerError?
        while !isClosed, !node.isStopped {
            if let host = await findPrimary() {
                do throws(ServerError) {
                    return try await ask(host, database, timeout, build)
                } catch {
                    guard SetLink.isLoss(error) else { throw error }
                    last = error
                    primary = nil
                }
            }
            guard node.runtime.now < deadline else { break }
            await node.sleep(Limits.clusterRetryPause)
        }
        throw ServerError(
            .failedToSatisfyReadPreference,
            "Could not find host matching read preference { mode: \"primary\" } for set \(setName)"
                + (last.map { ": \($0.message)" } ?? ""))
    }

    /// Whether another member may answer what this one did not.
    private static func isLoss(_ error: ServerError) -> Bool {
        switch error.code {
        case .notWritablePrimary, .primarySteppedDown, .interruptedDueToReplStateChange, .interruptedAtShutdown,
            .shutdownInProgress, .notPrimaryNoSecondaryOk, .notPrimaryOrSecondary, .hostUnreachable, .networkTimeout,
            .socketException:
            true
        default: false
        }
    }

    private func link(_ host: String) -> PeerLink {
        if let link = links[host] { return link }
        let link = PeerLink(
            runtime: node.runtime, transport: node.transport, endpoint: Endpoint(host) ?? Endpoint(host: host, port: 0)
        ) { [introduce] writer in
            writer.append("hello", int32: 1)
            introduce(writer)
        }
        node.replication?.peerConnections.follow(link, to: host)
        links[host] = link
        return link
    }

    private func ask(
        _ host: String, _ database: String, _ timeout: Duration, _ build: @escaping (DocumentWriter) -> Void
    ) async throws(ServerError) -> Document {
        let time = max(node.data.clock.time, node.lastOpTime.timestamp)
        let reply = try await link(host).call(timeout: timeout, database: database) { writer in
            build(writer)
            writer.document("$clusterTime") { $0.append("clusterTime", timestamp: time) }
        }
        if let seen = reply["$clusterTime"]?.asDocument?["clusterTime"]?.asTimestamp {
            try? node.role.advanceClusterTime(to: seen)
        }
        return reply
    }

    /// The primary as far as it is known, or as the members say.
    private func findPrimary() async -> String? {
        if let primary { return primary }
        for host in hosts {
            guard let hello = try? await hello(of: host), hello["setName"]?.asString == setName else { continue }
            let listed = (hello["hosts"]?.asArray ?? []).compactMap(\.asString)
            for new in listed where !hosts.contains(new) { hosts.append(new) }
            if hello["isWritablePrimary"]?.asBool == true {
                // What the primary says is the set; others may be behind.
                if !listed.isEmpty { hosts = listed }
                primary = hello["me"]?.asString ?? host
                return primary
            }
        }
        return nil
    }

    /// What a member says of itself.
    func hello(of host: String) async throws(ServerError) -> Document {
        try await link(host).call(timeout: Limits.clusterHelloTimeout) { $0.append("hello", int32: 1) }
    }
}
