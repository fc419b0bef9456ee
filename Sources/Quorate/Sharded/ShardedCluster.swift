public import Core
public import DataNode
internal import LiveRuntime
public import Router

/// A sharded cluster to be built: its shards, config servers and routers, and the parts that they are made of.
///
/// ```swift
/// let cluster = try await ShardedCluster(shards: 2, members: 3).start()
/// try await cluster.client["shop"]["orders"].insert(["_id": 1, "total": 59.99])
/// ```
///
/// Without further words the nodes keep their data in memory and talk inside the process. Each modifier returns a
/// changed copy.
public struct ShardedCluster: Sendable {
    /// The shards, in the order in which they are added.
    public let shards: [Shard]
    /// How many config servers there are.
    public let configServers: Int
    /// How many routers there are.
    public let routers: Int
    /// What node names begin with.
    public let name: String
    var registry = PartRegistry.standard
    var parts = PartChoices()
    var timing = ReplicaSet.Timing()
    var log: any LogSink & Sendable = LineLog(minimumLevel: .error)
    var describe: @Sendable (inout NodeOptions) -> Void = { _ in }
    var describeRouter: @Sendable (inout RouterOptions) -> Void = { _ in }

    /// A cluster of equal shards, named `shard0`, `shard1`, ….
    /// - Parameters:
    ///   - shards: how many.
    ///   - members: of each.
    ///   - configServers: members of the config servers' set.
    ///   - routers: how many.
    public init(shards: Int = 2, members: Int = 3, configServers: Int = 1, routers: Int = 1) {
        self.init(
            shards: (0..<max(shards, 0)).map { Shard("shard\($0)", members: members) }, configServers: configServers,
            routers: routers)
    }

    private init(shards: [Shard], configServers: Int, routers: Int) {
        self.shards = shards
        self.configServers = configServers
        self.routers = routers
        name = "cluster"
    }

    /// A cluster of chosen shards:
    ///
    /// ```swift
    /// ShardedCluster {
    ///     Shard("s0") {
    ///         Member(priority: 2, tags: ["dc": "ny"])
    ///         Member(tags: ["dc": "sf"])
    ///     }
    ///     Shard("s1", members: 3)
    ///     ConfigServers(3)
    ///     Routers(2)
    /// }
    /// ```
    ///
    /// Without `ConfigServers` and `Routers` there is one of each.
    public init(@ShardedClusterBuilder _ parts: () -> [any ShardedClusterPart]) {
        let parts = parts()
        self.init(
            shards: parts.compactMap { $0 as? Shard },
            configServers: parts.compactMap { $0 as? ConfigServers }.last?.count ?? 1,
            routers: parts.compactMap { $0 as? Routers }.last?.count ?? 1)
    }

    /// Where data nodes and config servers keep their data.
    /// - Parameters:
    ///   - choice: the storage engine.
    ///   - directory: below it each node has a directory of its own; nil for storage without files.
    public func storage(_ choice: StorageChoice, directory: String? = nil) -> ShardedCluster {
        with {
            $0.parts.storage = choice
            $0.parts.directory = directory
        }
    }
    /// How nodes, and clients, reach one another.
    public func transport(_ choice: TransportChoice) -> ShardedCluster { with { $0.parts.transport = choice } }
    /// When members stand for election.
    public func elections(_ choice: ElectionChoice) -> ShardedCluster { with { $0.parts.elections = choice } }
    /// How routers choose among the members that may serve a read, and members among those they may copy.
    public func readSelector(_ choice: ReadSelectorChoice) -> ShardedCluster { with { $0.parts.readSelector = choice } }
    /// How documents are spread over the shards, for collections that are sharded from now on.
    public func shardKeys(_ choice: ShardKeyChoice) -> ShardedCluster { with { $0.parts.shardKeyStrategy = choice } }
    /// Parts of every kind at once.
    /// - Parameters:
    ///   - choices: which parts.
    ///   - registry: where those that are named are looked up.
    public func parts(_ choices: PartChoices, from registry: PartRegistry = .standard) -> ShardedCluster {
        with {
            $0.parts = choices
            $0.registry = registry
        }
    }
    /// How often members give signs of life, and when one counts as lost.
    public func timing(heartbeatInterval: Duration = .milliseconds(200), electionTimeout: Duration = .seconds(1))
        -> ShardedCluster
    {
        with { $0.timing = ReplicaSet.Timing(heartbeatInterval: heartbeatInterval, electionTimeout: electionTimeout) }
    }
    /// Where lines for people go, each with its node's name in front.
    public func log(_ sink: any LogSink & Sendable) -> ShardedCluster { with { $0.log = sink } }
    /// Further options of every data node and config server.
    public func nodeOptions(_ change: @escaping @Sendable (inout NodeOptions) -> Void) -> ShardedCluster {
        with { $0.describe = change }
    }
    /// Further options of every router.
    public func routerOptions(_ change: @escaping @Sendable (inout RouterOptions) -> Void) -> ShardedCluster {
        with { $0.describeRouter = change }
    }

    private func with(_ change: (inout ShardedCluster) -> Void) -> ShardedCluster {
        var copy = self
        change(&copy)
        return copy
    }

    /// Starts everything, makes a cluster of it, and returns when it takes reads and writes.
    /// - Throws: `TransportError` when an address cannot be had, `PartOptionError` for a part that there is not,
    ///   `ReplicaSetError`.
    public func start() async throws -> RunningShardedCluster {
        guard !shards.isEmpty, routers > 0, configServers > 0 else {
            throw ReplicaSetError("a sharded cluster has one shard, one config server and one router at least")
        }
        let names = Set(shards.map(\.name))
        guard names.count == shards.count, !names.contains("config") else {
            throw ReplicaSetError("the shards of a cluster need names of their own, and none may be called 'config'")
        }
        return try await RunningShardedCluster.start(self, try parts.parts(from: registry))
    }

    /// The sets that the cluster is made of: the config servers, then the shards. With a first port, they listen one
    /// behind the other, behind the routers.
    func sets() -> (config: ReplicaSet, shards: [ReplicaSet]) {
        let first = parts.transport.firstPort
        var port = first == 0 ? 0 : first + routers
        func made(_ set: ReplicaSet, _ role: ClusterRole) -> ReplicaSet {
            var choices = parts
            choices.transport = choices.transport.at(port: port)
            if port != 0 { port += set.members.count }
            var set = set.parts(choices, from: registry).log(log)
            set.timing = timing
            let describe = describe
            return set.nodeOptions { options in
                describe(&options)
                options.clusterRole = role
            }
        }
        let config = made(ReplicaSet("config", members: configServers), .config)
        return (config, shards.map { made($0.set, .shard) })
    }
}

/// A shard of a cluster to be built: a replica set.
public struct Shard: ShardedClusterPart {
    /// The shard's name, and that of its set.
    public let name: String
    let set: ReplicaSet

    /// A shard of equal members.
    public init(_ name: String, members: Int = 3) {
        self.name = name
        set = ReplicaSet(name, members: members)
    }

    /// A shard of chosen members.
    public init(_ name: String, @MembersBuilder _ members: () -> [Member]) {
        self.name = name
        set = ReplicaSet(name, members)
    }
}

/// The config servers of a cluster to be built: one replica set.
public struct ConfigServers: ShardedClusterPart {
    let count: Int
    /// So many members.
    public init(_ count: Int) { self.count = count }
}

/// The routers of a cluster to be built.
public struct Routers: ShardedClusterPart {
    let count: Int
    /// So many.
    public init(_ count: Int) { self.count = count }
}

/// What a sharded cluster is made of. Not a plug point.
public protocol ShardedClusterPart: Sendable {}

/// Collects the parts of a cluster; loops and conditions are allowed.
@resultBuilder
public enum ShardedClusterBuilder {
    public static func buildExpression(_ part: any ShardedClusterPart) -> [any ShardedClusterPart] { [part] }
    public static func buildBlock(_ parts: [any ShardedClusterPart]...) -> [any ShardedClusterPart] {
        parts.flatMap { $0 }
    }
    public static func buildOptional(_ parts: [any ShardedClusterPart]?) -> [any ShardedClusterPart] { parts ?? [] }
    public static func buildEither(first parts: [any ShardedClusterPart]) -> [any ShardedClusterPart] { parts }
    public static func buildEither(second parts: [any ShardedClusterPart]) -> [any ShardedClusterPart] { parts }
    public static func buildArray(_ parts: [[any ShardedClusterPart]]) -> [any ShardedClusterPart] {
        parts.flatMap { $0 }
    }
}
