import BSON
import Core
import Replication
import DataNode

/// Watches the members of one replica set and ends the run when a promise of the protocol is broken.
///
/// It sees all members at once, which no member does: one primary a term over the whole run (I1), one vote a term and
/// member, over all its lives (I2), logs that agree wherever they meet (I3), leaders that have all that was committed
/// (I4), commit points that never go back, are held by a majority, and below which nobody rolls back (I5, I6), equal
/// data at equal optimes (I8), and configurations whose quorums meet (I20). The numbers are those of
/// docs/simulation.md.
final class ReplicationChecker {
    private struct Life {
        let incarnation: Incarnation
        /// A member with a disk keeps its incarnation over restarts, its run it does not.
        var node: ObjectIdentifier
        var commitPoint = OpTime.null
        /// The newest entry that was compared with the others' logs.
        var compared = OpTime.null
        var config = ConfigVersion.none
        /// Where its oplog begins.
        var first: OpTime?
        /// What it last called durable.
        var durable = OpTime.null
        /// Which run of the member showed itself last, the rollback id that it showed, and how often crashes had taken
        /// the end of what it had written.
        var startCount: Int64 = 0
        var rollbackID: Int32 = 0
        var lostTails = 0
        /// A crash has taken the end of its log: what it had called durable by then, until the log is compared again.
        var durableBeforeLoss: OpTime?
    }

    private struct Vote: Hashable {
        let member: MemberID
        let term: Int64
    }

    private unowned let world: SimulatedWorld
    private let timeline: Timeline
    private var lives: [String: Life] = [:]
    private var primaries: [Int64: Incarnation] = [:]
    private var votes: [Vote: MemberID] = [:]
    /// Who voted for whom, by term.
    private var ayes: [Int64: [MemberID: Set<MemberID>]] = [:]
    private var leaders: Set<Int64> = []
    private var configs = ConfigChecker()
    private(set) var history = LogHistory()
    /// The data's hash at an optime, and who had it.
    private var hashes: [OpTime: (hash: String, member: String)] = [:]
    private var hashed: [String: OpTime] = [:]
    /// The newest commit point that any member has ever known.
    private(set) var committed = OpTime.null
    /// How many primaries were elected.
    var elections: Int { primaries.count }

    init(_ world: SimulatedWorld, _ timeline: Timeline) {
        self.world = world
        self.timeline = timeline
    }

    private func fail(_ message: String) {
        timeline.add("CHECKER", message)
        world.fail(message)
    }

    /// Looks at a member that has just been told something.
    func memberChanged(_ simulated: SimulatedMember, _ node: Node, in set: SimulatedReplicaSet) {
        guard let member = node.member else { return }
        let name = simulated.name
        do {
            try member.checkInvariants()
        } catch {
            return fail("\(name): \(error)")
        }
        let object = ObjectIdentifier(node)
        var life = lives[name] ?? Life(incarnation: member.incarnation, node: object)
        if life.incarnation != member.incarnation { life = Life(incarnation: member.incarnation, node: object) }
        noteRun(simulated, member, node, &life)
        if member.commitPoint < life.commitPoint {
            fail("\(name): the commit point went back from \(life.commitPoint) to \(member.commitPoint)")
        }
        let hasAdvanced = member.commitPoint > life.commitPoint
        life.commitPoint = member.commitPoint
        lives[name] = life
        compareLog(simulated, node)
        checkVote(name, member)
        if member.isPrimary { checkPrimary(name, member, node) }
        if hasAdvanced, member.isPrimary { checkCommitPoint(name, member, set) }
        if member.commitPoint > committed { committed = member.commitPoint }
        checkConfig(name, member, set)
        checkOplogStart(name, member, node)
        checkDurable(simulated, member)
    }

    /// Each run of a member is told from the one before, and what a crash has taken is as if it had been rolled back.
    private func noteRun(_ simulated: SimulatedMember, _ member: Member, _ node: Node, _ life: inout Life) {
        guard let rollbackID = node.rollbackID else { return }
        if life.node != ObjectIdentifier(node) {
            life.node = ObjectIdentifier(node)
            // What a commit point was is learned again after a restart, though not all of it; what is in the log stays.
            life.commitPoint = .null
            if simulated.lostTails > life.lostTails { life.durableBeforeLoss = life.durable }
            if member.startCount <= life.startCount {
                fail("\(simulated.name) is in its run \(member.startCount), and was in \(life.startCount) before")
            }
            if simulated.lostTails > life.lostTails, rollbackID <= life.rollbackID {
                fail("\(simulated.name) has lost what it had written, and shows the rollback id \(rollbackID) again")
            }
        }
        life.startCount = member.startCount
        life.rollbackID = rollbackID
        life.lostTails = simulated.lostTails
    }

    /// What a member with a disk calls durable is on it.
    private func checkDurable(_ simulated: SimulatedMember, _ member: Member) {
        guard let disk = simulated.disk, var life = lives[simulated.name], life.durable != member.progress.durable
        else { return }
        life.durable = member.progress.durable
        lives[simulated.name] = life
        if !disk.holds(life.durable) {
            fail("\(simulated.name) calls \(life.durable) durable, and it is not on its disk")
        }
    }

    private func checkVote(_ name: String, _ member: Member) {
        guard let id = member.ownID else { return }
        if let vote = member.lastVote { ayes[vote.term, default: [:]][vote.candidateID, default: []].insert(id) }
        guard let vote = member.durableVote else { return }
        let key = Vote(member: id, term: vote.term)
        if let earlier = votes[key], earlier != vote.candidateID {
            fail("\(name) voted twice in term \(vote.term): for \(earlier) and for \(vote.candidateID)")
        }
        votes[key] = vote.candidateID
    }

    /// A primary has the votes of a majority of its own configuration (Raft §5.2).
    private func checkMandate(_ name: String, _ member: Member) {
        guard let config = member.config, let own = member.ownID else { return }
        let voters = ayes[member.term]?[own] ?? []
        let count = config.members.count { $0.isVoter && voters.contains($0.id) }
        if count < config.votingMajority {
            fail("\(name) is primary of term \(member.term) by \(count) votes of \(config.votingMajority)")
        }
    }

    private func checkPrimary(_ name: String, _ member: Member, _ node: Node) {
        if let other = primaries[member.term] {
            if other != member.incarnation { fail("two primaries in term \(member.term): the second is \(name)") }
        } else {
            primaries[member.term] = member.incarnation
            checkMandate(name, member)
        }
        guard member.isWritablePrimary, leaders.insert(member.term).inserted, !committed.isNull else { return }
        // Leader completeness (Raft §5.4.3). A commit point of a later term says nothing about this leader.
        guard committed.term <= member.term else { return }
        do {
            if try !holds(node, committed) {
                fail("\(name) is primary of term \(member.term) without the committed entry \(committed)")
            }
        } catch {
            fail("\(name): its oplog cannot be read: \(error)")
        }
    }

    private func holds(_ node: Node, _ optime: OpTime) throws -> Bool {
        // What has been cut off in front was there.
        if let first = node.oplogFirst, optime < first { return true }
        return try node.oplogContains(optime)
    }

    /// A primary that moves its commit point says that a majority holds the entry, on their disks where they have any.
    /// Members without that died have taken what they held with them.
    private func checkCommitPoint(_ name: String, _ member: Member, _ set: SimulatedReplicaSet) {
        guard let config = member.config else { return }
        let lacking = config.members.filter { voter in
            guard voter.isVoter, voter.isDataBearing, let other = set.members.first(where: { $0.id == voter.id })
            else { return false }
            // What was on a disk that is lost is not known any more.
            if let disk = other.disk { return other.lostDisks == 0 && !disk.holds(member.commitPoint) }
            guard other.isAlive, let node = other.node, let their = node.member,
                voter.incarnation == nil || voter.incarnation == their.incarnation
            else { return false }
            return (try? holds(node, member.commitPoint)) == false
        }
        if config.writableVoterCount - lacking.count < config.writeMajority {
            let names = lacking.map(\.host).joined(separator: ", ")
            fail("\(name) counts \(member.commitPoint) as committed, and \(names) do not have it")
        }
    }

    /// Nothing above its commit point is dropped from the front of a member's oplog: it could not be rolled back (I19).
    private func checkOplogStart(_ name: String, _ member: Member, _ node: Node) {
        guard let first = node.oplogFirst, var life = lives[name], first != life.first else { return }
        let before = life.first
        life.first = first
        lives[name] = life
        guard let before, before < first, !node.isInitialSyncRunning, let previous = history.previous(first),
            previous > committed
        else { return }
        fail("\(name) has dropped \(previous) from its oplog, and only \(committed) is committed")
    }

    private func checkConfig(_ name: String, _ member: Member, _ set: SimulatedReplicaSet) {
        guard let config = member.config, var life = lives[name], config.configVersion != life.config else { return }
        if config.configVersion.isOlder(than: life.config) {
            fail("\(name) went back from the configuration \(life.config) to \(config.configVersion)")
        }
        let previous = life.config
        life.config = config.configVersion
        lives[name] = life
        let remembering = set.members.filter { $0.isAlive || set.remembers }.compactMap(\.member)
        if let problem = configs.noted(config, after: previous, by: member, name, among: remembering) { fail(problem) }
    }

    // MARK: Logs

    /// Compares what a member's log has gained with what the others' logs hold (log matching, Raft §5.3), and what it
    /// has lost with what was committed.
    func compareLog(_ simulated: SimulatedMember, _ node: Node) {
        let name = simulated.name
        guard let member = node.member, var life = lives[name], life.incarnation == member.incarnation,
            let last = node.oplogLast
        else { return }
        noteRun(simulated, member, node, &life)
        let durableBeforeLoss = life.durableBeforeLoss
        life.durableBeforeLoss = nil
        lives[name] = life
        guard last != life.compared else { return }
        do {
            if !life.compared.isNull, try !holds(node, life.compared) {
                try noteRollback(name, &life, node, durableBeforeLoss)
            }
            // What was dropped in front before it was seen here leaves a gap, and no predecessor.
            let isGap = node.oplogFirst.map { $0 > life.compared } ?? true
            var previous = isGap ? .null : life.compared
            try node.forEachOplogEntry(after: life.compared.timestamp) { entry in
                guard let optime = OpTime(entry) else { return fail("\(name): an entry without an optime") }
                if let problem = history.add(optime, after: previous, hash: Trace.hash(entry.bytes)) {
                    fail("\(name): \(problem)")
                }
                previous = optime
            }
            life.compared = previous
        } catch {
            fail("\(name): its oplog cannot be read: \(error)")
        }
        lives[name] = life
    }

    /// Finds where the log goes on from: behind what was rolled back, or nowhere when it was thrown away to be cloned
    /// anew. What is lost of one life must not have been committed (I5), but by a crash before the member had flushed
    /// it: then others have it.
    private func noteRollback(
        _ name: String, _ life: inout Life, _ node: Node, _ durableBeforeLoss: OpTime?
    ) throws {
        var kept = life.compared
        while !kept.isNull, try !node.oplogContains(kept) {
            let isExcused = durableBeforeLoss.map { kept > $0 } ?? false
            if !isExcused, history.isPrefix(kept, of: committed), !node.isInitialSyncRunning {
                fail("\(name) rolled back \(kept), which was committed")
            }
            kept = history.previous(kept) ?? .null
            if let first = node.oplogFirst, kept < first { kept = .null }
        }
        life.compared = kept
    }

    // MARK: Data

    /// Members that have applied the same hold the same (I8), while the set is at work.
    func compareData(_ set: SimulatedReplicaSet) {
        for member in set.members where member.isAlive {
            guard let node = member.node, let state = member.state, state == .primary || state == .secondary,
                !node.isInitialSyncRunning, let last = node.oplogLast, hashed[member.name] != last
            else { continue }
            hashed[member.name] = last
            do {
                let hash = try node.dataHash()
                if let known = hashes[last] {
                    if known.hash != hash {
                        fail("\(member.name) and \(known.member) have applied \(last) and hold different data")
                    }
                } else {
                    hashes[last] = (hash, member.name)
                }
            } catch {
                fail("\(member.name): its data cannot be hashed: \(error)")
            }
        }
    }
}
