internal import BSON
internal import Core
internal import LiveRuntime

/// A sharded cluster that runs in this process, each node on a thread of its own.
///
/// May be used from anywhere. `stop` it when it is no longer needed.
public final class RunningShardedCluster: Sendable {
    /// The config servers.
    public let config: RunningReplicaSet
    /// The shards, in the order in which they were added.
    public let shards: [RunningReplicaSet]
    /// The routers, in the order of their numbers.
    public let routers: [ClusterRouter]
    /// A client of the routers, inside this process.
    public let client: RunningClient
    private let network: any TransportNetwork

    private init(
        config: RunningReplicaSet, shards: [RunningReplicaSet], routers: [ClusterRouter], client: RunningClient,
        network: any TransportNetwork
    ) {
        self.config = config
        self.shards = shards
        self.routers = routers
        self.client = client
        self.network = network
    }

    static func start(_ cluster: ShardedCluster, _ parts: NodeParts) async throws -> RunningShardedCluster {
        let sets = cluster.sets()
        let running = try await startAll([sets.config] + sets.shards, parts)
        guard let config = running.first else { throw ReplicaSetError("a cluster needs config servers") }
        let shards = Array(running.dropFirst())
        var routers: [ClusterRouter] = []
        do {
            let firstPort = cluster.parts.transport.firstPort
            for index in 0..<cluster.routers {
                let router = ClusterRouter(
                    id: index, cluster, parts, configSeeds: config.members.map(\.endpoint))
                try await router.start(port: firstPort == 0 ? 0 : firstPort + index)
                routers.append(router)
            }
            try await addShards(shards, through: routers[0])
            let client = try RunningClient(
                seeds: routers.map(\.endpoint), setName: nil, parts: parts, log: cluster.log)
            return RunningShardedCluster(
                config: config, shards: shards, routers: routers, client: client, network: parts.network)
        } catch {
            for router in routers { await router.stop() }
            for set in running { await set.stop() }
            throw error
        }
    }

    /// Starts sets side by side; when one cannot be started, the others are stopped.
    private static func startAll(_ sets: [ReplicaSet], _ parts: NodeParts) async throws -> [RunningReplicaSet] {
        let results = await withTaskGroup(of: (Int, Result<RunningReplicaSet, any Error>).self) { group in
            for (index, set) in sets.enumerated() {
                group.addTask {
                    do { return (index, .success(try await RunningReplicaSet.start(set, parts))) } catch {
                        return (index, .failure(error))
                    }
                }
            }
            var results: [(Int, Result<RunningReplicaSet, any Error>)] = []
            for await result in group { results.append(result) }
            return results.sorted { $0.0 < $1.0 }
        }
        do { return try results.map { try $0.1.get() } } catch {
            for (_, result) in results { if case .success(let set) = result { await set.stop() } }
            throw error
        }
    }

    /// Makes shards of the sets, unless they are already.
    private static func addShards(_ shards: [RunningReplicaSet], through router: ClusterRouter) async throws {
        let list = try await router.run(["listShards": 1])
        guard list["ok"]?.asNumber == 1 else {
            throw ReplicaSetError("the config servers do not answer: \(list["errmsg"]?.asString ?? "no message")")
        }
        let known = Set((list["shards"]?.asArray ?? []).compactMap { $0.asDocument?["_id"]?.asString })
        for shard in shards where !known.contains(shard.name) {
            let hosts = shard.members.filter(\.isKnownToClients).map(\.endpoint.description).joined(separator: ",")
            let reply = try await router.run([
                "addShard": .string("\(shard.name)/\(hosts)"), "name": .string(shard.name),
                "writeConcern": ["w": "majority", "wtimeout": 60_000],
            ])
            guard reply["ok"]?.asNumber == 1 else {
                throw ReplicaSetError(
                    "\(shard.name) could not be added: \(reply["errmsg"]?.asString ?? "no message")")
            }
        }
    }

    // MARK: What it is

    /// What drivers connect to: `mongodb://host:port,…/`.
    public var connectionString: String {
        "mongodb://\(routers.map(\.endpoint.description).joined(separator: ","))/"
    }

    /// All nodes: the routers, the config servers, the shards' members.
    public var nodes: [any ClusterNode] {
        routers + config.members + shards.flatMap { $0.members as [any ClusterNode] }
    }

    /// Returns when no router runs any more, or the task was cancelled.
    public func untilAllHaveStopped() async {
        while !Task.isCancelled, routers.contains(where: { $0.isRunning }) {
            await LiveTime.sleep(for: .milliseconds(200))
        }
    }

    // MARK: What can be done to it

    /// Cuts the connections between nodes of different groups, both ways. Nodes in no group reach nobody.
    /// - Throws: `ReplicaSetError` on a transport that has no faults.
    public func partition(_ groups: [any ClusterNode]...) throws {
        guard let faults = network as? LoopbackTransportNetwork else {
            throw ReplicaSetError("partitions need the loopback transport")
        }
        func group(of node: any ClusterNode) -> Int? { groups.firstIndex { $0.contains { $0 === node } } }
        forEachPair { one, other in
            let together = group(of: one) != nil && group(of: one) == group(of: other)
            faults.setPartitioned(!together, between: one.nodeName, and: other.nodeName)
        }
    }

    /// Joins everybody again.
    public func heal() {
        guard let faults = network as? LoopbackTransportNetwork else { return }
        forEachPair { faults.setPartitioned(false, between: $0.nodeName, and: $1.nodeName) }
    }

    private func forEachPair(_ body: (any ClusterNode, any ClusterNode) -> Void) {
        let all = nodes
        for (index, one) in all.enumerated() { for other in all[(index + 1)...] { body(one, other) } }
    }

    /// Stops everything in good order: first the routers, the config servers last.
    public func stop() async {
        await client.close()
        for router in routers { await router.stop() }
        for shard in shards { await shard.stop() }
        await config.stop()
    }
}
