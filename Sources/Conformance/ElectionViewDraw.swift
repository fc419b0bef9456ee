import BSON
import Core

/// Views and events for election policies, drawn from a generator.
enum ElectionViewDraw {
    /// A view that can be: roles, states and times agree with one another, but nothing is as usual.
    static func view(_ generator: inout SplitMix64, hosts: [String]) -> ElectionView {
        let count = 1 + generator.below(9)
        let selfIndex = generator.below(count)
        let now = Instant.zero + .milliseconds(Int64(1_000_000 + generator.below(1_000_000)))
        var members = (0..<count).map { member(at: $0, &generator, hosts) }
        members[selfIndex].isSelf = true
        members[selfIndex].isUp = true
        members[selfIndex].isVoter = true
        members[selfIndex].isArbiter = false
        members[selfIndex].ping = nil
        let primaryIndex = generator.below(2) == 0 ? members.firstIndex { !$0.isArbiter && $0.isUp } : nil
        if let primaryIndex { members[primaryIndex].state = .primary }
        let mayStand = primaryIndex != selfIndex && members[selfIndex].priority > 0 && generator.below(4) > 0
        if mayStand { members[selfIndex].state = .secondary }
        let timeout = Duration.milliseconds(Int64([50, 150, 1000, 10_000][generator.below(4)]))
        let heard = generator.below(4) == 0 ? nil : now - .milliseconds(Int64(generator.below(30_000)))
        return ElectionView(
            now: now, term: Int64(generator.below(20)), members: members, selfIndex: selfIndex,
            primaryIndex: primaryIndex, primaryLastHeard: heard, isPrimaryConnectionOpen: generator.below(2) == 0,
            mayStand: mayStand, failedTries: generator.below(8) == 0 ? generator.below(1000) : generator.below(3),
            electionTimer: generator.below(2) == 0 ? nil : now - .milliseconds(Int64(generator.below(3000))),
            takeoverTimer: generator.below(3) == 0 ? now : nil,
            takeoverReason: generator.below(3) == 0 ? .priorityTakeover : nil, electionTimeout: timeout,
            heartbeatInterval: timeout / (1 + generator.below(5)),
            catchUpTakeoverDelay: generator.below(2) == 0 ? nil : .seconds(30), random: generator.next())
    }

    private static func member(at index: Int, _ generator: inout SplitMix64, _ hosts: [String]) -> ElectionMember {
        let isArbiter = generator.below(6) == 0
        let states: [MemberState] = [.secondary, .secondary, .recovering, .startup2, .rollback, .down, .unknown]
        let isUp = generator.below(4) > 0
        let zones = ["ny", "sf", "ldn"]
        return ElectionMember(
            id: Int32(index * 3), host: host(index, hosts), isSelf: false, isVoter: isArbiter || generator.below(5) > 0,
            isArbiter: isArbiter, isHidden: generator.below(6) == 0,
            priority: isArbiter ? 0 : Double([0, 1, 1, 2, 1000][generator.below(5)]),
            tags: generator.below(3) == 0 ? [] : [("dc", zones[generator.below(3)])], isUp: isUp,
            state: isUp ? (isArbiter ? .arbiter : states[generator.below(5)]) : states[5 + generator.below(2)],
            applied: OpTime(
                term: Int64(generator.below(20)),
                timestamp: Timestamp(seconds: UInt32(generator.below(3)), increment: UInt32(generator.below(5)))),
            ping: generator.below(3) == 0 ? nil : .microseconds(Int64(generator.below(400_000))))
    }

    private static func host(_ index: Int, _ hosts: [String]) -> String {
        index < hosts.count ? hosts[index] : "member\(index):27017"
    }

    /// All kinds of events that may come with a view.
    static func events(_ view: ElectionView, _ generator: inout SplitMix64) -> [ElectionEvent] {
        var events: [ElectionEvent] = [
            .started, .initiated, .electionTimer, .takeoverTimer, .primaryHeard, .primaryDescribed,
            .primaryConnectionLost, .termAdvanced, .candidacyFailed,
        ]
        let others = view.members.filter { !$0.isSelf && !$0.isArbiter && $0.priority > 0 }.map(\.id)
        if let candidate = others.first {
            events += ElectionReason.allCases.map { .dryRunRequested(candidate: candidate, reason: $0) }
            events.append(.steppingDown(candidates: Array(others.prefix(1 + generator.below(others.count)))))
        }
        return events
    }

    /// Equal members, all up and caught up, that have no primary and may stand.
    static func silentSet(_ voters: Int, hosts: [String]) -> ElectionView {
        let applied = OpTime(term: 1, timestamp: Timestamp(seconds: 100, increment: 1))
        let members = (0..<voters).map { index in
            ElectionMember(
                id: Int32(index), host: host(index, hosts), isSelf: false, isVoter: true, isArbiter: false,
                isHidden: false, priority: 1, tags: [("dc", index % 2 == 0 ? "ny" : "sf")], isUp: true,
                state: .secondary, applied: applied, ping: .milliseconds(1))
        }
        return ElectionView(
            now: .zero + .seconds(1000), term: 1, members: members, selfIndex: 0, primaryIndex: nil,
            primaryLastHeard: nil, isPrimaryConnectionOpen: false, mayStand: true, failedTries: 0, electionTimer: nil,
            takeoverTimer: nil, takeoverReason: nil, electionTimeout: .seconds(1),
            heartbeatInterval: .milliseconds(200), catchUpTakeoverDelay: .seconds(30), random: 0)
    }
}
