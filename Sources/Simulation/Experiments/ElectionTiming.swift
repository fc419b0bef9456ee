import BSON
import Core
import Replication

/// How long five members are without a leader after theirs has died, by how randomly they time out: the experiment of
/// the Raft paper (Ongaro and Ousterhout 2014, §9.3, figure 16).
///
/// Members run the whole protocol of this project; only the policy is the paper's: stand when nothing was heard of the
/// leader for a time drawn uniformly from a range, and again for as long after a try that failed. As there, the leader
/// crashes right after it has reached everybody, so that all timers start together. A message takes 2 ms, so a
/// candidate needs 8 ms: a dry run, which the paper has not, and the vote.
public enum ElectionTiming {
    /// Timeouts are 150 ms to 150 ms plus one of these.
    public static let spreads = [0, 1, 5, 25, 50, 150]
    static let timeoutMillis: Int64 = 150
    /// A trial that has no leader by then counts as that long.
    public static let limit: Duration = .seconds(100)

    private static var link: LinkConditions {
        var link = LinkConditions()
        link.minimumDelay = .milliseconds(2)
        link.meanExtraDelay = .microseconds(50)
        link.tailProbability = 0
        return link
    }

    /// The times, from crash to a new leader, of so many trials; each is a set and a seed of its own.
    public static func run(spreadMillis: Int, trials: Int, seed: UInt64) throws -> [Duration] {
        try (0..<trials).map { try trial(spreadMillis, seed: seed &* 1_000_003 &+ UInt64(spreadMillis * 100_000 + $0)) }
            .sorted()
    }

    private static func trial(_ spread: Int, seed: UInt64) throws -> Duration {
        let world = SimulatedWorld(seed: seed)
        let policy = UniformTimeoutPolicy(
            shortest: .milliseconds(timeoutMillis), spread: .milliseconds(Int64(spread)))
        let set = SimulatedReplicaSet(
            world, kinds: Array(repeating: .normal, count: 5), policy: policy,
            timing: SimulatedReplicaSet.Timing(
                heartbeatInterval: .milliseconds(timeoutMillis / 2), electionTimeout: .milliseconds(timeoutMillis)),
            logLevel: .error)
        try set.start()
        for a in set.members {
            for b in set.members where a !== b { world.network.setLink(from: a.name, to: b.name, link) }
        }
        // Somewhere between two heartbeats.
        var generator = SeededGenerator(seed: seed, purpose: "crash")
        try world.run(for: .milliseconds(500) + .microseconds(Int64(generator.next(below: 75_000))))
        let leader = try set.runUntilPrimary(within: limit)
        let term = leader.term
        // One entry goes to everybody at the same time; then silence.
        leader.send(["appendOplogNote": 1, "data": ["msg": "last words"]]) { _ in }
        try world.run(for: .milliseconds(1))
        leader.crash(.halfOpen)
        let died = world.now
        let isReplaced = { set.members.contains { $0 !== leader && $0.term > term && $0.member?.isPrimary == true } }
        while !isReplaced() { guard try world.step(notAfter: died + limit) else { return limit } }
        return world.now - died
    }

    // MARK: Tables

    public static let header =
        "timeout (ms)   trials   min     p10     median  p90     p99     max     (ms to a new leader)"

    public static func line(spreadMillis: Int, _ times: [Duration]) -> String {
        let cells = [0, 0.1, 0.5, 0.9, 0.99, 1].map { fraction in
            pad("\(times[min(times.count - 1, Int(fraction * Double(times.count)))].wholeMilliseconds)", 8)
        }
        let range = "\(timeoutMillis)-\(timeoutMillis + Int64(spreadMillis))"
        return pad(range, 15) + pad("\(times.count)", 9) + cells.joined()
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}

/// Stands after a silence drawn uniformly from a range: Raft's rule, without anything of this project's own.
struct UniformTimeoutPolicy: ElectionPolicy {
    let shortest: Duration
    let spread: Duration
    var name: String { "uniform" }

    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
        let until = view.now + shortest + view.randomDuration(upTo: spread)
        return switch event {
        case .initiated: .standNow(.initiated)
        case .electionTimer: view.mayStand ? .standNow(.electionTimeout) : .wait(until: until)
        case .started, .primaryHeard, .candidacyFailed: .wait(until: until)
        // Another's candidacy moves nobody's timer.
        case .dryRunRequested: .grantDryRun
        default: .abstain
        }
    }
}
