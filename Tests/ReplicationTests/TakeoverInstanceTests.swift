import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// When a member replaces a primary that is not the best one, and how a primary that is behind is helped along.
@Suite struct TakeoverInstanceTests {
    /// Member 0 hears member 1 as primary of term 2; the other members are secondaries at `others`.
    private static func following(
        primaryAt optime: OpTime, own: OpTime = OpTime(1, 10), others: OpTime = OpTime(1, 10),
        _ change: @escaping (inout ReplicaSetConfig) -> Void
    ) -> MemberFixture {
        var it = MemberFixture(3, last: own, policy: MongoDBElectionPolicy(), change)
        it.answer(2, it.report(2, term: 2, at: others))
        it.answer(1, it.report(1, state: .primary, term: 2, at: optime))
        it.answer(1, it.report(1, state: .primary, term: 2, at: optime))
        return it
    }

    /// Lets the others go on as they are until the member stands or `span` has passed; returns how long that took.
    private static func untilItStands(_ it: inout MemberFixture, primaryAt optime: OpTime, _ span: Duration)
        -> Duration?
    {
        let start = it.now
        while it.now - start < span {
            it.now = it.now + .milliseconds(100)
            _ = it.member.onTick(now: it.now)
            if it.member.candidacy != nil { return it.now - start }
            for id in [1, 2] as [MemberID] where it.member.peers[Int(id)].exchange != nil {
                let isPrimary = id == 1
                it.answer(
                    id,
                    it.report(
                        id, state: isPrimary ? .primary : .secondary, term: 2, at: isPrimary ? optime : OpTime(1, 10)))
            }
        }
        return nil
    }

    @Test("a member of higher priority takes over after one election timeout, one of two ranks after two")
    func byPriority() throws {
        var first = Self.following(primaryAt: OpTime(1, 10)) { $0.members[0].priority = 5 }
        let soon = try #require(Self.untilItStands(&first, primaryAt: OpTime(1, 10), .seconds(10)))
        #expect(soon >= .milliseconds(800) && soon <= .milliseconds(1200))
        #expect(first.member.candidacy?.reason == .priorityTakeover)
        var second = Self.following(primaryAt: OpTime(1, 10)) {
            $0.members[0].priority = 5
            $0.members[2].priority = 9
        }
        let later = try #require(Self.untilItStands(&second, primaryAt: OpTime(1, 10), .seconds(10)))
        #expect(later >= .milliseconds(1800) && later <= .milliseconds(2200))
    }

    @Test("a member that is far behind does not take over by priority")
    func stale() {
        let ahead = OpTime(term: 2, timestamp: Timestamp(seconds: 200, increment: 1))
        var it = Self.following(primaryAt: ahead) { $0.members[0].priority = 5 }
        #expect(Self.untilItStands(&it, primaryAt: ahead, .seconds(5)) == nil)
    }

    @Test("a member that has more than a primary which has written nothing takes over after the delay")
    func byCatchUp() throws {
        var it = Self.following(primaryAt: OpTime(1, 5)) { $0.settings.catchUpTakeoverDelayMillis = 3000 }
        let waited = try #require(Self.untilItStands(&it, primaryAt: OpTime(1, 5), .seconds(10)))
        #expect(waited >= .milliseconds(2800) && waited <= .milliseconds(3200))
        #expect(it.member.candidacy?.reason == .catchUpTakeover)
    }

    @Test("without a delay there is no catch-up takeover, nor once the primary has written in its term")
    func noCatchUpTakeover() {
        var off = Self.following(primaryAt: OpTime(1, 5)) { $0.settings.catchUpTakeoverDelayMillis = -1 }
        #expect(Self.untilItStands(&off, primaryAt: OpTime(1, 5), .seconds(40)) == nil)
        var written = Self.following(primaryAt: OpTime(2, 1)) { $0.settings.catchUpTakeoverDelayMillis = 1000 }
        #expect(Self.untilItStands(&written, primaryAt: OpTime(2, 1), .seconds(5)) == nil)
    }

    @Test("catch-up is given up on command, and only while it is under way")
    func abortCatchUp() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        it.answer(1, it.report(1, at: OpTime(1, 12)))
        it.failHeartbeats(of: 2)
        #expect(it.member.leadership?.mode == .catchingUp)
        var id = it.request()
        let directives = it.member.onAbortCatchUpCommand(id, now: it.now)
        #expect(directives.errorCode == nil)
        #expect(directives.has { if case .drain(2) = $0 { true } else { false } })
        id = it.request()
        #expect(it.member.onAbortCatchUpCommand(id, now: it.now).errorCode == .illegalOperation)
    }
}
