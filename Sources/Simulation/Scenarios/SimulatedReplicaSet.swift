import BSON
public import Core
public import ElectionPolicies
import Replication
import Server

/// A replica set of real nodes in a `SimulatedWorld`, with volatile storage, and checkers that watch all the time.
///
///     let world = SimulatedWorld(seed: 7)
///     let set = SimulatedReplicaSet(world, members: 3)
///     try set.start()
///     set.primary?.crash()
///     try set.runUntilPrimary(within: .seconds(5))
public final class SimulatedReplicaSet {
    /// How often members give signs of life, and when one counts as lost.
    public struct Timing: Sendable {
        public var heartbeatInterval: Duration = .milliseconds(200)
        public var electionTimeout: Duration = .seconds(1)
        public init() {}
        public init(heartbeatInterval: Duration, electionTimeout: Duration) {
            self.heartbeatInterval = heartbeatInterval
            self.electionTimeout = electionTimeout
        }
    }

    public let world: SimulatedWorld
    public let name: String
    public let policy: any ElectionPolicy
    public let timing: Timing
    public let timeline: Timeline
    public private(set) var members: [SimulatedMember] = []
    let checker: ReplicationChecker
    /// How often logs are compared.
    private let comparisonInterval: Duration = .milliseconds(100)
    private var watch: SimulatedRuntime?

    public init(
        _ world: SimulatedWorld, name: String = "rs0", members count: Int = 3,
        policy: any ElectionPolicy = FastElectionPolicy(), timing: Timing = Timing(), logLevel: LogLevel = .info
    ) {
        self.world = world
        self.name = name
        self.policy = policy
        self.timing = timing
        timeline = Timeline(world)
        checker = ReplicationChecker(world, timeline)
        for index in 0..<count {
            let member = SimulatedMember(name: "\(name)-\(index)", id: MemberID(index), set: self)
            members.append(member)
            world.addNode(member.name, log: timeline.sink(for: member.name, minimumLevel: logLevel)) {
                [unowned member] in
                member.boot($0)
            }
        }
        // A node of its own, so that comparing goes on whoever dies.
        watch = world.addNode("\(name)-watch")
        scheduleComparison()
    }

    private func scheduleComparison() {
        watch?.schedule(after: comparisonInterval) { [weak self] in
            guard let self else { return }
            compareLogs()
            scheduleComparison()
        }
    }

    /// Resumes a paused member some time from now. Its own timers are held while it is paused.
    func wake(_ member: SimulatedMember, after delay: Duration) {
        watch?.schedule(after: delay) { if member.isPaused { member.resume() } }
    }

    func memberChanged(_ member: SimulatedMember) {
        guard let node = member.node else { return }
        checker.memberChanged(member.name, node)
    }

    private func compareLogs() {
        for member in members where member.isAlive {
            if let node = member.node { checker.compareLog(member.name, node) }
        }
    }

    // MARK: Start

    /// Makes the members a set and runs the world until all of them take part.
    public func start(within limit: Duration = .seconds(30)) throws {
        try initiate()
        try runUntilConverged(within: limit)
    }

    /// Makes the members a set; returns when the first of them has agreed.
    public func initiate() throws {
        try world.run(
            until: { self.members.allSatisfy { $0.member != nil } }, atMost: .seconds(1), "the members' start")
        let reply = try members[0].run(["replSetInitiate": .document(configuration)])
        guard reply["ok"]?.asNumber == 1 else {
            throw SimulationError(
                kind: .failure, seed: world.seed, time: world.now, message: "the set could not be initiated: \(reply)")
        }
    }

    private var configuration: Document {
        [
            "_id": .string(name), "version": 1,
            "members": .array(
                members.map { ["_id": .int32($0.id), "host": .string($0.endpoint.description)] }),
            "settings": [
                "heartbeatIntervalMillis": .int64(timing.heartbeatInterval.wholeMilliseconds),
                "electionTimeoutMillis": .int64(timing.electionTimeout.wholeMilliseconds),
            ],
        ]
    }

    // MARK: What it is

    /// The member that takes writes; of several that believe so, the one of the newest term.
    public var primary: SimulatedMember? {
        members.filter { $0.isWritablePrimary && !$0.isPaused }.max { $0.term < $1.term }
    }
    public var secondaries: [SimulatedMember] { members.filter { $0.state == .secondary } }
    /// How many primaries have been elected.
    public var elections: Int { checker.elections }
    /// The newest commit point that any member has known.
    public var committed: OpTime { checker.committed }
    /// The state of all members, in lines.
    public var summary: String { members.map(\.summary).joined(separator: "\n  ") }

    /// Whether the member holds what the set needs it for: taking part, counted, its log a part of the primary's.
    func isIntact(_ member: SimulatedMember, primary: SimulatedMember) -> Bool {
        guard member.isAlive, !member.isPaused, let state = member.state, state == .primary || state == .secondary,
            let config = primary.member?.config, let place = config.index(of: member.id),
            !config.members[place].isNewlyAdded, !member.lastApplied.isNull
        else { return false }
        return (try? primary.node?.oplogContains(member.lastApplied)) == true
    }

    /// Whether all members agree: one primary, everybody counted and caught up, everything committed everywhere.
    public var isConverged: Bool {
        guard let primary, let own = primary.member, let config = own.config,
            members.filter({ $0.member?.isPrimary == true && $0.isAlive }).count == 1
        else { return false }
        let last = primary.lastApplied
        return members.allSatisfy { member in
            isIntact(member, primary: primary) && member.lastApplied == last && member.commitPoint == last
                && member.term == own.term && member.member?.config?.configVersion == config.configVersion
        }
    }

    // MARK: Waiting

    /// Runs the world until some member takes writes.
    /// - Parameter old: a member that does not count.
    @discardableResult
    public func runUntilPrimary(within limit: Duration, otherThan old: SimulatedMember? = nil) throws -> SimulatedMember
    {
        try run(until: { set in set.primary.map { $0 !== old } ?? false }, within: limit, "a primary")
        return primary!
    }

    /// Runs the world until all members agree, and then checks their data against one another.
    public func runUntilConverged(within limit: Duration) throws {
        try run(until: \.isConverged, within: limit, "agreement of all members")
        try checkEquality()
    }

    /// Runs the world until `condition` holds; explains the set when it does not.
    public func run(until condition: (SimulatedReplicaSet) -> Bool, within limit: Duration, _ what: String) throws {
        try world.run(until: { condition(self) }, atMost: limit, "\(what) in \(name)\n  \(self.summary)\n")
    }

    /// At quiescence: equal applied optime means equal data (I8), and every member's indexes agree with its documents.
    public func checkEquality() throws {
        compareLogs()
        var first: (name: String, hash: String)?
        for member in members {
            guard let node = member.node else { continue }
            let problems = try node.inconsistencies()
            guard problems.isEmpty else { throw failure("\(member.name): \(problems.joined(separator: "; "))") }
            let hash = try node.dataHash()
            if let first, first.hash != hash {
                throw failure("\(member.name) and \(first.name) have applied the same and hold different data")
            }
            first = first ?? (member.name, hash)
        }
        // Failures of the comparison above end the run with the next event; that may be late.
        try world.run(for: .zero)
    }

    /// What each member says of the others: the answers of `replSetGetStatus`, in short.
    func views() -> [String] {
        members.flatMap { member -> [String] in
            guard let status = try? member.run(["replSetGetStatus": 1], within: .seconds(5)) else {
                return ["\(member.name) does not answer"]
            }
            let source = status["syncSourceHost"]?.asString ?? ""
            let others = (status["members"]?.asArray ?? []).compactMap(\.asDocument).map { other in
                "    \(other["name"]?.asString ?? ""): \(other["stateStr"]?.asString ?? "?"), health "
                    + "\(other["health"]?.asNumber ?? -1), \(other["lastHeartbeatMessage"]?.asString ?? "")"
            }
            return ["\(member.name) syncs from '\(source)' and sees:"] + others
        }
    }

    func failure(_ message: String) -> SimulationError {
        timeline.add("CHECKER", message)
        return SimulationError(kind: .failure, seed: world.seed, time: world.now, message: message)
    }

    // MARK: The network

    /// No message passes between members of different groups, nor between them and the nodes named in `outside`.
    public func partition(_ groups: [[SimulatedMember]], outside: [[String]] = []) {
        let names = groups.map { $0.map(\.name) } + outside
        timeline.add("NETWORK", "PARTITION \(names)")
        world.apply(.partition(names))
    }

    /// Cuts one member off from all other members, both ways. Clients still reach it.
    public func isolate(_ member: SimulatedMember) {
        partition([[member], members.filter { $0 !== member }])
    }

    /// No message of `from` reaches `to`; the other way is open.
    public func block(from: SimulatedMember, to: SimulatedMember) {
        timeline.add("NETWORK", "BLOCK \(from.name) -> \(to.name)")
        world.apply(.block(from: from.name, to: to.name))
    }

    /// Lets all messages of the whole world pass again.
    public func heal() {
        timeline.add("NETWORK", "HEAL")
        world.apply(.heal)
    }
}
