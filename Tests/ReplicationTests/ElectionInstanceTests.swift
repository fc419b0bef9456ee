import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

@Suite struct ElectionInstanceTests {
    @Test("a candidate asks nobody before its own vote is durable")
    func ownVoteFirst() {
        var it = MemberFixture()
        it.hearEveryone()
        let directives = it.stand()
        #expect(directives.voteRequests.isEmpty)
        #expect(directives.persistedVote == LastVote(term: 2, candidateID: 0))
        #expect(it.persist(directives).voteRequests.count == 2)
    }

    @Test("a dry run asks in the current term and changes nothing before a majority says aye")
    func dryRunFirst() {
        var it = MemberFixture()
        it.hearEveryone()
        let directives = it.stand(skipDryRun: false)
        #expect(directives.voteRequests.map(\.isDryRun) == [true, true])
        #expect(directives.voteRequests.map(\.term) == [1, 1])
        #expect(it.member.term == 1)
        #expect(it.vote(1).persistedVote?.term == 2)
    }

    @Test("an aye to the dry run that comes late is no vote")
    func lateAye() {
        var it = MemberFixture()
        it.hearEveryone()
        let exchange: Exchange
        let directives = it.stand(skipDryRun: false)
        guard
            case .sendVoteRequest(_, _, _, let asked)? = directives.first(where: {
                if case .sendVoteRequest = $0 { true } else { false }
            })
        else { return #expect(Bool(false)) }
        exchange = asked
        let persisting = it.vote(1)
        let aye = VoteResponse(term: 1, isGranted: true, reason: "", incarnation: MemberFixture.incarnation(2))
        #expect(it.member.onVoteResponse(exchange, from: 2, aye, now: it.now).ignored == [.olderExchange])
        _ = it.persist(persisting)
        #expect(it.member.onVoteResponse(exchange, from: 2, aye, now: it.now).ignored == [.olderExchange])
        #expect(!it.member.isPrimary)
        _ = it.vote(2)
        #expect(it.member.isPrimary)
    }

    @Test("one voter is counted once, and a vote of another life not at all")
    func counting() {
        var it = MemberFixture(5) { $0.members[3].incarnation = MemberFixture.incarnation(3) }
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        _ = it.vote(1)
        #expect(!it.member.isPrimary)
        let other = Incarnation(startedAt: WallTime(milliseconds: 5), nonce: 77)
        #expect(it.vote(3, incarnation: other).ignored == [.olderIncarnation])
        #expect(!it.member.isPrimary)
        _ = it.vote(2)
        #expect(it.member.isPrimary)
    }

    @Test("a life that has no vote says no at once, also when it says aye")
    func forgotten() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        let other = Incarnation(startedAt: WallTime(milliseconds: 5), nonce: 77)
        _ = it.vote(1, incarnation: other)
        #expect(it.member.candidacy?.noes == [1])
        _ = it.vote(2, granted: false)
        #expect(it.member.candidacy == nil && !it.member.isPrimary)
    }

    @Test("a reply with a higher term ends the candidacy")
    func higherTerm() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1, granted: false, term: 7)
        #expect(it.member.term == 7)
        #expect(it.member.candidacy == nil)
    }

    @Test("a candidacy that a majority refuses fails at once, one that nobody answers after the election timeout")
    func failing() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1, granted: false)
        #expect(it.member.candidacy != nil)
        #expect(it.vote(2, granted: false).errorCode == .commandFailed)
        it.hearEveryone()
        _ = it.persist(it.stand())
        #expect(it.pass(.milliseconds(1001)).errorCode == .commandFailed)
        #expect(it.member.candidacy == nil)
    }

    @Test("a newer configuration cancels a candidacy, and nobody stands while one is being stored")
    func configCancels() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        var newer = it.member.config!
        newer.version = 2
        var report = it.report(1)
        report.config = newer.configVersion
        let exchange = it.member.peers[1].exchange ?? Exchange(0)
        let response = HeartbeatResponse(setName: "rs", report: report, config: newer)
        var directives = it.member.onHeartbeatResponse(exchange, response, now: it.now)
        if it.member.configStore == nil {
            it.now = it.member.peers[1].nextHeartbeat
            _ = it.member.onTick(now: it.now)
            directives = it.member.onHeartbeatResponse(it.member.peers[1].exchange!, response, now: it.now)
        }
        #expect(it.member.candidacy == nil)
        #expect(it.stand().errorCode == .commandFailed)
        _ = it.persist(directives)
        #expect(it.member.config?.version == 2)
    }

    @Test(
        "who must not stand does not",
        arguments: ["arbiter", "priority", "frozen", "startup2", "no majority", "newly added"])
    func obstacles(why: String) {
        var it = MemberFixture(3, last: why == "startup2" ? .null : OpTime(1, 10)) {
            switch why {
            case "arbiter": $0.members[0].isArbiter = true
            case "priority": $0.members[0].priority = 0
            case "newly added": $0.members[0].isNewlyAdded = true
            default: break
            }
        }
        it.hearEveryone()
        #expect(
            why != "frozen" || it.member.onFreezeCommand(RequestID(1), for: .seconds(5), now: it.now).errorCode == nil)
        if why == "no majority" {
            it.failHeartbeats(of: 1)
            it.failHeartbeats(of: 2)
        }
        #expect(it.member.standObstacle() != nil)
    }

    @Test("the only voter is elected without asking anybody")
    func alone() {
        var it = MemberFixture(1, policy: MongoDBElectionPolicy())
        let directives = it.member.onTick(now: it.now)
        #expect(directives.persistedVote == nil)
        #expect(it.member.candidacy?.phase == .persisting)
        let token = it.member.candidacy!.persisting!
        #expect(it.member.onVotePersisted(token, now: it.now).has { if case .drain = $0 { true } else { false } })
        #expect(it.member.isPrimary)
    }

    @Test("a new primary catches up with the newest member, known once every member has answered or failed")
    func catchUp() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        it.answer(1, it.report(1, at: OpTime(1, 12)))
        #expect(it.member.leadership?.catchUpTarget == nil)
        it.failHeartbeats(of: 2)
        #expect(it.member.leadership?.catchUpTarget == OpTime(1, 12))
        #expect(it.member.syncSource == 1)
        let directives = it.member.onLocalProgress(Progress(all: OpTime(1, 12)), now: it.now)
        #expect(directives.has { if case .drain(2) = $0 { true } else { false } })
    }

    @Test("catch-up ends at its timeout, and is skipped when that is zero", arguments: [0, 500] as [Int64])
    func catchUpTimeout(millis: Int64) {
        var it = MemberFixture { $0.settings.catchUpTimeoutMillis = millis }
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        #expect((it.member.leadership?.mode == .draining) == (millis == 0))
        _ = it.pass(.milliseconds(501))
        #expect(it.member.leadership?.mode == .draining)
    }

    @Test("writes are taken only after the drain, the first entry of the term and the configuration of the term")
    func order() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        it.hearEveryone()
        let drained = it.member.onDrained(term: 2, now: it.now)
        #expect(drained.has { if case .writeNoOp(.newPrimary(term: 2)) = $0 { true } else { false } })
        _ = it.member.onNoOpWritten(.newPrimary(term: 2), OpTime(2, 20), at: WallTime(milliseconds: 7), now: it.now)
        #expect(!it.member.isWritablePrimary)
        let installed = it.persist(drained)
        #expect(it.member.isWritablePrimary)
        #expect(it.member.config?.term == 2)
        #expect(installed.topologyChanged)
        #expect(installed.has { if case .startWrites(2) = $0 { true } else { false } })
    }

    @Test("a drain of an earlier term does not make a primary writable")
    func oldDrain() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        it.hearEveryone()
        #expect(it.member.onDrained(term: 1, now: it.now).ignored == [.olderTerm])
    }

    @Test("a primary that hears no majority for an election timeout steps down; a relayed position counts as hearing")
    func lostMajority() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = it.pass(.milliseconds(900))
        _ = it.position(2, Progress(all: OpTime(2, 20)))
        #expect(it.pass(.milliseconds(900)).steppedDown == nil)
        #expect(it.pass(.milliseconds(101)).steppedDown == .lostMajority)
        #expect(it.member.state == .secondary)
    }

    @Test("election ids are 7fffffff and the term, and grow with it")
    func electionIDs() {
        #expect(Member.electionID(term: 3).hexString == "7fffffff0000000000000003")
        #expect(Member.electionID(term: 0x1_0000_0000) > Member.electionID(term: 0xFFFF_FFFF))
    }
}
