internal import BSON
internal import Core
internal import LiveRuntime
internal import Synchronization

/// A replica set that runs in this process, each member on a thread of its own.
///
/// May be used from anywhere. `stop` it when it is no longer needed.
public final class RunningReplicaSet: Sendable {
    /// The set's name.
    public let name: String
    /// In the order of their `_id`.
    public let members: [SetMember]
    /// A client of the set, inside this process.
    public let client: RunningClient
    private let network: any TransportNetwork

    private init(name: String, members: [SetMember], client: RunningClient, network: any TransportNetwork) {
        self.name = name
        self.members = members
        self.client = client
        self.network = network
    }

    static func start(_ set: ReplicaSet, _ parts: NodeParts) async throws -> RunningReplicaSet {
        let firstPort = set.parts.transport.firstPort
        var members: [SetMember] = []
        do {
            for index in set.members.indices {
                let member = SetMember(id: index, set: set, parts: parts)
                try await member.start(port: firstPort == 0 ? 0 : firstPort + index)
                members.append(member)
            }
            if try await !isInitiated(set, members) { try await initiate(set, members) }
            let client = try RunningClient(
                seeds: members.map(\.endpoint), setName: set.name, parts: parts, log: set.log)
            let running = RunningReplicaSet(
                name: set.name, members: members, client: client, network: parts.network)
            try await running.waitUntilReady()
            return running
        } catch {
            for member in members { await member.stop() }
            throw error
        }
    }

    /// Whether the members' directories hold a set already, which must be this one.
    private static func isInitiated(_ set: ReplicaSet, _ members: [SetMember]) async throws -> Bool {
        for member in members {
            let reply = try await member.run(["replSetGetConfig": 1])
            guard let config = reply["config"]?.asDocument else { continue }
            let hosts = config["members"]?.asArray?.compactMap { $0.asDocument?["host"]?.asString } ?? []
            let present = members.map(\.endpoint.description)
            guard Set(hosts) == Set(present) else {
                throw ReplicaSetError(
                    "\(set.parts.directory ?? "the data") holds a set of \(hosts.joined(separator: ", ")), and "
                        + "\(present.joined(separator: ", ")) were started: start it with its members and its port"
                )
            }
            return true
        }
        return false
    }

    private static func initiate(_ set: ReplicaSet, _ members: [SetMember]) async throws {
        let config: Document = [
            "_id": .string(set.name), "version": 1,
            "members": .array(
                zip(set.members, members).map { member, running in
                    .document(member.configuration(id: running.id, host: running.endpoint.description))
                }),
            "settings": [
                "heartbeatIntervalMillis": .int64(set.timing.heartbeatInterval.wholeMilliseconds),
                "electionTimeoutMillis": .int64(set.timing.electionTimeout.wholeMilliseconds),
            ],
        ]
        let reply = try await members[0].run(["replSetInitiate": .document(config)])
        guard reply["ok"]?.asNumber == 1 else {
            throw ReplicaSetError("the set could not be initiated: \(reply["errmsg"]?.asString ?? "no message")")
        }
    }

    /// Returns when a majority has acknowledged a write.
    private func waitUntilReady() async throws {
        let primary = try await waitForPrimary()
        let reply = try await primary.run([
            "appendOplogNote": 1, "data": ["msg": "ready"], "writeConcern": ["w": "majority", "wtimeout": 30_000],
        ])
        guard reply["ok"]?.asNumber == 1, reply["writeConcernError"] == nil else {
            throw ReplicaSetError("no write was acknowledged by a majority: \(reply)")
        }
    }

    /// Returns when no member runs any more, or the task was cancelled.
    public func untilAllHaveStopped() async {
        while !Task.isCancelled, members.contains(where: { $0.isRunning }) {
            await SetMember.nextChange(of: members, within: .seconds(1))
        }
    }

    // MARK: What it is

    /// What drivers connect to: `mongodb://host:port,…/?replicaSet=name`.
    public var connectionString: String {
        "mongodb://\(members.map(\.endpoint.description).joined(separator: ","))/?replicaSet=\(name)"
    }

    /// The member that takes writes; waits for one to be elected.
    /// - Throws: `ReplicaSetError` when there is none for half a minute.
    public var primary: SetMember {
        get async throws { try await waitForPrimary() }
    }

    /// The members that hold data and are up to be read from, but for the primary.
    public var secondaries: [SetMember] {
        get async {
            var secondaries: [SetMember] = []
            for member in members where await member.isSecondary { secondaries.append(member) }
            return secondaries
        }
    }

    func waitForPrimary(within limit: Duration = .seconds(30)) async throws -> SetMember {
        let deadline = LiveTime.now + limit
        while true {
            for member in members where await member.isWritablePrimary { return member }
            guard LiveTime.now < deadline else {
                throw ReplicaSetError("no member was elected primary within \(limit)")
            }
            await SetMember.nextChange(of: members, within: .milliseconds(500))
        }
    }

    // MARK: What can be done to it

    /// Makes the primary step down for a minute and waits for another one. Returns the new primary.
    @discardableResult
    public func stepDown() async throws -> SetMember {
        let old = try await primary
        let reply = try await old.run(["replSetStepDown": 60])
        guard reply["ok"]?.asNumber == 1 else {
            throw ReplicaSetError("the primary did not step down: \(reply["errmsg"]?.asString ?? "no message")")
        }
        return try await waitForPrimary()
    }

    /// Ends a member as `kill -9` would: its connections break, what it held in memory is gone.
    public func kill(_ member: SetMember) async { await member.kill() }

    /// Starts a member again at its address. One with volatile storage comes back empty and copies the others.
    public func restart(_ member: SetMember) async throws { try await member.restart() }

    /// Cuts the connections between the members of different groups, both ways. Members in no group reach nobody.
    /// - Throws: `ReplicaSetError` on a transport that has no faults.
    public func partition(_ groups: [SetMember]...) throws {
        guard let faults = network as? LoopbackTransportNetwork else {
            throw ReplicaSetError("partitions need the loopback transport")
        }
        func group(of member: SetMember) -> Int? { groups.firstIndex { $0.contains { $0 === member } } }
        for one in members {
            for other in members where other.id > one.id {
                let together = group(of: one) != nil && group(of: one) == group(of: other)
                faults.setPartitioned(!together, between: one.nodeName, and: other.nodeName)
            }
        }
    }

    /// Joins everybody again.
    public func heal() {
        guard let faults = network as? LoopbackTransportNetwork else { return }
        for one in members {
            for other in members where other.id > one.id {
                faults.setPartitioned(false, between: one.nodeName, and: other.nodeName)
            }
        }
    }

    /// Stops all members in good order; the primary last, so that nobody stands for election meanwhile.
    public func stop() async {
        await client.close()
        var last: SetMember?
        for member in members {
            if await member.isWritablePrimary { last = member } else { await member.stop(handingOver: false) }
        }
        await last?.stop(handingOver: false)
    }
}
