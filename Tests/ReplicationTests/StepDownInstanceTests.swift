import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

@Suite struct StepDownInstanceTests {
    static func stepDown(
        _ it: inout MemberFixture, for period: Duration = .seconds(60), catchUp: Duration = .seconds(10),
        force: Bool = false
    ) -> [Directive] {
        let id = it.request()
        return it.member.onStepDownCommand(id, stepDownFor: period, catchUpFor: catchUp, force: force, now: it.now)
    }

    @Test("when the one that was to take over refuses, the next is asked; a frozen member stands for nobody")
    func refusedHandOff() {
        var it = MemberFixture(3, policy: FastElectionPolicy())
        it.becomePrimary()
        for id in 1...2 as ClosedRange<MemberID> { _ = it.position(id, it.member.progress) }
        it.hearEveryone(at: it.member.progress.applied)
        func asked(_ directives: [Directive]) -> [MemberID] {
            directives.compactMap { if case .sendStepUp(_, let id) = $0 { id } else { nil } }
        }
        let first = asked(Self.stepDown(&it))
        #expect(first.count == 1)
        let second = asked(it.member.onHandOffRefused(first[0], now: it.now))
        #expect(Set(first + second) == [1, 2])
        #expect(asked(it.member.onHandOffRefused(second[0], now: it.now)) == [])

        var frozen = MemberFixture()
        _ = frozen.member.onFreezeCommand(frozen.request(), for: .seconds(60), now: frozen.now)
        let refused = frozen.member.onStepUpCommand(frozen.request(), skipDryRun: true, now: frozen.now)
        #expect(refused.errorCode == .commandFailed && frozen.member.candidacy == nil)
        _ = frozen.member.onFreezeCommand(frozen.request(), for: .zero, now: frozen.now)
        _ = frozen.member.onStepUpCommand(frozen.request(), skipDryRun: true, now: frozen.now)
        #expect(frozen.member.candidacy != nil)
    }

    @Test("a step-down waits for a majority and an electable member among it, then hands the role on")
    func handOff() {
        var it = MemberFixture(policy: MongoDBElectionPolicy())
        it.becomePrimary()
        let directives = Self.stepDown(&it)
        #expect(!it.member.isWritablePrimary)
        #expect(it.member.isPrimary)
        #expect(directives.topologyChanged)
        let finished = it.position(1, Progress(all: OpTime(2, 20)))
        #expect(finished.steppedDown == .command)
        #expect(finished.commitPoint == OpTime(2, 20))
        #expect(finished.has { if case .sendStepUp("m1:27017", 1) = $0 { true } else { false } })
        #expect(it.member.standObstacle() == "frozen")
    }

    @Test("without anybody caught up it fails after the wait and takes writes again; with force it goes")
    func timeout() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.stepDown(&it, catchUp: .milliseconds(300))
        let directives = it.pass(.milliseconds(300))
        #expect(directives.errorCode == .exceededTimeLimit)
        #expect(it.member.isWritablePrimary)
        _ = Self.stepDown(&it, catchUp: .milliseconds(300), force: true)
        #expect(it.pass(.milliseconds(300)).steppedDown == .command)
        #expect(it.member.state == .secondary)
    }

    @Test("one attempt at a time, only of a primary, and with a period that makes sense")
    func refused() {
        var it = MemberFixture()
        #expect(Self.stepDown(&it).errorCode == .notWritablePrimary)
        it.becomePrimary()
        #expect(Self.stepDown(&it, for: .seconds(5), catchUp: .seconds(9)).errorCode == .badValue)
        _ = Self.stepDown(&it)
        #expect(Self.stepDown(&it).errorCode == .conflictingOperationInProgress)
    }

    @Test("a higher term overrides an attempt and answers its command")
    func overridden() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.stepDown(&it)
        let directives = it.requestVote(term: 8)
        #expect(directives.steppedDown == .higherTerm(8))
        #expect(directives.errorCode == .primarySteppedDown)
    }

    @Test("a configuration that makes the primary unelectable deposes it")
    func newConfig() {
        var it = MemberFixture()
        it.becomePrimary()
        var next = it.member.config!
        next.version = 5
        next.members[0].priority = 0
        it.member.store(next, for: .command)
        let token = it.member.configStore!.token
        #expect(it.member.onConfigPersisted(token, now: it.now).steppedDown == .newConfig)
    }

    @Test("a frozen member stands again when the time is up or it is thawed")
    func freeze() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.member.onFreezeCommand(RequestID(1), for: .seconds(1), now: it.now)
        #expect(it.member.standObstacle() == "frozen")
        _ = it.member.onFreezeCommand(RequestID(2), for: .zero, now: it.now)
        #expect(it.member.standObstacle() == nil)
        _ = it.member.onFreezeCommand(RequestID(3), for: .milliseconds(10), now: it.now)
        _ = it.pass(.milliseconds(10))
        #expect(it.member.standObstacle() == nil)
        it.becomePrimary()
        #expect(it.member.onFreezeCommand(RequestID(4), for: .seconds(1), now: it.now).errorCode == .notSecondary)
    }
}
