import BSON
import Core
import Testing

@testable import Replication

@Suite struct SyncSourceInstanceTests {
    @Test("with no pings yet the primary is the sync source, also when it is not ahead")
    func primaryFirst() {
        var it = MemberFixture()
        #expect(it.answer(1, it.report(1, at: OpTime(1, 50))).syncSource == nil)
        #expect(it.answer(2, it.report(2, state: .primary, at: OpTime(1, 10))).syncSource == .some(2))
    }

    /// Enough answers of 1 and 2 that pings count; member 1 is the closer one.
    static func measured(_ change: (inout ReplicaSetConfig) -> Void = { _ in }) -> MemberFixture {
        var it = MemberFixture(3, last: OpTime(1, 10), change)
        for id in [1, 2, 1, 2, 1, 2, 1, 2] as [MemberID] {
            let index = Int(id)
            if it.member.peers[index].exchange == nil { _ = it.pass(.milliseconds(200)) }
            let sent = it.member.peers[index].sentAt
            it.now = max(it.now, sent + .milliseconds(id == 1 ? 1 : 20))
            it.answer(id, it.report(id, at: OpTime(1, 10)))
        }
        return it
    }

    @Test("of the members that are ahead the closest is chosen")
    func closest() {
        var it = Self.measured()
        it.answer(2, it.report(2, state: .primary, at: OpTime(1, 10)))
        _ = it.member.onSyncSourceFailed(2, deniedFor: .zero, now: it.now)
        it.member.setSyncSource(nil)
        it.member.peers[1].reported = OpTime(1, 30)
        it.member.peers[2].reported = OpTime(1, 30)
        _ = it.member.onTick(now: it.now)
        #expect(it.member.syncSource == 1)
    }

    @Test("without chaining only the primary is a source")
    func noChaining() {
        var it = Self.measured { $0.settings.chainingAllowed = false }
        it.answer(1, it.report(1, at: OpTime(1, 30)))
        #expect(it.member.syncSource == nil)
        it.answer(2, it.report(2, state: .primary, at: OpTime(1, 30)))
        #expect(it.member.syncSource == 2)
    }

    @Test(
        "a member is no source when it is down, hidden from, behind, denied or in its initial sync",
        arguments: ["down", "hidden", "behind", "denied", "startup2"])
    func ineligible(why: String) {
        var it = Self.measured {
            if why == "hidden" {
                $0.members[1].isHidden = true
                $0.members[1].priority = 0
            }
        }
        if why == "denied" { it.member.peers[1].deniedUntil = it.now + .seconds(9) }
        if why == "down" { it.failHeartbeats(of: 1) }
        it.member.peers[1].reported = why == "behind" ? OpTime(1, 9) : OpTime(1, 30)
        if why == "startup2" { it.member.peers[1].state = .startup2 }
        _ = it.member.onTick(now: it.now)
        // Hidden is second choice: taken only when there is no better.
        #expect(it.member.syncSource == (why == "hidden" ? 1 : nil))
        it.member.setSyncSource(nil)
        it.member.peers[2].reported = OpTime(1, 30)
        _ = it.member.onTick(now: it.now)
        #expect(it.member.syncSource == 2)
    }

    @Test("a source that is not primary, follows nobody and is not ahead is left")
    func idleSource() {
        var it = Self.measured()
        it.member.peers[1].reported = OpTime(1, 30)
        _ = it.member.onTick(now: it.now)
        #expect(it.member.syncSource == 1)
        _ = it.member.onLocalProgress(Progress(all: OpTime(1, 30)), now: it.now)
        let metadata = ReplicationMetadata(
            term: 1, commitPoint: .null, applied: OpTime(1, 30), config: it.member.config!.configVersion,
            primaryID: nil,
            syncSourceID: nil, isPrimary: false, rollbackID: 1)
        #expect(it.member.onBatchFetched(from: 1, metadata, now: it.now).syncSource == .some(nil))
    }

    @Test("replSetSyncFrom is obeyed once and refuses what cannot be")
    func forced() {
        var it = Self.measured()
        let refuse = { (it: inout MemberFixture, host: String) in
            it.member.onSyncFromCommand(RequestID(1), host: host, now: it.now).errorCode
        }
        #expect(refuse(&it, "m9:27017") == .nodeNotFound)
        #expect(refuse(&it, "m0:27017") == .invalidOptions)
        #expect(it.member.onSyncFromCommand(RequestID(1), host: "m2:27017", now: it.now).syncSource == .some(2))
    }

    @Test("a member that is further delayed than we are is a source only when there is no other", arguments: [0, 10])
    func delayedSource(ownDelay: Int64) {
        func choose(otherIsUp: Bool) -> MemberID? {
            var it = Self.measured {
                $0.members[0].secondaryDelaySeconds = ownDelay
                $0.members[1].secondaryDelaySeconds = 10
            }
            it.member.setSyncSource(nil)
            it.member.peers[1].reported = OpTime(1, 30)
            it.member.peers[2].reported = OpTime(1, 30)
            it.member.peers[2].isUp = otherIsUp
            _ = it.member.onTick(now: it.now)
            return it.member.syncSource
        }
        // The delayed one is the closer one: who is as late itself may take it.
        #expect(choose(otherIsUp: true) == (ownDelay == 0 ? 2 : 1))
        #expect(choose(otherIsUp: false) == 1)
    }
}
