import BSON
import Core
import Testing

@testable import Replication

/// When a member that follows another one leaves it.
///
/// Member 0 of four follows member 1, which is a secondary; member 2 is the primary and as far away as 1, unless a row
/// says otherwise.
@Suite struct SyncSourceChangeTests {
    /// What differs from a source that is worth keeping.
    struct Row: Sendable, CustomTestStringConvertible {
        var name: String
        /// Round trips to the members 1, 2 and 3.
        var pings: [Duration] = [.milliseconds(20), .milliseconds(20), .milliseconds(20)]
        /// Good pings of each.
        var pingCount = 6
        /// Seconds by which the members 1, 2 and 3 are ahead of us.
        var ahead: [UInt32] = [5, 5, 5]
        var config: @Sendable (inout ReplicaSetConfig) -> Void = { _ in }
        /// Whom the source follows.
        var sourceFollows: MemberID? = 2
        var sourceIsPrimary = false
        /// Whom we follow afterwards.
        var next: MemberID? = 1

        var testDescription: String { name }
    }

    private static func at(_ seconds: UInt32) -> OpTime {
        OpTime(term: 1, timestamp: Timestamp(seconds: 100 + seconds, increment: 1))
    }

    private static let limit = UInt32(Limits.syncSourceLagMax.components.seconds)
    private static let gain = Limits.syncSourcePingGainMin

    static let rows: [Row] = [
        Row(name: "a source that is good is kept"),
        // Going round in a circle.
        Row(name: "it syncs from us and is not ahead", ahead: [0, 0, 0], sourceFollows: 0, next: 2),
        Row(name: "it syncs from us and is ahead", sourceFollows: 0, next: 1),
        Row(
            name: "it syncs from us, is not ahead, and is the primary", ahead: [0, 0, 0], sourceFollows: 0,
            sourceIsPrimary: true, next: 1),
        Row(name: "it follows nobody and is not ahead", ahead: [0, 0, 0], sourceFollows: nil, next: 2),
        Row(name: "it follows nobody and is ahead", sourceFollows: nil, next: 1),
        // Lagging.
        Row(name: "another is far ahead of it", ahead: [5, 6 + limit, 6 + limit], next: 2),
        Row(name: "another is ahead of it by no more than the accepted lag", ahead: [5, 5 + limit, 5 + limit]),
        // Second choice.
        Row(name: "it is hidden, and another is not", config: { hide(&$0, 1) }, next: 2),
        Row(name: "it does not vote, and another does", config: { mute(&$0, 1) }, next: 2),
        Row(
            name: "it does not vote, nor do we",
            config: {
                mute(&$0, 0); mute(&$0, 1)
            }),
        Row(
            name: "it is delayed, and another is not",
            config: {
                hide(&$0, 1); $0.members[1].secondaryDelaySeconds = 5
            }, next: 2),
        // Closer ones.
        Row(
            name: "another is closer by more than the least gain",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(20) - gain - .microseconds(1)], next: 3),
        Row(
            name: "another is closer by the least gain",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(20) - gain]),
        Row(
            name: "another is closer, and not ahead of us",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)], ahead: [5, 5, 0]),
        Row(
            name: "another is closer, after too few pings",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)], pingCount: 4),
        Row(
            name: "another is closer, after just enough pings",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)], pingCount: 5, next: 3),
        Row(
            name: "another is closer, and we are delayed",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)],
            config: {
                hide(&$0, 0); $0.members[0].secondaryDelaySeconds = 5
            }),
        Row(
            name: "another is closer, and chaining is not allowed: only the primary counts",
            pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)],
            config: { $0.settings.chainingAllowed = false }, next: 2),
        Row(
            name: "the primary is closer by the least gain",
            pings: [.milliseconds(20), .milliseconds(20) - gain, .milliseconds(20)]),
        Row(
            name: "the primary is closer by more than the least gain",
            pings: [.milliseconds(20), .milliseconds(20) - gain - .microseconds(1), .milliseconds(20)], next: 2),
        Row(
            name: "another is closer still, but the primary nearly as close",
            pings: [.milliseconds(20), .milliseconds(1) + gain, .milliseconds(1)], next: 2),
    ]

    private static func hide(_ config: inout ReplicaSetConfig, _ index: Int) {
        config.members[index].isHidden = true
        config.members[index].priority = 0
    }
    private static func mute(_ config: inout ReplicaSetConfig, _ index: Int) {
        config.members[index].votes = 0
        config.members[index].priority = 0
    }

    /// Member 0, following member 1, as the row says.
    private func follower(_ row: Row) -> MemberFixture {
        var it = MemberFixture(4, last: Self.at(0), row.config)
        it.hearEveryone(at: Self.at(0))
        let primary: MemberID = row.sourceIsPrimary ? 1 : 2
        it.answer(primary, it.report(primary, state: .primary, at: Self.at(0)))
        for index in 1...3 {
            it.member.peers[index].ping = row.pings[index - 1]
            it.member.peers[index].pingCount = row.pingCount
            it.member.peers[index].reported = Self.at(row.ahead[index - 1])
        }
        it.member.setSyncSource(1)
        return it
    }

    private func batch(_ it: inout MemberFixture, _ row: Row) -> [Directive] {
        let metadata = ReplicationMetadata(
            term: 1, commitPoint: .null, applied: Self.at(row.ahead[0]), config: it.member.config!.configVersion,
            primaryID: row.sourceIsPrimary ? 1 : 2, syncSourceID: row.sourceFollows, isPrimary: row.sourceIsPrimary,
            rollbackID: 1)
        return it.member.onBatchFetched(from: 1, metadata, now: it.now)
    }

    @Test("after each batch a member stays with its source or moves to a better one", arguments: rows)
    func stayOrLeave(row: Row) {
        var it = follower(row)
        _ = batch(&it, row)
        // Left, it looks for another at once, or when it tries again.
        if it.member.syncSource == nil { _ = it.pass(Limits.syncSourceRetry) }
        #expect(it.member.syncSource == row.next)
    }

    @Test("a member moves closer three times an hour at most")
    func changesAnHour() {
        let row = Row(name: "closer", pings: [.milliseconds(20), .milliseconds(20), .milliseconds(1)])
        var it = follower(row)
        func moves() -> Bool {
            it.member.setSyncSource(1)
            _ = batch(&it, row)
            return it.member.syncSource != 1
        }
        for _ in 0..<Limits.syncSourcePingChangesMax { #expect(moves()) }
        #expect(!moves())
        // The oldest change counts for an hour. No tick: heartbeats would go out and change what is known.
        it.now = it.now + .seconds(3600)
        #expect(!moves())
        it.now = it.now + .milliseconds(1)
        #expect(moves())
    }

    @Test("a source is not chosen among more than the primary before there were two pings a member")
    func earlyPings() {
        var it = follower(Row(name: "", pings: [.milliseconds(1), .milliseconds(20), .milliseconds(20)], pingCount: 1))
        it.member.setSyncSource(nil)
        _ = it.member.onTick(now: it.now)
        #expect(it.member.syncSource == 2)
        it.member.setSyncSource(nil)
        for index in 1...3 { it.member.peers[index].pingCount = 2 }
        _ = it.member.onTick(now: it.now)
        #expect(it.member.syncSource == 1)
    }
}
