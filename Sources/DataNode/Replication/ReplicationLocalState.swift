internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// What replication keeps in the `local` database: the configuration, the last vote, the incarnation, the rollback id.
///
/// Local tables are never versioned and never undone: a vote that was undone would be cast twice.
final class ReplicationLocalState {
    private(set) var config: ReplicaSetConfig?
    private(set) var lastVote: LastVote?
    private(set) var incarnation: Incarnation
    /// Names under which others have reached this member, beside its own for itself.
    private(set) var learnedHosts: [String]
    private(set) var rollbackID: Int32 = 1

    private static let systemReplset = Namespace("local", "system.replset")
    private static let election = Namespace("local", "replset.election")
    private static let minvalid = Namespace("local", "replset.minvalid")
    private static let rollback = Namespace("local", "system.rollback.id")
    private static let me = Namespace("local", "me")
    private static let startupLog = Namespace("local", "startup_log")
    /// Where it is kept.
    static let namespaces: Set<Namespace> = [systemReplset, election, minvalid, rollback, me, startupLog]

    /// Loads what an earlier run left; draws a new incarnation where there is none: a volatile engine forgets.
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
        // What an engine finds when it is opened is durable.
        durableOpTime = node.lastOpTime
        incarnation = known ?? Incarnation(startedAt: runtime.wallClock, nonce: runtime.randomNumber())
        if let stored = try data.getLocal(Self.rollback)?["rollbackId"]?.asInteger {
            rollbackID = Int32(truncatingIfNeeded: stored)
        }
        try persistIdentity(node)
        try data.putLocal(Self.rollback, ["_id": "rollbackId", "rollbackId": .int32(rollbackID)])
        try data.putLocal(Self.minvalid, ["_id": "minvalid", "ts": .timestamp(.zero), "t": .int64(-1)])
        try data.putLocal(
            Self.startupLog,
            [
                "_id": .string("\(node.options.hostname)-\(runtime.wallClock.milliseconds)"),
                "hostname": .string(node.options.hostname), "startTime": .dateTime(runtime.wallClock.milliseconds),
                "pid": .int64(Int64(node.options.processID)),
                "buildinfo": .document(Document { ServerInformation.appendBuildInfo(to: $0) }),
            ])
    }

    /// Whether the data are those of a member of that set, or nobody's yet.
    /// - Throws: `StorageDamage`, saying whose they are.
    static func checkOwner(_ data: DataStore, setName: String?) throws {
        guard let owner = try data.getLocal(systemReplset)?["_id"]?.asString, owner != setName else { return }
        throw StorageDamage(
            "the data are those of a member of the replica set '\(owner)'"
                + (setName.map { ", not of '\($0)'" } ?? ": start it with --replset \(owner)"))
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
                writer.document("incarnation") { self.incarnation.encode(to: $0) }
            })
    }

    func persist(_ config: ReplicaSetConfig, _ data: DataStore) throws {
        try data.putLocal(Self.systemReplset, Document { config.encode(to: $0, internalFields: true) })
        self.config = config
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

    /// The data were thrown away: a new incarnation begins.
    func renewIncarnation(_ node: Node) throws -> Incarnation {
        incarnation = Incarnation(startedAt: node.runtime.wallClock, nonce: node.runtime.randomNumber())
        rollbackID &+= 1
        forgetDurable()
        try persistIdentity(node)
        try node.data.putLocal(Self.rollback, ["_id": "rollbackId", "rollbackId": .int32(rollbackID)])
        return incarnation
    }

    /// Entries are about to be taken back: others that sync from us must not mistake our new entries for what follows
    /// those. Returns the rollback id, which is on its way to the disk before anything is undone.
    func beginRollback(to common: OpTime, _ node: Node) throws -> Int32 {
        forgetDurable(behind: common)
        rollbackID &+= 1
        try node.data.putLocal(Self.rollback, ["_id": "rollbackId", "rollbackId": .int32(rollbackID)])
        return rollbackID
    }

    /// How far the oplog survives a power cut. On a volatile engine everything is as durable as it gets.
    func durable(_ last: OpTime, _ data: DataStore) -> OpTime {
        data.versions.durableMark >= data.versions.appliedMark ? last : min(last, durableOpTime)
    }

    /// A flush has ended that began when `last` was the newest entry, of the history that is named here.
    func noteDurable(_ last: OpTime, asOf history: UInt64) {
        if history == self.history { durableOpTime = max(durableOpTime, last) }
    }

    /// Entries behind `common` are taken back, or all of them thrown away: flushes under way say nothing of what
    /// follows.
    func forgetDurable(behind common: OpTime = .null) {
        durableOpTime = min(durableOpTime, common)
        history += 1
    }

    /// Counts how often entries were taken back.
    private(set) var history: UInt64 = 0

    /// The last optime that a finished flush has covered.
    private var durableOpTime: OpTime
}
