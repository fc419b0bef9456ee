public import BSON
import Core
import DataNode
import Sharding

/// Config servers and shards of real nodes in a `SimulatedWorld`, and a checker that watches who may write what. It has
/// no router: workloads route by themselves (`ShardWorkload`).
public final class SimulatedCluster {
    public let world: SimulatedWorld
    public let config: SimulatedReplicaSet
    public let shards: [SimulatedReplicaSet]
    /// A node of its own, on which workloads run whoever dies.
    let outside: SimulatedRuntime
    static let collection = Namespace("shop", "r")

    /// - Parameters:
    ///   - shards: how many.
    ///   - members: of each set.
    public init(_ world: SimulatedWorld, shards: Int = 2, members: Int = 3) {
        self.world = world
        let kinds = Array(repeating: MemberKind.normal, count: members)
        config = SimulatedReplicaSet(world, name: "cfg", kinds: kinds, remembers: true, role: .config)
        self.shards = (0..<shards).map { index in
            SimulatedReplicaSet(world, name: "shard\(index)", kinds: kinds, remembers: true, role: .shard)
        }
        outside = world.addNode("routers")
        watch()
    }

    /// All sets, the config servers first.
    public var sets: [SimulatedReplicaSet] { [config] + shards }
    /// Every member.
    public var members: [SimulatedMember] { sets.flatMap(\.members) }

    func shard(_ name: String) -> SimulatedReplicaSet? { shards.first { $0.name == name } }

    // MARK: Start

    /// Starts all sets, makes them a cluster, and shards a collection on `{x: 1}` in two chunks on the first shard.
    public func start(splitAt x: Int64) throws {
        for set in sets { try set.initiate() }
        for set in sets { try set.runUntilConverged(within: .seconds(30)) }
        for shard in shards {
            try admin(["addShard": .string("\(shard.name)/\(shard.members[0].endpoint)")])
        }
        try admin(["balancerStop": 1])
        try admin(["enableSharding": "shop", "primaryShard": .string(shards[0].name)])
        try admin(["shardCollection": .string(Self.collection.fullName), "key": ["x": 1]])
        try admin(["split": .string(Self.collection.fullName), "middle": ["x": .int64(x)]])
    }

    /// Runs an administrative command, and the world until it has succeeded.
    @discardableResult
    public func admin(_ command: Document, within limit: Duration = .seconds(120)) throws -> Document {
        var reply: Document?
        outside.spawn("administration") { [self] in
            while reply == nil {
                let answer = await ask(config, command)
                if answer["ok"]?.asNumber == 1 { reply = answer } else { await outside.sleep(for: .milliseconds(200)) }
            }
        }
        try world.run(until: { reply != nil }, atMost: limit, "\(command)\n  \(summary)\n")
        return reply ?? [:]
    }

    /// The state of all members, in lines.
    public var summary: String { sets.map(\.summary).joined(separator: "\n  ") }

    // MARK: Asking

    /// Asks the primary of a set as a router would. There is always an answer: one that does not come in time is an
    /// error, too.
    func ask(_ set: SimulatedReplicaSet, _ command: Document, in database: String = "admin") async -> Document {
        guard let primary = set.primary else {
            return ["ok": 0.0, "code": 10107, "errmsg": .string("\(set.name) has no primary")]
        }
        let outside = outside
        return await withUnsafeContinuation { (continuation: UnsafeContinuation<Document, Never>) in
            var isAnswered = false
            let answer: (Document) -> Void = { reply in
                outside.enqueue {
                    guard !isAnswered else { return }
                    isAnswered = true
                    continuation.resume(returning: reply)
                }
            }
            outside.schedule(after: .seconds(20)) {
                answer(["ok": 0.0, "code": 89, "errmsg": "no answer in time"])
            }
            primary.sendAsRouter(command, in: database, answer)
        }
    }

    // MARK: Who may write

    /// Of the shards' primaries, those of the newest terms, no two may write one key.
    private func watch() {
        outside.schedule(after: .milliseconds(20)) { [weak self] in
            guard let self else { return }
            checkOwners()
            watch()
        }
    }

    private func checkOwners() {
        var found: [(name: String, epoch: Timestamp, range: KeyRange)] = []
        for shard in shards {
            guard let primary = shard.primary, let node = primary.node,
                let writable = try? node.writableRanges(of: Self.collection)
            else { continue }
            for range in writable.ranges {
                if let other = found.first(where: {
                    $0.name != shard.name && $0.epoch == writable.epoch && $0.range.overlaps(range)
                }) {
                    return world.fail("\(other.name) and \(shard.name) both take writes of one key")
                }
                found.append((shard.name, writable.epoch, range))
            }
        }
    }
}
