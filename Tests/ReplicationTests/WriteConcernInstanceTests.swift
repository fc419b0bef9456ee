import BSON
import Core
import Testing

@testable import Replication

@Suite struct WriteConcernInstanceTests {
    static let target = OpTime(2, 20)

    static func wait(
        _ it: inout MemberFixture, _ id: UInt64, _ concern: WriteConcern, target: OpTime = target,
        for span: Duration? = nil
    ) -> [Directive] {
        it.member.onWaitForWriteConcern(
            WaiterID(id), target: target, concern, deadline: span.map { it.now + $0 }, now: it.now)
    }

    @Test("w: 1 is met at once, w: N when so many members that hold data have applied it")
    func numbers() {
        var it = MemberFixture(4) { $0.members[3].isArbiter = true }
        it.becomePrimary()
        #expect(Self.wait(&it, 1, .acknowledged).waiters == [1: "satisfied"])
        #expect(Self.wait(&it, 2, WriteConcern(w: .number(2))).waiters == [:])
        #expect(Self.wait(&it, 3, WriteConcern(w: .number(3))).waiters == [:])
        #expect(it.position(1, Progress(all: Self.target)).waiters == [2: "satisfied"])
        #expect(it.position(2, Progress(all: Self.target)).waiters == [3: "satisfied"])
        #expect(Self.wait(&it, 4, WriteConcern(w: .number(4))).waiters == [4: "UnsatisfiableWriteConcern"])
        #expect(Self.wait(&it, 5, WriteConcern(w: .mode("no such"))).waiters == [5: "UnknownReplWriteConcern"])
    }

    @Test("a position of another term proves nothing")
    func otherTerm() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.wait(&it, 1, WriteConcern(w: .number(2)))
        #expect(it.position(1, Progress(all: OpTime(1, 99))).waiters == [:])
    }

    @Test("j: true waits for the journals")
    func journal() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.wait(&it, 1, WriteConcern(w: .number(2), journal: true))
        let written = Progress(written: Self.target, applied: Self.target, durable: OpTime(1, 10))
        #expect(it.position(1, written).waiters == [:])
        #expect(it.position(1, Progress(all: Self.target)).waiters == [1: "satisfied"])
    }

    @Test("majority means committed; with j: false written is enough")
    func majority() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.wait(&it, 1, .majority)
        _ = Self.wait(&it, 2, WriteConcern(w: .majority, journal: false))
        let written = Progress(written: Self.target, applied: OpTime(1, 10), durable: OpTime(1, 10))
        #expect(it.position(1, written).waiters == [2: "satisfied"])
        #expect(it.position(1, Progress(all: Self.target)).waiters == [1: "satisfied"])
    }

    @Test("a tag mode counts distinct values")
    func modes() {
        var it = MemberFixture(4) {
            for (index, city) in ["ny", "ny", "sf", "la"].enumerated() { $0.members[index].tags = [.init("dc", city)] }
            $0.settings.writeConcernModes = [.init(name: "two", tags: [(name: "dc", count: 2)])]
        }
        it.becomePrimary()
        _ = Self.wait(&it, 1, WriteConcern(w: .mode("two")))
        #expect(it.position(1, Progress(all: Self.target)).waiters == [:])
        #expect(it.position(3, Progress(all: Self.target)).waiters == [1: "satisfied"])
    }

    @Test("a wait ends at its deadline, and one that is met at that moment is met")
    func deadline() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.wait(&it, 1, WriteConcern(w: .number(2)), for: .milliseconds(100))
        _ = Self.wait(&it, 2, WriteConcern(w: .number(2)))
        #expect(it.member.nextWakeUp(now: it.now) <= it.now + .milliseconds(100))
        #expect(it.pass(.milliseconds(100)).waiters == [1: "timed out"])
        #expect(it.position(1, Progress(all: Self.target)).waiters == [2: "satisfied"])
    }

    @Test("stepping down, shutting down and a change of configuration wake every waiter with the right error")
    func errors() {
        var it = MemberFixture()
        it.becomePrimary()
        _ = Self.wait(&it, 1, WriteConcern(w: .number(3)))
        _ = it.member.onWaitForApplied(WaiterID(2), Timestamp(seconds: 900, increment: 0), deadline: nil, now: it.now)
        var smaller = it.member.config!
        smaller.members.removeLast()
        smaller.version = 9
        it.member.store(smaller, for: .command)
        let token = it.member.configStore!.token
        #expect(it.member.onConfigPersisted(token, now: it.now).waiters == [1: "UnsatisfiableWriteConcern"])
        _ = Self.wait(&it, 3, WriteConcern(w: .number(2)), target: OpTime(2, 30))
        #expect(it.requestVote(term: 9).waiters == [3: "PrimarySteppedDown"])
        #expect(Self.wait(&it, 4, .majority).waiters == [4: "PrimarySteppedDown"])
        #expect(it.member.onShutdown(now: it.now).waiters == [2: "InterruptedAtShutdown"])
    }

    @Test("reads wait for what is applied, and for what is committed")
    func reads() {
        var it = MemberFixture(3, last: OpTime(1, 10))
        let stamp = Timestamp(seconds: 100, increment: 12)
        #expect(
            it.member.onWaitForApplied(WaiterID(1), OpTime(1, 10).timestamp, deadline: nil, now: it.now).waiters == [
                1: "satisfied"
            ])
        _ = it.member.onWaitForApplied(WaiterID(2), stamp, deadline: nil, now: it.now)
        _ = it.member.onWaitForCommitted(WaiterID(3), stamp, deadline: nil, now: it.now)
        #expect(it.member.onLocalProgress(Progress(all: OpTime(1, 12)), now: it.now).waiters == [2: "satisfied"])
        #expect(it.answer(1, it.report(1, commitPoint: OpTime(1, 12))).waiters == [3: "satisfied"])
    }

    @Test("reads that wait are told when the member leaves the states in which it is read from")
    func readsOfALostState() {
        var it = MemberFixture(3, last: OpTime(1, 10))
        let stamp = Timestamp(seconds: 100, increment: 12)
        _ = it.member.onWaitForApplied(WaiterID(1), stamp, deadline: nil, now: it.now)
        _ = it.member.onWaitForCommitted(WaiterID(2), stamp, deadline: nil, now: it.now)
        let told = "InterruptedDueToReplStateChange"
        #expect(it.member.onFollowerState(.rollback, now: it.now).waiters == [1: told, 2: told])
    }

    @Test("the waiter table agrees with a plain list on random waits")
    func tableAgainstList() {
        var random = SplitMix64(seed: 3)
        var table = WaiterTable()
        var list: [(id: UInt64, target: OpTime, deadline: Instant?)] = []
        for step in 0..<20_000 as Range<UInt64> {
            let now = Instant(nanoseconds: Int64(step))
            switch random.below(6) {
            case 0, 1, 2:
                let target = OpTime(1, UInt32(step / 10) + UInt32(random.below(40)))
                let deadline = random.chance(50) ? Instant(nanoseconds: Int64(step) + Int64(random.below(300))) : nil
                table.insert(WaiterID(step), .applied, target: target, deadline: deadline)
                list.append((step, target, deadline))
            case 3:
                guard let victim = list.randomElement(using: &random) else { continue }
                let removed = table.remove(WaiterID(victim.id))
                #expect(removed)
                list.removeAll { $0.id == victim.id }
            case 4:
                var expired: Set<UInt64> = []
                while let id = table.popExpired(now) { expired.insert(id.number) }
                #expect(expired == Set(list.filter { $0.deadline.map { $0 <= now } ?? false }.map(\.id)))
                list.removeAll { expired.contains($0.id) }
            default:
                guard !table.queues.isEmpty else { continue }
                let reached = OpTime(1, UInt32(step / 10) + UInt32(random.below(20)))
                var done: Set<UInt64> = []
                while let id = table.popReached(0, reached) { done.insert(id.number) }
                #expect(done == Set(list.filter { $0.target <= reached }.map(\.id)))
                list.removeAll { done.contains($0.id) }
            }
            #expect(table.count == list.count)
        }
    }

    @Test("ten thousand waiters are served in order by one position")
    func many() {
        var it = MemberFixture()
        it.becomePrimary()
        for number in 1...10_000 as ClosedRange<UInt64> {
            _ = Self.wait(&it, number, WriteConcern(w: .number(2)), target: OpTime(2, 20 + UInt32(number)))
        }
        // The primary itself must be there first.
        #expect(it.position(1, Progress(all: OpTime(2, 5020))).waiters.isEmpty)
        #expect(it.member.onLocalProgress(Progress(all: OpTime(2, 20_000)), now: it.now).waiters.count == 5000)
        #expect(it.position(1, Progress(all: OpTime(2, 20_000))).waiters.count == 5000)
        #expect(it.member.waiters.count == 0)
    }
}
