import Core
import ElectionPolicies
import Testing

@testable import Replication

@Suite struct VoteInstanceTests {
    @Test("an aye leaves a voter only when it is durable")
    func durableAye() {
        var it = MemberFixture()
        let directives = it.requestVote()
        #expect(directives.vote == nil)
        #expect(directives.persistedVote == LastVote(term: 2, candidateID: 1))
        #expect(it.persist(directives).vote?.isGranted == true)
    }

    @Test("a voter gives one vote a term, also to the same candidate")
    func oneVote() {
        var it = MemberFixture()
        _ = it.persist(it.requestVote(1))
        #expect(it.requestVote(2).vote?.isGranted == false)
        #expect(it.requestVote(2, term: 3).persistedVote == LastVote(term: 3, candidateID: 2))
    }

    @Test("a vote of before a restart still counts")
    func voteOfEarlierRun() {
        var it = MemberFixture(lastVote: LastVote(term: 5, candidateID: 2))
        #expect(it.member.term == 5)
        #expect(it.requestVote(1, term: 5).vote?.isGranted == false)
        #expect(it.requestVote(1, term: 6).persistedVote?.term == 6)
    }

    @Test("a voter refuses a candidate whose log is behind")
    func staleLog() {
        var it = MemberFixture(last: OpTime(1, 10))
        #expect(it.requestVote(last: OpTime(1, 9)).vote?.isGranted == false)
        #expect(it.requestVote(term: 3, last: OpTime(1, 10)).persistedVote != nil)
        var newer = MemberFixture(last: OpTime(1, 10))
        #expect(newer.requestVote(last: OpTime(2, 1)).persistedVote != nil)
    }

    @Test("a voter refuses an older configuration and takes an equal or newer one")
    func configs() {
        var it = MemberFixture()
        #expect(it.requestVote(config: ConfigVersion(version: 1, term: 0)).vote?.isGranted == false)
        #expect(it.requestVote(term: 3, config: ConfigVersion(version: 1, term: 2)).persistedVote != nil)
    }

    @Test("a voter refuses an older term and a real election of its configuration's term")
    func terms() {
        var it = MemberFixture(lastVote: LastVote(term: 4, candidateID: 0))
        #expect(it.requestVote(term: 3).vote?.isGranted == false)
        var fresh = MemberFixture()
        #expect(fresh.requestVote(term: 1).vote?.isGranted == false)
    }

    @Test("a voter refuses a stranger, a wrong set and a member without a configuration")
    func strangers() {
        var it = MemberFixture()
        #expect(it.requestVote(9).vote?.isGranted == false)
        var other = VoteRequest(
            setName: "other", isDryRun: false, term: 2, candidateID: 1, incarnation: MemberFixture.incarnation(1),
            config: it.member.config!.configVersion, lastWritten: OpTime(1, 10), reason: .electionTimeout)
        #expect(it.member.onVoteRequest(other, RequestID(1), now: it.now).errorCode == .inconsistentReplicaSetNames)
        other.setName = "rs"
        var empty = Member(
            MemberStart(setName: "rs", ownHosts: ["m0:27017"], incarnation: MemberFixture.incarnation(0), seed: 1),
            policy: MongoDBElectionPolicy())
        _ = empty.onStart(now: it.now)
        #expect(empty.onFreezeCommand(RequestID(1), for: .zero, now: it.now).errorCode == .notYetInitialized)
        #expect(empty.onVoteRequest(other, RequestID(1), now: it.now).errorCode == .notYetInitialized)
    }

    @Test("a dry run changes neither vote nor disk, but a higher term is learned")
    func dryRun() {
        var it = MemberFixture()
        let directives = it.requestVote(term: 1, dryRun: true)
        #expect(directives.vote?.isGranted == true)
        #expect(directives.persistedVote == nil)
        #expect(it.member.lastVote == nil)
        _ = it.requestVote(term: 4, dryRun: true)
        #expect(it.member.term == 4)
    }

    @Test("an arbiter refuses to replace a healthy primary of the same priority")
    func arbiter() {
        func ask(priority: Double) -> [Directive] {
            var it = MemberFixture(3, last: .null) {
                $0.members[0].isArbiter = true
                $0.members[0].priority = 0
                $0.members[2].priority = priority
            }
            it.answer(1, it.report(1, state: .primary, term: 1))
            return it.requestVote(2, term: 1, dryRun: true)
        }
        #expect(ask(priority: 1).vote?.isGranted == false)
        #expect(ask(priority: 2).vote?.isGranted == true)
    }

    @Test("a member that forgot its votes does not vote, and a founding one does")
    func incarnations() {
        var forgot = MemberFixture(last: .null) {
            $0.members[0].incarnation = Incarnation(startedAt: WallTime(milliseconds: 1), nonce: 99)
        }
        #expect(forgot.requestVote().vote?.isGranted == false)
        var founding = MemberFixture(last: .null) { $0.members[0].incarnation = MemberFixture.incarnation(0) }
        #expect(founding.member.state == .startup2)
        #expect(founding.requestVote().persistedVote != nil)
        var newcomer = MemberFixture(last: .null) { $0.members[0].isNewlyAdded = true }
        #expect(newcomer.requestVote().vote?.isGranted == false)
    }

    @Test("a request of a candidate's earlier life is dropped, one of another life than the configuration's refused")
    func candidateIncarnations() {
        var it = MemberFixture { $0.members[1].incarnation = MemberFixture.incarnation(1) }
        let later = Incarnation(startedAt: WallTime(milliseconds: 9000), nonce: 3)
        #expect(it.requestVote(incarnation: later).vote?.isGranted == false)
        let directives = it.requestVote()
        #expect(directives.vote?.isGranted == false)
        #expect(directives.ignored == [.olderIncarnation])
    }

    @Test("an absurd term is ignored, so that terms do not run out")
    func absurdTerm() {
        var it = MemberFixture()
        _ = it.requestVote(term: .max)
        #expect(it.member.term == 1)
        #expect(it.member.lastVote == nil)
    }
}
