public import BSON
public import Core
package import Replication
package import DataNode
import Conformance
import MemoryStorage
import ShardKeyStrategies

/// What a member of a simulated set is.
public struct MemberKind: Sendable {
    public var priority = 1
    public var votes = 1
    public var isArbiter = false
    public var isHidden = false
    /// How far it stays behind (`secondaryDelaySecs`); whole seconds.
    public var delay = Duration.zero
    /// The value of its tag `dc`.
    public var zone: String?

    public init(
        priority: Int = 1, votes: Int = 1, isArbiter: Bool = false, isHidden: Bool = false, delay: Duration = .zero,
        zone: String? = nil
    ) {
        self.priority = priority
        self.votes = votes
        self.isArbiter = isArbiter
        self.isHidden = isHidden
        self.delay = delay
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
        if delay > .zero { document.append("secondaryDelaySecs", .int64(delay.components.seconds)) }
        if let zone { document.append("tags", ["dc": .string(zone)]) }
        return .document(document)
    }
}

/// One member of a `SimulatedReplicaSet`, over all its runs.
public final class SimulatedMember {
    /// The node's name in the world, and its host.
    public let name: String
    public let id: MemberID
    /// As it was set up; a reconfiguration may have changed it.
    public let kind: MemberKind
    unowned let set: SimulatedReplicaSet
    /// The present run's node. Earlier ones are kept: their tasks, which never run again, hold on to them.
    package private(set) var node: Node?
    private var earlier: [Node] = []
    /// nil: its storage forgets everything.
    private(set) var disk: (any MemberDisk)?
    /// What the storage engine of the present life does when it is told to.
    private var faults = StorageFaults()
    /// How often it was started again.
    public var restarts: Int { earlier.count }
    public var endpoint: Endpoint { Endpoint(host: name, port: 27017) }

    init(name: String, id: MemberID, kind: MemberKind, set: SimulatedReplicaSet) {
        self.name = name
        self.id = id
        self.kind = kind
        self.set = set
        disk = set.remembers ? newDisk() : nil
    }

    /// An empty disk. Of two members one has an engine of tables only, so that its oplog is a table.
    private func newDisk() -> any MemberDisk {
        let label = lostDisks == 0 ? name : "\(name), number \(lostDisks)"
        guard set.usesFiles else {
            return LossyDisk(
                name: label, seed: set.world.seed, keepsLog: id.isMultiple(of: 2), flushTime: set.flushTime)
        }
        let number = lostDisks
        return FileDisk(name: label, seed: set.world.seed) { [unowned self] in
            set.timeline.add(name, "POWER IS CUT")
            powerCuts += 1
            set.later(.zero) { [unowned self] in if number == lostDisks { endRun(.halfOpen) } }
        }
    }

    /// Builds and starts what runs on the member; without a disk, each run begins with an empty engine.
    func boot(_ runtime: SimulatedRuntime) {
        faults = StorageFaults()
        if let node { earlier.append(node) }
        var options = NodeOptions(endpoint: endpoint)
        options.replicaSetName = set.name
        options.transportName = "simulated"
        options.electionPolicyName = set.policy.name
        options.oplogBytesMax = set.oplogBytesMax
        options.ttlMonitorPause = .seconds(1)
        options.clusterRole = set.role
        options.orphanCleanupDelay = .seconds(1)
        let node = Node(
            runtime: runtime, transport: runtime.world.network.transport(for: runtime),
            engine: makeEngine(runtime),
            electionPolicy: set.policy(of: self), syncSourceSelector: set.syncSourceSelector,
            shardKeyStrategies: { _, _ in MongoDBShardKeys() }, options: options)
        self.node = node
        node.onFailure = { [unowned self, unowned node] in noteFailure(of: node, $0, isOpening: false) }
        let set = set
        runtime.spawn("start the node") { [unowned self, unowned set] in
            do {
                try await node.start()
                node.onMemberEvent = { [unowned self, unowned set] in set.memberChanged(self) }
            } catch {
                noteFailure(of: node, error, isOpening: true)
            }
        }
    }

    /// The node has stopped itself, or could not be started.
    private func noteFailure(of node: Node, _ error: any Error, isOpening: Bool) {
        guard self.node === node, let runtime else { return }
        if faults.hasThrown, "\(error)".contains("\(FaultyStorage.Broken())") {
            storageFailures += 1
        } else if disk?.hasCaused(error, opening: isOpening) == true {
            diskFailures += 1
        } else {
            return set.world.fail("\(name) \(isOpening ? "did not start" : "stopped itself"): \(error)")
        }
        set.timeline.add(name, "ENDS ITSELF: \(error)")
        // As the process that runs it would end.
        runtime.enqueue { [unowned self, unowned node] in if self.node === node { endRun(.reset) } }
    }

    /// Its process has ended. When all should go well, somebody starts it again.
    private func endRun(_ connections: DeadConnections) {
        guard isAlive else { return }
        crash(connections)
        guard isCalm else { return }
        set.later(.milliseconds(10)) { [unowned self] in if !isAlive { restart() } }
    }

    private func makeEngine(_ runtime: SimulatedRuntime) -> any StorageEngine {
        let engine = FaultyStorage(disk?.engine(runtime) ?? MemoryStorage(), faults)
        guard let oneIn = set.notResidentOneIn else { return engine }
        return NotResidentStorage(
            engine, seed: set.world.seed &+ UInt64(id) &* 1000 &+ UInt64(restarts), oneIn: oneIn,
            keeps: SimulatedMember.prefetchedKeys,
            isInspected: { [unowned runtime] in runtime.simulation?.isInspecting ?? false },
            wait: { [unowned runtime] in
                let most = UInt64(SimulatedMember.prefetchTimeMax.nanoseconds)
                await runtime.sleep(for: .nanoseconds(Int64(runtime.random(below: most))))
            })
    }

    /// More than one step of the workloads needs at once, and little more: what was prefetched is soon gone again.
    private static let prefetchedKeys = 256
    /// How long a read of the disk may take.
    private static let prefetchTimeMax = Duration.microseconds(200)

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

    /// The documents that rollbacks have taken back from this member, with the files that they lie in.
    /// - Throws: an error of the world when a file is no sequence of whole documents.
    func rolledBack() throws -> [(document: Document, place: String)] {
        guard let directory = node?.directory else {
            return try documents("local", "rollback").compactMap { entry in
                entry["document"]?.asDocument.map { ($0, "local.rollback \(entry["rollbackId"] ?? .null)") }
            }
        }
        var found: [(document: Document, place: String)] = []
        for folder in try directory.disk.list(directory.rollback)?.sorted() ?? [] {
            for name in try directory.disk.list("\(directory.rollback)/\(folder)")?.sorted() ?? [] {
                let path = "\(directory.rollback)/\(folder)/\(name)"
                for document in try documents(in: try directory.disk.open(path, create: false)) {
                    found.append((document, path))
                }
            }
        }
        return found
    }

    private func documents(in file: any DiskFile) throws -> [Document] {
        var bytes = [UInt8](repeating: 0, count: try file.size())
        try bytes.withUnsafeMutableBytes { _ = try file.read(into: $0, at: 0) }
        return try bytes.withUnsafeBytes { bytes in
            var found: [Document] = []
            var offset = 0
            while offset < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                guard rest.count >= 5 else { throw self.set.failure("\(file.path) ends in a document") }
                let length = Int(Int32(littleEndian: rest.loadUnaligned(as: Int32.self)))
                guard length >= 5, length <= rest.count else {
                    throw self.set.failure("\(file.path) has no whole document at \(offset)")
                }
                let view = try DocumentView.validate(UnsafeRawBufferPointer(rebasing: rest[..<length]))
                found.append(view.document)
                offset += length
            }
            return found
        }
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

    /// Ends this run. Without a disk all its data are gone.
    public func crash(_ connections: DeadConnections = .reset) {
        set.timeline.add(name, "CRASH (\(connections))")
        set.world.apply(.crash(name, connections: connections))
    }
    /// Stops it in order; its process ends.
    func shutDown() throws {
        guard let node, let runtime else { return }
        set.timeline.add(name, "STOPS")
        var hasStopped = false
        runtime.spawn("stop") {
            await node.stop(handingOver: false)
            hasStopped = true
        }
        try set.world.run(until: { hasStopped }, atMost: .seconds(60), "the stop of \(name)")
        crash()
    }

    /// Takes its disk away: the next run begins empty.
    func loseDisk() {
        set.timeline.add(name, "LOSES ITS DISK")
        tailsOfLostDisks += disk?.lostTails ?? 0
        lostDisks += 1
        disk = newDisk()
    }

    /// What was written and not flushed: what the next crash leaves of it.
    func nextCrash(leaves survivors: DiskSurvivors) { disk?.survivors = survivors }

    /// Flushes do not end before the disk is at work again.
    func stallDisk() {
        set.timeline.add(name, "DISK STALLS")
        disk?.isStalled = true
    }
    func unstallDisk() {
        guard disk?.isStalled == true else { return }
        set.timeline.add(name, "DISK GOES ON")
        disk?.isStalled = false
    }

    /// Cuts its power in the middle of what its disk does, after so many calls.
    func cutPower(afterCalls count: Int) -> Bool { disk?.cutPower(afterCalls: count) ?? false }
    /// Lets its disk fail once, after so many calls.
    func failDisk(afterCalls count: Int) -> Bool { disk?.failCall(after: count) ?? false }
    /// Leaves its disk room for so many bytes; for any number with nil.
    func setRoom(_ bytes: Int?) -> Bool {
        guard disk?.setRoom(bytes) == true else { return false }
        set.timeline.add(name, bytes.map { "DISK HAS ROOM FOR \($0) BYTES" } ?? "DISK HAS ROOM")
        return true
    }
    /// Its disk does all that it should from now on.
    func calmDisk() {
        isCalm = true
        unstallDisk()
        disk?.calm()
    }

    /// Lets the storage engine throw at the next batch that it is given.
    func failStorage() {
        set.timeline.add(name, "STORAGE ENGINE FAILS")
        faults.throwsNext = true
    }
    /// The storage engine does not throw any more; a run in which it has is at its end.
    func mendStorage() {
        faults.throwsNext = false
        if faults.hasThrown, isAlive { crash() }
    }
    /// How often its disk was lost, or its storage engine has thrown.
    private(set) var lostDisks = 0
    private var tailsOfLostDisks = 0
    /// How often a crash has taken what was written and not flushed.
    var lostTails: Int { tailsOfLostDisks + (disk?.lostTails ?? 0) }
    private(set) var storageFailures = 0
    private var isCalm = false
    /// How often its power was cut in the middle of a call, and how often it has stopped because its disk had failed.
    private(set) var powerCuts = 0
    private(set) var diskFailures = 0

    /// Starts the next run: empty, or with what the disk kept.
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
    @discardableResult
    public func run(
        _ command: Document, in database: String = "admin", within limit: Duration = .seconds(60)
    ) throws -> Document {
        var reply: Document?
        send(command, in: database) { reply = $0 }
        try set.world.run(
            until: { reply != nil }, atMost: limit,
            "an answer of \(name) to \(command.fields.first?.key ?? "a command")")
        return reply ?? [:]
    }

    /// The same, as a router does that has introduced itself.
    func sendAsRouter(_ command: Document, in database: String, _ answer: @escaping (Document) -> Void) {
        guard let node, let runtime, runtime.isAlive else {
            return answer(["ok": 0.0, "code": 6, "errmsg": "the member is dead"])
        }
        runtime.spawn("command of a router") { answer(await node.runAsRouter(command, database: database)) }
    }

    /// Sends one command to the member, inside its process. There is no answer when it dies meanwhile.
    public func send(_ command: Document, in database: String = "admin", _ answer: @escaping (Document) -> Void) {
        guard let node, let runtime, runtime.isAlive else {
            return answer(["ok": 0.0, "errmsg": "the member is dead"])
        }
        runtime.spawn("command from outside") { answer(await node.run(command, database: database)) }
    }
}
