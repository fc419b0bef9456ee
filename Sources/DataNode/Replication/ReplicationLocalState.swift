internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// What replication keeps in the `local` database: the configuration, the last vote, the incarnation, which run of the
/// member this is and whether the one before has come to its end in order, the rollback id, the size of the oplog.
///
/// Local tables are never versioned and never undone: a vote that was undone would be cast twice.
final class ReplicationLocalState {
    private(set) var config: ReplicaSetConfig?
    private(set) var lastVote: LastVote?
    private(set) var incarnation: Incarnation
    /// The same, or the next one, which is on its way to the disk.
    private var storedIncarnation: Incarnation
    /// Names under which others have reached this member, beside its own for itself.
    private(set) var learnedHosts: [String]
    private(set) var rollbackID: Int32 = 1
    /// How often the member was started with its data, this run included.
    let startCount: Int64

    private static let systemReplset = Namespace("local", "system.replset")
    private static let election = Namespace("local", "replset.election")
    private static let minvalid = Namespace("local", "replset.minvalid")
    private static let rollback = Namespace("local", "system.rollback.id")
    private static let run = Namespace("local", "replset.run")
    private static let oplog = Namespace("local", "replset.oplog")
    private static let me = Namespace("local", "me")
    private static let startupLog = Namespace("local", "startup_log")
    /// Where it is kept.
    static let namespaces: Set<Namespace> = [systemReplset, election, minvalid, rollback, run, oplog, me, startupLog]

    /// Begins a run: loads what earlier ones have left, and notes that this one is under way. Draws a new incarnation
    /// where there is none: a volatile engine forgets.
    ///
    /// Nothing of it may be shown to others before it is durable.
    init(_ node: Node) throws {
        let data = node.data
        let runtime = node.runtime
        config = try data.getLocal(Self.systemReplset).map { document in
            try document.withView { try ReplicaSetConfig(storedDocument: $0) }
        }
        lastVote = try data.getLocal(Self.election)?.withView { LastVote($0) }
        let me = try data.getLocal(Self.me)
        learnedHosts = me?["hosts"]?.asArray?.compactMap(\.asString) ?? []
        let known = me?["incarnation"]?.asDocument?.withView { Incarnation($0) }
        incarnation = known ?? Incarnation(startedAt: runtime.wallClock, nonce: runtime.randomNumber())
        storedIncarnation = incarnation
        if let stored = try data.getLocal(Self.rollback)?["rollbackId"]?.asInteger {
            rollbackID = Int32(truncatingIfNeeded: stored)
        }
        if let bytes = try data.getLocal(Self.oplog)?["bytesMax"]?.asInteger.flatMap({ Int(exactly: $0) }), bytes > 0 {
            data.oplog.bytesMax = bytes
        }
        if let seconds = try data.getLocal(Self.oplog)?["retentionSeconds"]?.asInteger, seconds >= 0 {
            data.oplog.retention = seconds
        }
        let before = try data.getLocal(Self.run)
        startCount = (before?["number"]?.asInteger ?? 0) &+ 1
        // The end of the log may be lost, and others may have seen it: a rollback that nobody has announced.
        if before != nil, before?["isEnded"]?.asBool != true, !runtime.hasMutant(.lossNotAnnounced) { rollbackID &+= 1 }
        try noteRun(data, isEnded: false)
        try persistIdentity(node)
        try persist(rollbackID: rollbackID, data)
        try data.putLocal(Self.minvalid, ["_id": "minvalid", "ts": .timestamp(.zero), "t": .int64(-1)])
        try data.putLocal(
            Self.startupLog,
            [
                "_id": .string("\(node.options.hostname)-\(runtime.wallClock.milliseconds)"),
                "hostname": .string(node.options.hostname), "startTime": .dateTime(runtime.wallClock.milliseconds),
                "pid": .int64(Int64(node.options.processID)),
                "buildinfo": .document(Document { InformationCommands.appendBuildInfo(to: $0) }),
            ])
    }

    /// Whether the data are those of a member of that set, or nobody's yet.
    /// - Parameter startsNewSet: a backup may be made a new set.
    /// - Throws: `StorageDamage`, saying whose they are.
    static func checkOwner(_ data: DataStore, setName: String?, startsNewSet: Bool) throws {
        let owner = try data.getLocal(systemReplset)?["_id"]?.asString
        try BackupMark.check(data, startsNewSet: startsNewSet, owner: owner)
        guard let owner, owner != setName else { return }
        throw StorageDamage(
            "the data are those of a member of the replica set '\(owner)'"
                + (setName.map { ", not of '\($0)'" } ?? ": start it with --replset \(owner)"))
    }

    /// The name under which the node listens, for people.
    func noteName(_ node: Node) throws { try persistIdentity(node) }

    /// The run ends in order: what was written is about to be flushed.
    func endRun(_ data: DataStore) throws { try noteRun(data, isEnded: true) }

    private func noteRun(_ data: DataStore, isEnded: Bool) throws {
        try data.putLocal(Self.run, ["_id": "run", "number": .int64(startCount), "isEnded": .bool(isEnded)])
    }

    func persist(ownHosts hosts: [String], _ node: Node) throws {
        learnedHosts = hosts.filter { $0 != node.frontend.advertisedName }
        try persistIdentity(node)
    }

    private func persistIdentity(_ node: Node) throws {
        try node.data.putLocal(
            Self.me,
            Document { writer in
                writer.append("_id", string: "me")
                writer.append("host", string: node.frontend.advertisedName)
                writer.array("hosts") { for host in self.learnedHosts { $0.append(string: host) } }
                writer.document("incarnation") { self.storedIncarnation.encode(to: $0) }
            })
    }

    func persist(_ config: ReplicaSetConfig, _ data: DataStore) throws {
        try data.putLocal(Self.systemReplset, Document { config.encode(to: $0, internalFields: true) })
        self.config = config
        try BackupMark.remove(data)
    }

    func persist(_ vote: LastVote, _ data: DataStore) throws {
        try data.putLocal(
            Self.election,
            Document { writer in
                writer.append("_id", string: "lastVote")
                vote.encode(to: writer)
            })
        lastVote = vote
    }

    /// What the oplog may take, and how long it keeps its entries, in this run and in later ones, whatever they are
    /// started with.
    func persist(oplogBytesMax bytes: Int, retention: Int64, _ data: DataStore) throws {
        try data.putLocal(
            Self.oplog,
            ["_id": "oplog", "bytesMax": .int64(Int64(bytes)), "retentionSeconds": .int64(retention)])
        data.oplog.bytesMax = bytes
        data.oplog.retention = retention
    }

    private func persist(rollbackID: Int32, _ data: DataStore) throws {
        try data.putLocal(Self.rollback, ["_id": "rollbackId", "rollbackId": .int32(rollbackID)])
    }

    /// The data are about to be thrown away: a new incarnation begins, when it is durable.
    func renewIncarnation(_ node: Node) async throws -> Incarnation {
        let next = Incarnation(startedAt: node.runtime.wallClock, nonce: node.runtime.randomNumber())
        storedIncarnation = next
        try persistIdentity(node)
        _ = try await raiseRollbackID(node)
        incarnation = next
        return next
    }

    /// Returns the next rollback id, which is shown from now on: it is durable.
    func raiseRollbackID(_ node: Node) async throws -> Int32 {
        let next = rollbackID &+ 1
        if node.runtime.hasMutant(.rollbackIDShownEarly) { rollbackID = next }
        try persist(rollbackID: next, node.data)
        try await node.data.durability.flush()
        rollbackID = next
        return next
    }
}
