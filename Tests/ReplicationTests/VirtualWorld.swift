import BSON
import Core
import ElectionPolicies

@testable import Replication

extension SplitMix64 {
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func milliseconds(_ range: ClosedRange<Int>) -> Duration {
        .microseconds(Int.random(in: range.lowerBound * 1000...range.upperBound * 1000, using: &self))
    }
}

struct LogEntry: Equatable {
    let optime: OpTime
    /// Unique over the run, so that two entries of one optime would be seen to differ.
    let payload: Int
}

/// Members, a network and a clock in one thread: every run of a seed is the same.
final class VirtualWorld {
    struct Faults {
        var lossPercent = 0
        var delay: ClosedRange<Int> = 0...3
        var crashes = false
        var partitions = false
        var commands = false
        var reconfigs = false
        var isVolatile = false
    }
    private struct Event {
        let at: Instant
        let number: Int
        let body: () -> Void
    }

    var random: SplitMix64
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var queue: [Event] = []
    private var eventNumber = 0
    private var events = 0
    var nodes: [VirtualNode] = []
    var faults: Faults
    /// Pairs that cannot talk, per direction: `from * rowLength + to`.
    static let rowLength = 64
    var cut: Set<Int> = []
    var problems: [String] = []
    var nextPayload = 1
    var trace: [String] = []
    let keepsTrace: Bool

    // What must hold over the whole run.
    private var leaders: [Int64: Int32] = [:]
    private var votes: [String: MemberID] = [:]
    private var configs: [String: Document] = [:]
    private(set) var committed: [LogEntry] = []
    var acknowledged: [Int] = []
    var elections = 0

    init(
        members: Int, seed: UInt64, faults: Faults = Faults(), keepsTrace: Bool = false,
        policy: (Int) -> any ElectionPolicy
    ) {
        random = SplitMix64(seed: seed)
        self.faults = faults
        self.keepsTrace = keepsTrace
        for index in 0..<members {
            nodes.append(VirtualNode(index: index, policy: policy(index), world: self, isVolatile: faults.isVolatile))
        }
    }

    // MARK: Time

    func schedule(after delay: Duration, _ body: @escaping () -> Void) {
        eventNumber += 1
        queue.append(Event(at: now + delay, number: eventNumber, body: body))
        var child = queue.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            queue.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        queue[a].at != queue[b].at ? queue[a].at < queue[b].at : queue[a].number < queue[b].number
    }

    private func popEvent() -> Event {
        queue.swapAt(0, queue.count - 1)
        let event = queue.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && isBefore(child, least) {
                least = child
            }
            guard least != parent else { return event }
            queue.swapAt(least, parent)
            parent = least
        }
    }

    /// Runs until `condition` holds or `span` has passed; says whether it held.
    @discardableResult
    func run(for span: Duration, until condition: () -> Bool = { false }) -> Bool {
        let end = now + span
        while let first = queue.first, first.at <= end, problems.isEmpty {
            let event = popEvent()
            now = event.at
            events += 1
            if events > 200_000 * nodes.count { fail("a livelock: too many events") }
            event.body()
            if condition() { return true }
        }
        if problems.isEmpty { now = max(now, end) }
        return condition()
    }

    func note(_ line: @autoclosure () -> String) {
        if keepsTrace { trace.append("\(now.nanoseconds / 1_000_000) \(line())") }
    }

    // MARK: Network

    func canReach(_ from: Int, _ to: Int) -> Bool { !cut.contains(from * Self.rowLength + to) }

    func send(from: Int, to: Int, _ body: @escaping (VirtualNode) -> Void) {
        guard canReach(from, to), !random.chance(faults.lossPercent) else { return }
        schedule(after: random.milliseconds(faults.delay)) { [self] in
            guard canReach(from, to), nodes[to].isAlive else { return }
            body(nodes[to])
        }
    }

    func node(host: String) -> VirtualNode? { nodes.first { $0.host == host } }

    func heal() {
        cut = []
        faults.lossPercent = 0
        faults.delay = 0...3
        for node in nodes where !node.isAlive { node.start() }
    }

    // MARK: What must hold

    func fail(_ what: String) { problems.append("at \(now.nanoseconds / 1_000_000) ms: \(what)") }

    /// I1: at most one leader a term, ever. I4: it has every entry that was committed.
    func noteLeader(_ node: VirtualNode) {
        elections += 1
        let term = node.member.term
        if let other = leaders[term], other != node.id {
            fail("members \(other) and \(node.id) both lead term \(term)")
        }
        leaders[term] = node.id
        if node.log.count < committed.count || Array(node.log[..<committed.count]) != committed {
            fail("the leader \(node.id) of term \(term) lacks committed entries")
        }
    }

    /// I2: one vote a term for each life of a member.
    func noteVote(by voter: VirtualNode, term: Int64, for candidate: MemberID) {
        let key = "\(voter.id) \(voter.incarnation.nonce) \(term)"
        if let before = votes[key], before != candidate { fail("member \(voter.id) votes twice in term \(term)") }
        votes[key] = candidate
    }

    /// I20: a configuration is named by its term and version.
    func noteConfig(_ config: ReplicaSetConfig) {
        guard config.term >= 0 else { return }
        let key = "\(config.configVersion)"
        if let before = configs[key], before != config.storedDocument { fail("two configurations are called \(key)") }
        configs[key] = config.storedDocument
    }

    /// I3, I5: what a leader commits extends what was committed before.
    func noteCommit(by node: VirtualNode, upTo point: OpTime) {
        let prefix = node.log.prefix { $0.optime <= point }
        let common = min(prefix.count, committed.count)
        if Array(prefix[..<common]) != Array(committed[..<common]) {
            fail("the leader \(node.id) commits another history up to \(point)")
        } else if prefix.count > common {
            committed.append(contentsOf: prefix[common...])
        }
    }

    // MARK: Faults

    func crashSomebody() {
        let node = nodes[random.below(nodes.count)]
        guard node.isAlive else { return }
        if faults.isVolatile, !everyoneVotes { return }
        node.crash()
        schedule(after: random.milliseconds(50...1500)) { if !node.isAlive { node.start() } }
    }

    /// No member is down or on its way back: the loss of one cannot be the loss of a majority.
    var everyoneVotes: Bool {
        guard let primary = nodes.first(where: { $0.isAlive && $0.member.isWritablePrimary }) else { return false }
        return nodes.allSatisfy { node in
            node.isAlive && (node.member.mayVote || node.member.selfConfig?.votes == 0)
                && [.primary, .secondary, .arbiter].contains(node.member.state)
                && node.member.config == primary.member.config && node.member.commitPoint == primary.member.commitPoint
        }
    }

    func partitionSomehow() {
        cut = []
        switch random.below(4) {
        case 0:
            let lonely = random.below(nodes.count)
            for other in nodes.indices where other != lonely {
                cut.formUnion([lonely * Self.rowLength + other, other * Self.rowLength + lonely])
            }
        case 1:
            for from in nodes.indices {
                for to in nodes.indices where from % 2 != to % 2 { cut.insert(from * Self.rowLength + to) }
            }
        case 2: cut.insert(random.below(nodes.count) * Self.rowLength + random.below(nodes.count))
        default:
            let a = random.below(nodes.count)
            let b = random.below(nodes.count)
            cut.formUnion([a * Self.rowLength + b, b * Self.rowLength + a])
        }
        schedule(after: random.milliseconds(100...1500)) { [self] in cut = [] }
    }

    func makeTrouble(for span: Duration) {
        let end = now + span
        func next() {
            schedule(after: random.milliseconds(50...500)) { [self] in
                guard now < end else { return }
                switch random.below(4) {
                case 0 where faults.crashes: crashSomebody()
                case 1 where faults.partitions: partitionSomehow()
                case 2 where faults.commands: commandSomething()
                case 3 where faults.reconfigs: reconfigureSomehow()
                default: break
                }
                next()
            }
        }
        next()
        run(for: span)
    }

    private func commandSomething() {
        let node = nodes[random.below(nodes.count)]
        guard node.isAlive else { return }
        let id = RequestID(0)
        switch random.below(3) {
        case 0:
            let force = random.chance(50)
            node.do {
                $0.onStepDownCommand(
                    id, stepDownFor: .milliseconds(800), catchUpFor: .milliseconds(300), force: force, now: self.now)
            }
        case 1: node.do { $0.onStepUpCommand(id, skipDryRun: self.random.chance(50), now: self.now) }
        default: node.do { $0.onFreezeCommand(id, for: .milliseconds(300), now: self.now) }
        }
    }

    private func reconfigureSomehow() {
        guard let primary = nodes.first(where: { $0.isAlive && $0.member.isWritablePrimary }),
            var next = primary.member.config
        else { return }
        next.version += 1
        let index = random.below(next.members.count)
        guard index != primary.member.selfIndex, !next.members[index].isArbiter else { return }
        switch random.below(3) {
        case 0: next.members[index].priority = next.members[index].votes == 0 ? 0 : Double(1 + random.below(3))
        case 1 where next.members.count > 3:
            let keepsVote = next.members[index].votes == 0
            next.members[index].votes = keepsVote ? 1 : 0
            next.members[index].priority = keepsVote ? 1 : 0
        default:
            guard next.members.count > 3 else { return }
            next.members.remove(at: index)
        }
        primary.do { $0.onReconfigCommand(RequestID(0), next, force: false, deadline: nil, now: self.now) }
    }
}
