import BSON
import Core
import Testing

@testable import Replication

@Suite struct ProgressInstanceTests {
    @Test("the commit point algorithm agrees with a plain count on random positions")
    func fastAgainstDumb() {
        var random = SplitMix64(seed: 42)
        for _ in 0..<20_000 {
            let count = random.below(8)
            let majority = 1 + random.below(7)
            let values = (0..<count).map { _ in
                random.chance(20) ? OpTime.null : OpTime(Int64(random.below(3)), UInt32(random.below(4)))
            }
            var positions = [7 of OpTime](repeating: .null)
            for (index, value) in values.enumerated() { positions[index] = value }
            let dumb = values.filter { candidate in values.filter { $0 >= candidate }.count >= majority }.max() ?? .null
            #expect(CommitPoint.reached(&positions, count: count, majority: majority) == dumb)
        }
    }

    @Test("a majority of the voters, durably, moves the commit point")
    func commits() {
        var it = MemberFixture(5)
        it.becomePrimary()
        #expect(it.position(1, Progress(all: OpTime(2, 20))).commitPoint == nil)
        let written = Progress(written: OpTime(2, 20), applied: OpTime(2, 20), durable: OpTime(1, 10))
        #expect(it.position(2, written).commitPoint == nil)
        #expect(it.position(2, Progress(all: OpTime(2, 20))).commitPoint == OpTime(2, 20))
    }

    @Test("what is only written is not committed, also with writeConcernMajorityJournalDefault off")
    func writtenIsNotCommitted() {
        var it = MemberFixture { $0.writeConcernMajorityJournalDefault = false }
        it.becomePrimary()
        let written = Progress(written: OpTime(2, 20), applied: OpTime(2, 20), durable: OpTime(1, 10))
        #expect(it.position(1, written).commitPoint == nil)
        #expect(it.position(1, Progress(all: OpTime(2, 20))).commitPoint == OpTime(2, 20))
    }

    @Test("an entry of an earlier term is not committed by counting (Raft §5.4.2)")
    func ownTermOnly() {
        var it = MemberFixture(3, last: OpTime(1, 15))
        it.becomePrimary()
        #expect(it.position(1, Progress(all: OpTime(1, 15))).commitPoint == nil)
        #expect(it.member.commitPoint == .null)
    }

    @Test("an acknowledgement that comes with a higher term deposes and commits nothing")
    func higherTerm() {
        var it = MemberFixture()
        it.becomePrimary()
        let directives = it.position(1, Progress(all: OpTime(2, 20)), term: 3)
        #expect(directives.steppedDown == .higherTerm(3))
        #expect(directives.commitPoint == nil)
    }

    @Test("positions move forward only, and those of an earlier life are dropped")
    func forwardOnly() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        _ = it.position(1, Progress(all: OpTime(2, 12)))
        #expect(it.member.peers[1].progress.applied == OpTime(2, 20))
        let earlier = Incarnation(startedAt: WallTime(milliseconds: 1), nonce: 5)
        #expect(it.position(1, Progress(all: OpTime(2, 30)), incarnation: earlier).ignored == [.olderIncarnation])
        #expect(it.member.peers[1].progress.applied == OpTime(2, 20))
    }

    @Test("a member that was started again counts for what it says now; what it said before is dropped")
    func earlierRun() {
        var it = MemberFixture(5)
        it.becomePrimary()
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        it.answer(1, it.report(1, at: OpTime(1, 10), startCount: 2))
        #expect(it.member.peers[1].progress.durable == OpTime(1, 10))
        #expect(it.position(1, Progress(all: OpTime(2, 20))).ignored == [.olderRun])
        it.answer(1, it.report(1, at: OpTime(2, 20), startCount: 1))
        #expect(it.member.peers[1].progress.written == OpTime(1, 10))
        #expect(it.position(2, Progress(all: OpTime(2, 20))).commitPoint == nil)
        #expect(it.position(1, Progress(all: OpTime(2, 20)), startCount: 2).commitPoint == OpTime(2, 20))
    }

    @Test("a position that is relayed may be the first of a new run")
    func relayedRun() {
        var it = MemberFixture(5)
        it.becomePrimary()
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        _ = it.position(1, Progress(all: OpTime(1, 10)), startCount: 3)
        #expect(it.member.peers[1].progress.applied == OpTime(1, 10))
    }

    @Test("the commit point of an earlier run holds, and majority reads wait until this one has heard of it")
    func commitPointOfEarlierRun() {
        var it = MemberFixture(3, last: OpTime(1, 10), commitPoint: OpTime(1, 8))
        #expect(it.member.commitPoint == OpTime(1, 8))
        #expect(it.member.majorityReadPoint == .null)
        it.answer(1, it.report(1, commitPoint: OpTime(1, 7)))
        #expect(it.member.commitPoint == OpTime(1, 8))
        #expect(it.member.majorityReadPoint == .null)
        #expect(it.answer(2, it.report(2, commitPoint: OpTime(1, 8))).commitPoint == OpTime(1, 8))
        #expect(it.member.majorityReadPoint == OpTime(1, 8))
    }

    @Test("a newly added member and one that forgot do not count")
    func notCounted() {
        var it = MemberFixture(4) {
            $0.members[1].isNewlyAdded = true
            $0.members[2].incarnation = MemberFixture.incarnation(2)
        }
        it.becomePrimary()
        #expect(it.position(1, Progress(all: OpTime(2, 20))).commitPoint == nil)
        let forgot = Incarnation(startedAt: WallTime(milliseconds: 9000), nonce: 5)
        #expect(it.position(2, Progress(all: OpTime(2, 20)), incarnation: forgot).commitPoint == nil)
        #expect(it.position(3, Progress(all: OpTime(2, 20))).commitPoint == OpTime(2, 20))
    }

    @Test("an unknown member's position is ignored and reported")
    func unknown() {
        var it = MemberFixture()
        it.becomePrimary()
        #expect(it.position(9, Progress(all: OpTime(2, 20))).ignored == [.unknownMember])
    }

    @Test("a follower learns the commit point by heartbeat only in the term of its own last entry")
    func byHeartbeat() {
        var it = MemberFixture(3, last: OpTime(1, 10))
        it.answer(1, it.report(1, term: 2, commitPoint: OpTime(2, 5)))
        #expect(it.member.commitPoint == .null)
        it.answer(1, it.report(1, term: 2, commitPoint: OpTime(1, 50)))
        #expect(it.member.commitPoint == OpTime(1, 50))
        #expect(it.member.majorityReadPoint == OpTime(1, 10))
        it.answer(2, it.report(2, term: 2, commitPoint: OpTime(1, 20)))
        #expect(it.member.commitPoint == OpTime(1, 50))
    }

    @Test("a follower learns from its sync source no further than its own last entry when the terms differ")
    func bySource() {
        var it = MemberFixture(3, last: OpTime(1, 10))
        it.answer(1, it.report(1, state: .primary, term: 2, at: OpTime(2, 20)))
        #expect(it.member.syncSource == 1)
        var metadata = ReplicationMetadata(
            term: 2, commitPoint: OpTime(2, 15), applied: OpTime(2, 20), config: it.member.config!.configVersion,
            primaryID: 1, syncSourceID: nil, isPrimary: true, rollbackID: 1)
        #expect(it.member.onBatchFetched(from: 1, metadata, now: it.now).commitPoint == OpTime(1, 10))
        _ = it.member.onLocalProgress(Progress(all: OpTime(2, 12)), now: it.now)
        metadata.commitPoint = OpTime(2, 15)
        #expect(it.member.onBatchFetched(from: 1, metadata, now: it.now).commitPoint == OpTime(2, 15))
        #expect(it.member.onBatchFetched(from: 2, metadata, now: it.now).ignored == [.notFromSyncSource])
    }

    @Test("progress is reported to the sync source, one report at a time, and again before half the election timeout")
    func reports() {
        var it = MemberFixture(3, last: OpTime(1, 10))
        it.answer(1, it.report(1, state: .primary, term: 1, at: OpTime(1, 20)))
        func sends(_ directives: [Directive]) -> Int {
            directives.filter { if case .sendUpdatePosition = $0 { true } else { false } }.count
        }
        #expect(it.member.isUpdatePositionUnderWay)
        #expect(sends(it.member.onLocalProgress(Progress(all: OpTime(1, 11)), now: it.now)) == 0)
        #expect(sends(it.member.onUpdatePositionDone(now: it.now)) == 1)
        #expect(sends(it.member.onUpdatePositionDone(now: it.now)) == 0)
        #expect(sends(it.pass(.milliseconds(501))) == 1)
    }

    @Test("an initial sync shows its positions only when its data is complete")
    func initialSync() {
        var it = MemberFixture(3, last: .null)
        _ = it.member.onLocalProgress(Progress(all: OpTime(1, 5)), now: it.now)
        #expect(it.member.makeReport().progress == Progress())
        _ = it.member.onFollowerState(.secondary, now: it.now)
        #expect(it.member.makeReport().progress.written == OpTime(1, 5))
    }

    @Test("a member that forgot is made newly added, passes a no-op and gets its vote back")
    func readmission() {
        var it = MemberFixture {
            for index in 0..<3 { $0.members[index].incarnation = MemberFixture.incarnation(MemberID(index)) }
        }
        it.becomePrimary()
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        let life = Incarnation(startedAt: WallTime(milliseconds: 9000), nonce: 5)
        it.answer(1, it.report(1, at: OpTime(2, 20)))
        var directives = it.answer(2, it.report(2, state: .startup2, at: .null, incarnation: life))
        _ = it.persist(directives)
        #expect(it.member.config?.members[2].isNewlyAdded == true)
        #expect(it.member.config?.votingMajority == 2)
        directives = it.answer(1, it.report(1, at: OpTime(2, 20)))
        #expect(directives.has { if case .writeNoOp(.readmission(2)) = $0 { true } else { false } })
        _ = it.member.onNoOpWritten(.readmission(2), OpTime(2, 21), at: WallTime(milliseconds: 7), now: it.now)
        _ = it.member.onLocalProgress(Progress(all: OpTime(2, 21)), now: it.now)
        // It passed the no-op, which nobody else has yet.
        _ = it.persist(it.answer(2, it.report(2, at: OpTime(2, 22), incarnation: life)))
        #expect(it.member.config?.members[2].isNewlyAdded == true)
        _ = it.persist(it.position(1, Progress(all: OpTime(2, 21))))
        #expect(it.member.config?.members[2].isNewlyAdded == false)
        #expect(it.member.config?.members[2].incarnation == life)
    }
}
