public import BSON
public import Core
package import Replication
package import Server
import MemoryStorage

/// One member of a `SimulatedReplicaSet`, over all its lives.
public final class SimulatedMember {
    /// The node's name in the world, and its host.
    public let name: String
    public let id: MemberID
    unowned let set: SimulatedReplicaSet
    /// The present life's node. Earlier ones are kept: their tasks, which never run again, hold on to them.
    package private(set) var node: Node?
    private var earlier: [Node] = []
    /// How often it was started again.
    public var restarts: Int { earlier.count }
    public var endpoint: Endpoint { Endpoint(host: name, port: 27017) }

    init(name: String, id: MemberID, set: SimulatedReplicaSet) {
        self.name = name
        self.id = id
        self.set = set
    }

    /// Builds and starts what runs on the member; each life begins with an empty engine.
    func boot(_ runtime: SimulatedRuntime) {
        if let node { earlier.append(node) }
        var options = NodeOptions(endpoint: endpoint)
        options.replicaSetName = set.name
        options.transportName = "simulated"
        options.electionPolicyName = set.policy.name
        let node = Node(
            runtime: runtime, transport: runtime.world.network.transport(for: runtime), engine: MemoryStorage(),
            electionPolicy: set.policy, options: options)
        self.node = node
        let world = runtime.world
        let name = name
        node.onFailure = { [unowned world] error in world.fail("\(name) stopped itself: \(error)") }
        let set = set
        runtime.spawn("start the node") { [unowned self, unowned set, unowned world] in
            do {
                try await node.start()
                node.onMemberEvent = { [unowned self, unowned set] in set.memberChanged(self) }
            } catch {
                world.fail("\(name) did not start: \(error)")
            }
        }
    }

    // MARK: What it is

    public var runtime: SimulatedRuntime? { self.set.world.node(name) }
    public var isAlive: Bool { runtime?.isAlive ?? false }
    public var isPaused: Bool { runtime?.isPaused ?? false }
    package var member: Member? { node?.member }
    public var state: MemberState? { isAlive ? member?.state : nil }
    public var isWritablePrimary: Bool { isAlive && member?.isWritablePrimary == true }
    public var term: Int64 { member?.term ?? -1 }
    public var commitPoint: OpTime { member?.commitPoint ?? .null }
    public var lastApplied: OpTime { node?.oplogLast ?? .null }
    public var dataHash: String? { isAlive ? try? node?.dataHash() : nil }

    /// The documents of a collection, as this member holds them.
    public func documents(_ database: String, _ collection: String) throws -> [Document] {
        var found: [Document] = []
        try node?.forEachDocument(in: database, collection) { found.append($0.document) }
        return found
    }

    /// One line about its state, for explanations.
    public var summary: String {
        guard isAlive, let member else { return "\(name): \(isAlive ? "starting" : "dead")" }
        let sync = node?.isInitialSyncRunning == true ? ", initial sync" : ""
        let writable = member.isWritablePrimary ? " (writable)" : ""
        return "\(name): \(isPaused ? "paused, " : "")\(member.state.name)\(writable), "
            + "term \(member.term), last \(lastApplied), committed \(member.commitPoint), "
            + "config \(member.config?.configVersion.description ?? "none")\(sync)"
    }

    // MARK: What happens to it

    /// Ends this life. All its data are gone: the engine is volatile.
    public func crash(_ connections: DeadConnections = .reset) {
        set.timeline.add(name, "CRASH (\(connections))")
        set.world.apply(.crash(name, connections: connections))
    }
    /// Starts the next life, empty.
    public func restart() {
        set.timeline.add(name, "RESTART")
        set.world.apply(.restart(name))
    }
    public func pause() {
        set.timeline.add(name, "PAUSE")
        set.world.apply(.pause(name))
    }
    public func resume() {
        set.timeline.add(name, "RESUME")
        set.world.apply(.resume(name))
    }

    /// Runs one command on the member, inside its process, and the world until it is answered.
    public func run(_ command: Document, within limit: Duration = .seconds(60)) throws -> Document {
        guard let node, let runtime, runtime.isAlive else { return ["ok": 0.0, "errmsg": "the member is dead"] }
        var reply: Document?
        runtime.spawn("command from outside") { reply = await node.run(command) }
        try set.world.run(
            until: { reply != nil }, atMost: limit,
            "an answer of \(name) to \(command.fields.first?.key ?? "a command")")
        return reply ?? [:]
    }
}
