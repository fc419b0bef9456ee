import BSON
import Core
import Replication
import Server

/// Watches the members of one replica set and ends the run when a promise of the protocol is broken.
///
/// It sees all members at once, which no member does: one primary a term over the whole run, one vote a term and life,
/// logs that agree wherever they meet, commit points that never go back, and leaders that have all that was committed.
final class ReplicationChecker {
    private struct Life {
        let node: String
        let incarnation: Incarnation
        var commitPoint = OpTime.null
        /// The newest entry that was compared with the others' logs.
        var compared = OpTime.null
    }

    private struct Vote: Hashable {
        let incarnation: Incarnation
        let term: Int64
    }

    /// What all logs must hold at an optime.
    private struct Entry {
        let hash: UInt64
        /// The entry before it; null where only logs were seen that begin here.
        var previous: OpTime
    }

    private unowned let world: SimulatedWorld
    private let timeline: Timeline
    private var lives: [String: Life] = [:]
    private var primaries: [Int64: Incarnation] = [:]
    private var votes: [Vote: MemberID] = [:]
    private var entries: [OpTime: Entry] = [:]
    private var leaders: Set<Int64> = []
    /// The newest commit point that any member has ever known.
    private(set) var committed = OpTime.null
    /// How many primaries were elected.
    var elections: Int { primaries.count }
    private(set) var entriesCompared: UInt64 = 0

    init(_ world: SimulatedWorld, _ timeline: Timeline) {
        self.world = world
        self.timeline = timeline
    }

    private func fail(_ message: String) {
        timeline.add("CHECKER", message)
        world.fail(message)
    }

    /// Looks at a member that has just been told something.
    func memberChanged(_ name: String, _ node: Node) {
        guard let member = node.member else { return }
        do {
            try member.checkInvariants()
        } catch {
            return fail("\(name): \(error)")
        }
        var life = lives[name] ?? Life(node: name, incarnation: member.incarnation)
        if life.incarnation != member.incarnation { life = Life(node: name, incarnation: member.incarnation) }
        if member.commitPoint < life.commitPoint {
            fail("\(name): the commit point went back from \(life.commitPoint) to \(member.commitPoint)")
        }
        life.commitPoint = member.commitPoint
        lives[name] = life
        checkVote(name, member)
        if member.isPrimary { checkPrimary(name, member, node) }
        committed = max(committed, member.commitPoint)
    }

    private func checkVote(_ name: String, _ member: Member) {
        guard let vote = member.lastVote else { return }
        let key = Vote(incarnation: member.incarnation, term: vote.term)
        if let earlier = votes[key], earlier != vote.candidateID {
            fail("\(name) voted twice in term \(vote.term): for \(earlier) and for \(vote.candidateID)")
        }
        votes[key] = vote.candidateID
    }

    private func checkPrimary(_ name: String, _ member: Member, _ node: Node) {
        if let other = primaries[member.term] {
            if other != member.incarnation { fail("two primaries in term \(member.term): the second is \(name)") }
        } else {
            primaries[member.term] = member.incarnation
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

    /// Compares what a member's log has gained with what the others' logs hold (log matching, Raft §5.3).
    func compareLog(_ name: String, _ node: Node) {
        guard let member = node.member, var life = lives[name], life.incarnation == member.incarnation,
            let last = node.oplogLast, last != life.compared
        else { return }
        do {
            // Thrown away to be cloned anew: the log begins afresh.
            if !life.compared.isNull, try !node.oplogContains(life.compared) { life.compared = .null }
            var previous = life.compared
            try node.forEachOplogEntry(after: life.compared.timestamp) { entry in
                guard let optime = OpTime(entry) else { return fail("\(name): an entry without an optime") }
                compare(name, optime, after: previous, hash: Trace.hash(entry.bytes))
                previous = optime
                entriesCompared += 1
            }
            life.compared = previous
        } catch {
            fail("\(name): its oplog cannot be read: \(error)")
        }
        lives[name] = life
    }

    private func compare(_ name: String, _ optime: OpTime, after previous: OpTime, hash: UInt64) {
        guard var known = entries[optime] else {
            entries[optime] = Entry(hash: hash, previous: previous)
            return
        }
        if known.hash != hash { fail("\(name): the entry \(optime) differs from another member's") }
        if known.previous.isNull {
            known.previous = previous
            entries[optime] = known
        } else if !previous.isNull, previous != known.previous {
            fail("\(name): before \(optime) it has \(previous), another member \(known.previous)")
        }
    }
}
