import BSON
import Conformance
import Core
import Testing

@testable import Replication

/// What a read selector may say about whom a member copies, and what it may not.
///
/// Member 0 of five is a secondary and all others are ahead of it, by `ahead` seconds; member 2 is the primary.
@Suite struct SyncSourceSelectionTests {
    /// Answers with a script, and keeps what it was shown.
    struct Scripted: SyncSourceSelecting {
        static let name = "scripted"
        /// Hosts, in the order of the questions; the last one again and again.
        var answers: [String?]
        var asked: [[String]] = []
        var requests: [ReadSelectionRequest] = []

        init(_ answers: String?...) { self.answers = answers }

        mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
            Issue.record("asked for a read")
            return nil
        }

        mutating func selectSyncSource(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
            asked.append(request.suitable.map(\.address.host))
            requests.append(request)
            let answer = answers.count > 1 ? answers.removeFirst() : answers.first ?? nil
            return answer.map { Endpoint(host: $0, port: 27017) }
        }
    }

    private static func at(_ seconds: UInt32) -> OpTime {
        OpTime(term: 1, timestamp: Timestamp(seconds: 100 + seconds, increment: 1))
    }

    /// Member 0 of five; nobody is nearer to it than the others.
    private func member(
        _ selector: (any SyncSourceSelecting)?, ahead: [UInt32] = [5, 5, 5, 5], pingCount: Int = 6,
        _ config: (inout ReplicaSetConfig) -> Void = { _ in }
    ) -> MemberFixture {
        var it = MemberFixture(5, last: Self.at(0), syncSourceSelector: selector, config)
        it.hearEveryone(at: Self.at(0))
        it.answer(2, it.report(2, state: .primary, at: Self.at(0)))
        for index in 1...4 {
            it.member.peers[index].ping = .milliseconds(20)
            it.member.peers[index].pingCount = pingCount
            it.member.peers[index].reported = Self.at(ahead[index - 1])
        }
        it.member.setSyncSource(nil)
        it.member.nextSyncSourceTry = it.now
        return it
    }

    private func choose(_ it: inout MemberFixture) -> MemberID? {
        _ = it.member.onTick(now: it.now)
        return it.member.syncSource
    }

    private func batch(_ it: inout MemberFixture, from source: MemberID) {
        let metadata = ReplicationMetadata(
            term: 1, commitPoint: .null, applied: Self.at(5), config: it.member.config!.configVersion, primaryID: 2,
            syncSourceID: source == 2 ? nil : 2, isPrimary: source == 2, rollbackID: 1)
        _ = it.member.onBatchFetched(from: source, metadata, now: it.now)
    }

    private func script(of it: MemberFixture) -> Scripted? { it.member.syncSourceSelector as? Scripted }

    @Test("without a selector the nearest is copied, and of near ones the primary")
    func withoutSelector() {
        var it = member(nil)
        #expect(choose(&it) == 2)
    }

    @Test("a selector picks among those that are up, ahead and data-bearing, in order of address")
    func picks() {
        var it = member(Scripted("m3"), ahead: [5, 5, 5, 0])
        #expect(choose(&it) == 3)
        #expect(script(of: it)?.asked == [["m1", "m2", "m3"]])
    }

    @Test("it is shown what is known of everybody else")
    func request() throws {
        var it = member(Scripted("m3"), ahead: [5, 6, 7, 0]) { $0.members[1].tags = [.init("dc", "ny")] }
        it.member.peers[1].ping = .milliseconds(3)
        _ = choose(&it)
        let request = try #require(script(of: it)?.requests.first)
        #expect(request.topology.kind == .replicaSetWithPrimary)
        #expect(request.topology.servers.map(\.address.host) == ["m1", "m2", "m3", "m4"])
        #expect(request.topology.primary?.address.host == "m2")
        #expect(request.preference == .nearest)
        let first = try #require(request.suitable.first)
        #expect(first.tags == ["dc": "ny"])
        #expect(first.roundTripTime == .milliseconds(3))
        #expect(first.lastWriteDate == WallTime(milliseconds: 105_000))
        #expect(first.type == .secondary)
    }

    @Test(
        "an answer that is no candidate, or none, leaves the choice to the member", arguments: [nil, "m4", "m0", "m9"])
    func badAnswers(answer: String?) {
        var it = member(Scripted(answer), ahead: [5, 5, 5, 0])
        #expect(choose(&it) == 2)
        #expect(script(of: it)?.asked.count == 1)
    }

    @Test("members that should not be copied while others can are shown only when there are no others")
    func secondChoice() {
        let hide: (inout ReplicaSetConfig) -> Void = { config in
            config.members[1].isHidden = true
            config.members[1].priority = 0
        }
        var it = member(Scripted("m1"), ahead: [5, 5, 0, 0], hide)
        #expect(choose(&it) == 2)
        #expect(script(of: it)?.asked == [["m2"]])
        it = member(Scripted("m1"), ahead: [5, 0, 0, 0], hide)
        it.member.peers[2].isUp = false
        #expect(choose(&it) == 1)
        #expect(script(of: it)?.asked == [["m1"]])
    }

    @Test("it is not asked without chaining, for replSetSyncFrom, or before the distances are known")
    func notAsked() {
        var it = member(Scripted("m3")) { $0.settings.chainingAllowed = false }
        #expect(choose(&it) == 2)
        #expect(script(of: it)?.asked == [])
        it = member(Scripted("m3"), pingCount: 1)
        #expect(choose(&it) == 2)
        #expect(script(of: it)?.asked == [])
        it = member(Scripted("m3"))
        let id = it.request()
        _ = it.member.onSyncFromCommand(id, host: "m4:27017", now: it.now)
        #expect(it.member.syncSource == 4)
        #expect(script(of: it)?.asked == [])
    }

    @Test(
        "a member moves to another candidate when the selector says so, and is not asked more often than heartbeats go")
    func moves() {
        var it = member(Scripted("m1", "m1", "m3"))
        #expect(choose(&it) == 1)
        batch(&it, from: 1)
        batch(&it, from: 1)
        #expect(it.member.syncSource == 1)
        #expect(script(of: it)?.asked.count == 2)
        it.now = it.now + it.member.settings.heartbeatInterval
        batch(&it, from: 1)
        #expect(it.member.syncSource == 3)
    }

    @Test("a source that has nothing new is not left for one that is selected")
    func idleSource() {
        var it = member(Scripted("m1", "m3"))
        #expect(choose(&it) == 1)
        it.member.peers[1].reported = Self.at(0)
        let metadata = ReplicationMetadata(
            term: 1, commitPoint: .null, applied: Self.at(0), config: it.member.config!.configVersion, primaryID: 2,
            syncSourceID: 2, isPrimary: false, rollbackID: 1)
        _ = it.member.onBatchFetched(from: 1, metadata, now: it.now)
        #expect(it.member.syncSource == 1)
    }

    @Test("a selector moves a member no more than three times an hour")
    func movesAnHour() {
        var it = member(HostileReadSelector(.restless))
        _ = choose(&it)
        var moves = 0
        for _ in 0..<50 {
            guard let source = it.member.syncSource else { break }
            it.now = it.now + it.member.settings.heartbeatInterval
            // No tick: heartbeats would go out and change what is known.
            batch(&it, from: source)
            if it.member.syncSource != source { moves += 1 }
        }
        #expect(it.member.syncSource != nil)
        #expect((1...Limits.syncSourcePingChangesMax).contains(moves))
    }

    @Test(
        "whatever a hostile selector answers, a member copies those only that are ahead of it and up",
        arguments: HostileReadSelector.Manner.allCases)
    func hostile(manner: HostileReadSelector.Manner) {
        var generator = SplitMix64(seed: 1)
        for _ in 0..<300 {
            var it = member(HostileReadSelector(manner), ahead: (0..<4).map { _ in UInt32(generator.below(4)) })
            for index in 1...4 {
                it.member.peers[index].isUp = generator.below(4) > 0
                it.member.peers[index].ping = .milliseconds(Int64(generator.below(50)))
            }
            let allowed = (1...4).filter { it.member.isEligible($0, strictly: false, now: it.now) }
            let chosen = choose(&it)
            if let chosen { #expect(allowed.contains(Int(chosen))) }
            #expect((chosen == nil) == allowed.isEmpty)
        }
    }
}
