public import BSON
public import Core
package import Replication
package import Server
import MemoryStorage

/// What a member of a simulated set is.
public struct MemberKind: Sendable {
    public var priority = 1
    public var votes = 1
    public var isArbiter = false
    public var isHidden = false
    /// The value of its tag `dc`.
    public var zone: String?

    public init(
        priority: Int = 1, votes: Int = 1, isArbiter: Bool = false, isHidden: Bool = false, zone: String? = nil
    ) {
        self.priority = priority
        self.votes = votes
        self.isArbiter = isArbiter
        self.isHidden = isHidden
        self.zone = zone
    }

    public static let normal = MemberKind()
    public static let arbiter = MemberKind(priority: 0, isArbiter: true)
    public static let hidden = MemberKind(priority: 0, isHidden: true)
    public static let nonVoting = MemberKind(priority: 0, votes: 0)

    /// As in a configuration.
    func description(id: MemberID, host: String) -> Value {
        var document: Document = ["_id": .int32(id), "host": .string(host)]
        if isArbiter { document.append("arbiterOnly", true) }
        if isHidden { document.append("hidden", true) }
        if priority != 1 { document.append("priority", .int32(Int32(priority))) }
        if votes != 1 { document.append("votes", .int32(Int32(votes))) }
        if let zone { document.append("tags", ["dc": .string(zone)]) }
        return .document(document)
    }
}

/// One member of a `SimulatedReplicaSet`, over all its lives.
public final class SimulatedMember {
    /// The node's name in the world, and its host.
    public let name: String
    public let id: MemberID
    /// As it was set up; a reconfiguration may have changed it.
    public let kind: MemberKind
    unowned let set: SimulatedReplicaSet
    /// The present life's node. Earlier ones are kept: their tasks, which never run again, hold on to them.
    package private(set) var node: Node?
    private var earlier: [Node] = []
    private let disk: RememberingStorage?
    /// How often it was started again.
    public var restarts: Int { earlier.count }
    public var endpoint: Endpoint { Endpoint(host: name, port: 27017) }

    init(name: String, id: MemberID, kind: MemberKind, set: SimulatedReplicaSet) {
        self.name = name
        self.id = id
        self.kind = kind
        self.set = set
        disk = set.remembers ? RememberingStorage() : nil
    }

    /// Builds and starts what runs on the member; without a disk, each life begins with an empty engine.
    func boot(_ runtime: SimulatedRuntime) {
        let previous = node
        if let previous { earlier.append(previous) }
        var options = NodeOptions(endpoint: endpoint)
        options.replicaSetName = set.name
        options.transportName = "simulated"
        options.electionPolicyName = set.policy.name
        options.oplogBytesMax = set.oplogBytesMax
        let node = Node(
            runtime: runtime, transport: runtime.world.network.transport(for: runtime),
            engine: disk?.engine() ?? MemoryStorage(), electionPolicy: set.policy(of: self), options: options)
        self.node = node
        let world = runtime.world
        let name = name
        node.onFailure = { [unowned world] error in world.fail("\(name) stopped itself: \(error)") }
        let set = set
        let remembers = disk != nil
        runtime.spawn("start the node") { [unowned self, unowned set, unowned world] in
            do {
                if remembers, let previous { try node.inheritOplog(of: previous) }
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
    public var isInitialSyncRunning: Bool { isAlive && node?.isInitialSyncRunning == true }
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

    /// Ends this life. Without a disk all its data are gone.
    public func crash(_ connections: DeadConnections = .reset) {
        set.timeline.add(name, "CRASH (\(connections))")
        set.world.apply(.crash(name, connections: connections))
    }
    /// Starts the next life: empty, or with what the disk kept.
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
        var reply: Document?
        send(command) { reply = $0 }
        try set.world.run(
            until: { reply != nil }, atMost: limit,
            "an answer of \(name) to \(command.fields.first?.key ?? "a command")")
        return reply ?? [:]
    }

    /// Sends one command to the member, inside its process. There is no answer when it dies meanwhile.
    public func send(_ command: Document, database: String = "admin", _ answer: @escaping (Document) -> Void) {
        guard let node, let runtime, runtime.isAlive else {
            return answer(["ok": 0.0, "errmsg": "the member is dead"])
        }
        runtime.spawn("command from outside") { answer(await node.run(command, database: database)) }
    }
}
