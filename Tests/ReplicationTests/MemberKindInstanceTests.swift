import BSON
import Core
import Testing

@testable import Replication

/// Arbiters, delayed members, members that are left out and taken back, maintenance.
@Suite struct MemberKindInstanceTests {
    private static func ownMember(_ change: @escaping (inout MemberConfig) -> Void) -> MemberFixture {
        MemberFixture { change(&$0.members[0]) }
    }

    @Test("an arbiter shows ARBITER, asks nobody for data and does not stand")
    func arbiter() {
        var fixture = Self.ownMember {
            $0.isArbiter = true
            $0.priority = 0
        }
        #expect(fixture.member.state == .arbiter)
        fixture.hearEveryone()
        fixture.answer(1, fixture.report(1, state: .primary, at: OpTime(1, 50)))
        #expect(fixture.member.syncSource == nil)
        #expect(fixture.stand().errorCode == .commandFailed)
    }

    @Test("a member that is left out shows REMOVED, stops syncing, and takes part again when it is taken back")
    func removed() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        fixture.answer(1, fixture.report(1, state: .primary, at: OpTime(1, 50)))
        #expect(fixture.member.syncSource == 1)
        var without = MemberFixture.config(3)
        without.members.removeFirst()
        without.version = 2
        #expect(install(without, in: &fixture).syncSource == .some(nil))
        #expect(fixture.member.state == .removed)
        #expect(fixture.member.initialSyncSource(now: fixture.now) == nil)
        #expect(fixture.stand().errorCode == .commandFailed)
        var again = MemberFixture.config(3)
        again.version = 3
        _ = install(again, in: &fixture)
        #expect(fixture.member.state == .secondary)
    }

    @Test("a data member that is taken back as an arbiter is one, and the other way round starts an initial sync")
    func changedKind() {
        var fixture = MemberFixture(3, last: .null) { $0.members[0].isArbiter = true }
        #expect(fixture.member.state == .arbiter)
        var next = MemberFixture.config(3)
        next.version = 2
        let directives = install(next, in: &fixture)
        #expect(fixture.member.state == .startup2)
        #expect(directives.has { if case .startInitialSync = $0 { true } else { false } })
        next.version = 3
        next.members[0].isArbiter = true
        _ = install(next, in: &fixture)
        #expect(fixture.member.state == .arbiter)
    }

    private func install(_ config: ReplicaSetConfig, in fixture: inout MemberFixture) -> [Directive] {
        fixture.member.considerConfig(config, now: fixture.now)
        return fixture.persist(fixture.member.settle(fixture.now))
    }

    @Test("maintenance shows RECOVERING and keeps from standing until it was switched off as often as on")
    func maintenance() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        func switchTo(_ isOn: Bool) -> [Directive] {
            let id = fixture.request()
            return fixture.member.onMaintenanceCommand(id, isOn: isOn, now: fixture.now)
        }
        #expect(switchTo(false).errorCode == .operationFailed)
        #expect(switchTo(true).errorCode == nil)
        #expect(switchTo(true).errorCode == nil)
        #expect(fixture.member.state == .recovering)
        #expect(fixture.stand().errorCode == .commandFailed)
        _ = switchTo(false)
        #expect(fixture.member.state == .recovering)
        _ = switchTo(false)
        #expect(fixture.member.state == .secondary)
        fixture.becomePrimary()
        #expect(switchTo(true).errorCode == .notSecondary)
        #expect(fixture.member.isWritablePrimary)
    }

    @Test("maintenance ends a candidacy")
    func maintenanceWhileStanding() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        _ = fixture.stand(skipDryRun: false)
        #expect(fixture.member.candidacy != nil)
        let id = fixture.request()
        _ = fixture.member.onMaintenanceCommand(id, isOn: true, now: fixture.now)
        #expect(fixture.member.candidacy == nil)
    }

    @Test("data goes to members of the configuration in their present life only")
    func strangers() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        let now = MemberFixture.incarnation(1)
        let earlier = Incarnation(startedAt: WallTime(milliseconds: 1), nonce: 9)
        #expect(fixture.member.obstacle(toFollower: 1, now) == nil)
        #expect(fixture.member.obstacle(toFollower: 1, earlier)?.contains("earlier life") == true)
        #expect(fixture.member.obstacle(toFollower: 7, now)?.contains("not in the configuration") == true)
        #expect(fixture.member.obstacle(toFollower: 0, now)?.contains("itself") == true)
    }

    @Test("with an arbiter, the only other member that came back empty is made newly added without its own help")
    func forgetfulMemberWithArbiter() {
        var fixture = MemberFixture(3) {
            $0.members[2].isArbiter = true
            $0.members[2].priority = 0
            for index in 0..<3 { $0.members[index].incarnation = MemberFixture.incarnation(MemberID(index)) }
        }
        fixture.becomePrimary()
        let reborn = Incarnation(startedAt: WallTime(milliseconds: 9000), nonce: 77)
        fixture.answer(2, fixture.report(2, state: .arbiter))
        var directives = fixture.answer(1, fixture.report(1, state: .startup2, at: .null, incarnation: reborn))
        let next = directives.compactMap { if case .persistConfig(let config, _) = $0 { config } else { nil } }.first
        #expect(next?.members[1].isNewlyAdded == true)
        directives = fixture.persist(directives)
        // The arbiter takes it; the entry of the term is then committed by the primary alone.
        fixture.answer(2, fixture.report(2, state: .arbiter))
        #expect(fixture.member.configIsCommitted)
        #expect(fixture.member.commitPoint == OpTime(fixture.member.term, 20))
    }
}

/// Next to arbiters a majority of voters may elect without the members that made a majority for writes.
@Suite struct ArbiterReadmissionTests {
    /// A primary whose only other data member was set back and has got as far as the no-op, (2, 21).
    private func waiting() -> (MemberFixture, Incarnation) {
        let reborn = Incarnation(startedAt: WallTime(milliseconds: 9000), nonce: 77)
        var it = MemberFixture(3) {
            $0.members[2].isArbiter = true
            $0.members[2].priority = 0
            for index in 0..<3 { $0.members[index].incarnation = MemberFixture.incarnation(MemberID(index)) }
        }
        it.becomePrimary()
        it.answer(2, it.report(2, state: .arbiter))
        _ = it.persist(it.answer(1, it.report(1, state: .startup2, at: .null, incarnation: reborn)))
        it.answer(2, it.report(2, state: .arbiter))
        _ = it.member.onNoOpWritten(.readmission(1), OpTime(2, 21), at: WallTime(milliseconds: 7), now: it.now)
        _ = it.member.onLocalProgress(Progress(all: OpTime(2, 21)), now: it.now)
        #expect(it.member.config?.members[1].isNewlyAdded == true)
        #expect(it.member.commitPoint == OpTime(2, 21))
        return (it, reborn)
    }

    @Test("a member gets its vote back only when it has all that was committed without it")
    func waitsForCommitted() {
        var (it, reborn) = waiting()
        _ = it.member.onLocalProgress(Progress(all: OpTime(2, 30)), now: it.now)
        #expect(it.member.commitPoint == OpTime(2, 30))
        _ = it.persist(it.answer(1, it.report(1, at: OpTime(2, 25), incarnation: reborn)))
        #expect(it.member.config?.members[1].isNewlyAdded == true)
        _ = it.persist(it.answer(1, it.report(1, at: OpTime(2, 30), incarnation: reborn)))
        #expect(it.member.config?.members[1].isNewlyAdded == false)
    }

    @Test("while the configuration that gives a vote back is stored, entries commit only where both agree")
    func commitsByBoth() {
        var (it, reborn) = waiting()
        let directives = it.answer(1, it.report(1, at: OpTime(2, 21), incarnation: reborn))
        #expect(directives.has { if case .persistConfig = $0 { true } else { false } })
        _ = it.member.onLocalProgress(Progress(all: OpTime(2, 40)), now: it.now)
        #expect(it.member.commitPoint == OpTime(2, 21))
        _ = it.persist(directives)
        #expect(it.member.config?.members[1].isNewlyAdded == false)
        #expect(it.member.commitPoint == OpTime(2, 21))
        _ = it.position(1, Progress(all: OpTime(2, 40)), incarnation: reborn)
        #expect(it.member.commitPoint == OpTime(2, 40))
    }
}

/// Default write concerns: who set them, and what excludes what.
@Suite struct DefaultConcernInstanceTests {
    @Test("the implicit default is the majority, or 1 where arbiters could keep a majority from acknowledging")
    func implicit() {
        #expect(MemberFixture().member.defaultWriteConcern.w == .majority)
        let withArbiter = MemberFixture(3) { $0.members[2].isArbiter = true }
        #expect(withArbiter.member.defaultWriteConcern.w == .number(1))
        #expect(withArbiter.member.defaultWriteConcern.provenance == .implicitDefault)
        let five = MemberFixture(5) { $0.members[4].isArbiter = true }
        #expect(five.member.defaultWriteConcern.w == .majority)
    }

    @Test("a default of the set is customDefault, one of the configuration getLastErrorDefaults")
    func provenance() {
        var fixture = MemberFixture()
        _ = fixture.member.onDefaultWriteConcern(WriteConcern(w: .number(2)), now: fixture.now)
        #expect(fixture.member.defaultWriteConcern.w == .number(2))
        #expect(fixture.member.defaultWriteConcern.provenance == .customDefault)
        let configured = MemberFixture { $0.settings.writeConcernDefault = WriteConcern(w: .number(3)) }
        #expect(configured.member.defaultWriteConcern.w == .number(3))
        #expect(configured.member.defaultWriteConcern.provenance == .getLastErrorDefaults)
    }

    @Test("a default that nobody could meet, or that asks for no answer, is refused")
    func obstacles() {
        let member = MemberFixture().member
        #expect(member.obstacle(toDefault: WriteConcern(w: .number(0)))?.code == .badValue)
        #expect(member.obstacle(toDefault: WriteConcern(w: .number(4)))?.code == .unsatisfiableWriteConcern)
        #expect(member.obstacle(toDefault: WriteConcern(w: .mode("nowhere")))?.code == .unknownReplWriteConcern)
        #expect(member.obstacle(toDefault: .majority) == nil)
        let configured = MemberFixture { $0.settings.writeConcernDefault = WriteConcern(w: .number(3)) }.member
        #expect(configured.obstacle(toDefault: .majority)?.code == .illegalOperation)
    }

    @Test("a reconfiguration may not flip the implicit default, unless a default was set")
    func flippingReconfiguration() {
        func adding(_ concern: WriteConcern?) -> ErrorCode? {
            var fixture = MemberFixture()
            fixture.becomePrimary()
            if let concern { _ = fixture.member.onDefaultWriteConcern(concern, now: fixture.now) }
            var next = fixture.member.config!
            next.version += 1
            next.members.append(MemberConfig(id: 3, host: "m3:27017"))
            next.members[3].isArbiter = true
            next.members[3].priority = 0
            return fixture.reconfigure(next).errorCode
        }
        #expect(adding(nil) == .newReplicaSetConfigurationIncompatible)
        #expect(adding(.acknowledged) == nil)
    }

    @Test("getLastErrorDefaults and a default of the set exclude one another")
    func exclusion() {
        var fixture = MemberFixture()
        fixture.becomePrimary()
        _ = fixture.member.onDefaultWriteConcern(.majority, now: fixture.now)
        var next = fixture.member.config!
        next.version += 1
        next.settings.writeConcernDefault = WriteConcern(w: .number(2))
        let id = fixture.request()
        let directives = fixture.member.onReconfigCommand(id, next, force: false, deadline: nil, now: fixture.now)
        #expect(directives.errorCode == .newReplicaSetConfigurationIncompatible)
    }
}
