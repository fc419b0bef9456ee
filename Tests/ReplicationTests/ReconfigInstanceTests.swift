import BSON
import Core
import Testing

@testable import Replication

@Suite struct ReconfigInstanceTests {
    @Test("a forced configuration waits on a follower for one that is being stored, and is then installed")
    func forcedBehindAnother() throws {
        var it = MemberFixture()
        var theirs = try #require(it.member.config)
        theirs.version = 5
        it.member.store(theirs, for: .heartbeat)
        _ = it.member.onTick(now: it.now)
        let first = try #require(it.member.configStore?.token)
        var forced = theirs
        forced.members.removeLast()
        let id = it.request()
        let nothing = it.member.onReconfigCommand(id, forced, force: true, deadline: nil, now: it.now)
        #expect(!nothing.has { if case .persistConfig = $0 { true } else { false } })
        let stored = it.member.onConfigPersisted(first, now: it.now)
        #expect(stored.has { if case .persistConfig = $0 { true } else { false } })
        // What is on its way to the disk has no deadline that time could stand still at.
        it.now = it.now + Limits.reconfigWaitMax + .seconds(1)
        _ = it.member.onTick(now: it.now)
        #expect(it.member.nextWakeUp(now: it.now) > it.now)
        let second = try #require(it.member.configStore?.token)
        let done = it.member.onConfigPersisted(second, now: it.now)
        #expect(done.has { if case .complete(id, nil) = $0 { true } else { false } })
        #expect(it.member.config?.members.count == 2)
    }

    @Test("a reconfiguration that was being stored when its primary stepped down is not acknowledged")
    func deposedWhileStoring() throws {
        var it = MemberFixture()
        it.becomePrimary()
        for id in 1...2 as ClosedRange<MemberID> {
            _ = it.position(id, it.member.progress)
            it.answer(id, it.report(id, at: it.member.progress.applied))
        }
        var next = try #require(it.member.config)
        next.version += 1
        next.members[1].priority = 2
        let id = it.request()
        _ = it.member.onReconfigCommand(id, next, force: false, deadline: nil, now: it.now)
        let token = try #require(it.member.configStore?.token)
        _ = it.requestVote(term: 9)
        #expect(!it.member.isPrimary)
        #expect(it.member.onConfigPersisted(token, now: it.now).errorCode == .primarySteppedDown)
    }

    @Test("a voter that can never be primary forces a configuration in which somebody else can")
    func forcedByPassiveVoter() throws {
        var it = MemberFixture(2) { $0.members[0].priority = 0 }
        var forced = try #require(it.member.config)
        forced.members[1] = MemberConfig(id: 2, host: "m2:27017")
        _ = it.reconfigure(forced, force: true)
        let stored = try #require(it.member.configStore?.config)
        #expect(stored.members.map(\.isNewlyAdded) == [false, false])
        #expect(stored.members[0].incarnation == MemberFixture.incarnation(0))
    }

    @Test("a version that a user read before the set took a member in is as good as the one after")
    func versionOfTheUser() throws {
        var old = MemberFixture.config(3)
        old.version = 5
        old.userVersion = 4
        var next = old
        next.userVersion = nil
        next.members[1].priority = 3
        next.version = 5
        let fitted = try next.following(old, force: false)
        #expect(fitted.version == 6 && fitted.userVersion == nil)
        next.version = 4
        #expect(throws: ServerError.self) { try next.following(old, force: false) }
        let stored = Document { old.encode(to: $0, internalFields: true) }
        #expect(try stored.withView { try ReplicaSetConfig(storedDocument: $0) } == old)
        #expect(Document { old.encode(to: $0) }["userVersion"] == nil)
    }

    @Test("a default write concern that no write could meet is refused, in a first configuration too")
    func hopelessDefault() throws {
        var it = MemberFixture()
        it.becomePrimary()
        var next = try #require(it.member.config)
        next.version = 2
        next.settings.writeConcernDefault = WriteConcern(w: .number(5))
        let id = it.request()
        let directives = it.member.onReconfigCommand(id, next, force: false, deadline: nil, now: it.now)
        #expect(directives.errorCode == .invalidReplicaSetConfig)
        var empty = MemberFixture(isInitiated: false, last: .null)
        next.version = 1
        #expect(
            empty.member.onInitiateCommand(empty.request(), next, now: empty.now).errorCode == .invalidReplicaSetConfig)
    }
}
