import BSON
import Core
import Testing

@testable import Replication

/// Who is up.
@Suite struct HeartbeatInstanceTests {
    @Test("a member that takes connections and answers nothing is down after the retries")
    func hungMember() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        #expect(fixture.member.peers[1].isUp)
        fixture.now = fixture.member.peers[1].nextHeartbeat
        _ = fixture.member.onTick(now: fixture.now)
        var failures = 0
        while fixture.member.peers[1].isUp, failures < 10 {
            // As the shell tells it: the silent connection is dropped, then the question fails, then the next connects.
            let exchange = fixture.member.peers[1].exchange!
            fixture.now = fixture.now + .seconds(1)
            _ = fixture.member.onConnectionLost(1, now: fixture.now)
            _ = fixture.member.onHeartbeatFailure(
                exchange, ServerError(.networkTimeout, "timed out"), now: fixture.now)
            _ = fixture.member.onConnectionOpened(1, now: fixture.now)
            failures += 1
        }
        #expect(failures == 1 + Limits.heartbeatRetriesMax)
        #expect(fixture.member.peers[1].state == .down)
    }

    @Test("a connection that breaks while nothing is asked is looked into at once")
    func idleConnectionLost() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        let directives = fixture.member.onConnectionLost(2, now: fixture.now)
        #expect(directives.has { if case .sendHeartbeat(let host, _, _, _) = $0 { host == "m2:27017" } else { false } })
    }
}

/// Two sets of one name are told apart by `settings.replicaSetId`.
struct StrangerTests {
    private static let ours = ObjectID(high: 1, low: 1)
    private static let theirs = ObjectID(high: 2, low: 2)

    private static func fixture() -> MemberFixture { MemberFixture { $0.settings.replicaSetID = ours } }

    private static func foreignConfig() -> ReplicaSetConfig {
        MemberFixture.config(3) {
            $0.settings.replicaSetID = theirs
            $0.term = 9
            $0.version = 9
        }
    }

    @Test("a heartbeat of another set is refused and moves nothing")
    func heartbeat() {
        var it = Self.fixture()
        let term = it.member.term
        var report = it.report(1)
        report.setID = Self.theirs
        report.term = 9
        let request = HeartbeatRequest(setName: "rs", from: "m1:27017", fromID: 1, report: report)
        let directives = it.member.onHeartbeatRequest(request, it.request(), now: it.now)
        #expect(directives.errorCode == .invalidReplicaSetConfig)
        #expect(it.member.term == term)
    }

    @Test("an answer of another set marks its sender down, and its configuration is not taken")
    func answer() {
        var it = Self.fixture()
        it.hearEveryone()
        let term = it.member.term
        var report = it.report(1)
        report.setID = Self.theirs
        report.term = 9
        _ = it.pass(.milliseconds(200))
        let exchange = it.member.peers[1].exchange
        _ = it.member.onHeartbeatResponse(
            exchange ?? Exchange(0),
            HeartbeatResponse(setName: "rs", report: report, config: Self.foreignConfig()), now: it.now)
        #expect(exchange != nil && !it.member.peers[1].isUp)
        #expect(it.member.term == term && it.member.config?.settings.replicaSetID == Self.ours)
    }

    @Test("a candidate of another set gets no vote")
    func vote() {
        var it = Self.fixture()
        let request = VoteRequest(
            setName: "rs", setID: Self.theirs, isDryRun: false, term: 9, candidateID: 1,
            incarnation: MemberFixture.incarnation(1), config: ConfigVersion(version: 9, term: 9),
            lastWritten: OpTime(9, 99), reason: .electionTimeout)
        #expect(it.member.onVoteRequest(request, it.request(), now: it.now).errorCode == .invalidReplicaSetConfig)
        #expect(it.member.term < 9 && it.member.lastVote == nil)
    }

    @Test("one that is initiating a set itself lets no other initiate it")
    func concurrentInitiate() {
        var it = MemberFixture(isInitiated: false, last: .null)
        _ = it.member.onInitiateCommand(it.request(), MemberFixture.config(2) { $0.term = -1 }, now: it.now)
        let check = HeartbeatRequest(
            setName: "rs", from: "m1:27017", fromID: nil, report: it.report(1), purpose: .quorumCheck)
        let directives = it.member.onHeartbeatRequest(check, it.request(), now: it.now)
        #expect(directives.errorCode == .configurationInProgress)
    }
}
