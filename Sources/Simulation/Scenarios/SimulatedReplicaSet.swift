import BSON
public import Core
public import ElectionPolicies
import Replication
public import DataNode

/// A replica set of real nodes in a `SimulatedWorld`, and checkers that watch all the time. Members forget at a crash,
/// unless the set remembers.
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
        public var catchUpTakeoverDelay: Duration = .seconds(30)
        public init() {}
        public init(heartbeatInterval: Duration, electionTimeout: Duration) {
            self.heartbeatInterval = heartbeatInterval
            self.electionTimeout = electionTimeout
        }
        /// MongoDB's.
        public static let mongoDB = Timing(heartbeatInterval: .seconds(2), electionTimeout: .seconds(10))
        /// So patient that silence deposes nobody within a script.
        public static let patient = Timing(heartbeatInterval: .milliseconds(200), electionTimeout: .seconds(600))
    }

    public let world: SimulatedWorld
    public let name: String
    public let policy: any ElectionPolicy
    /// Policies of single members that differ from the set's.
    private let policies: [Int: any ElectionPolicy]
    /// Says whom each member copies; nil for the nearest.
    let syncSourceSelector: (any SyncSourceSelecting)?
    /// Members have disks: what was flushed is still there after a crash.
    public let remembers: Bool
    /// How long a disk takes at most to flush; zero: what was written is safe at once.
    public let flushTime: Duration
    /// Members keep their data in files, on disks that lose what was not synced.
    public let usesFiles: Bool
    /// One read in so many finds nothing in memory, where the storage is larger than that.
    let notResidentOneIn: Int?
    public let oplogBytesMax: Int?
    /// What its members are in a sharded cluster.
    let role: ClusterRole?
    public let timing: Timing
    public let timeline: Timeline
    /// All nodes, the spare ones at the end.
    public private(set) var members: [SimulatedMember] = []
    /// How many of them the first configuration names.
    public let initialCount: Int
    let checker: ReplicationChecker
    /// How often logs are compared.
    private let comparisonInterval: Duration = .milliseconds(500)
    private var watch: SimulatedRuntime?
    /// Called after each event that a member was told of.
    var onMemberChanged: ((SimulatedMember) -> Void)?
    /// The next member that begins to take entries back, or to be cloned, crashes so much later.
    var crashesInRollback: Duration?
    var crashesInInitialSync: Duration?
    private(set) var crashedInRollback = 0
    private(set) var crashedInInitialSync = 0

    public convenience init(
        _ world: SimulatedWorld, name: String = "rs0", members count: Int = 3,
        policy: any ElectionPolicy = FastElectionPolicy(), timing: Timing = Timing(), logLevel: LogLevel = .info
    ) {
        self.init(
            world, name: name, kinds: Array(repeating: .normal, count: count), policy: policy, timing: timing,
            logLevel: logLevel)
    }

    /// - Parameters:
    ///   - spares: further nodes, which no configuration names yet.
    ///   - policies: for members, by place, that elect differently from the others.
    ///   - syncSourceSelector: each run of each member has one of its own.
    ///   - remembers: members have disks: what was flushed is still there after a crash.
    ///   - flushTime: how long a disk takes at most to flush; zero: what was written is safe at once. Otherwise a crash
    ///     takes of the rest what chance has it.
    ///   - usesFiles: members that remember keep their data in files, on disks that lose what was not synced.
    ///   - notResidentOneIn: one read in so many finds nothing in memory; nil for storage that is all there.
    ///   - oplogBytesMax: nil for the default.
    ///   - role: what the members are in a sharded cluster.
    public init(
        _ world: SimulatedWorld, name: String = "rs0", kinds: [MemberKind], spares: [MemberKind] = [],
        policy: any ElectionPolicy = FastElectionPolicy(), policies: [Int: any ElectionPolicy] = [:],
        syncSourceSelector: (any SyncSourceSelecting)? = nil, remembers: Bool = false, flushTime: Duration = .zero,
        usesFiles: Bool = false, notResidentOneIn: Int? = nil, oplogBytesMax: Int? = nil, role: ClusterRole? = nil,
        timing: Timing = Timing(), logLevel: LogLevel = .info
    ) {
        self.role = role
        self.world = world
        self.name = name
        self.policy = policy
        self.policies = policies
        self.syncSourceSelector = syncSourceSelector
        self.remembers = remembers
        self.flushTime = flushTime
        self.usesFiles = usesFiles
        self.notResidentOneIn = notResidentOneIn
        // By which checkers say that they are no part of what is checked.
        if notResidentOneIn != nil || usesFiles, world.hooks == nil {
            world.hooks = SimulationHooks(onProbe: { _ in }, onBuggify: { _ in false })
        }
        self.oplogBytesMax = oplogBytesMax
        self.timing = timing
        initialCount = kinds.count
        timeline = Timeline(world)
        checker = ReplicationChecker(world, timeline)
        for (index, kind) in (kinds + spares).enumerated() {
            let member = SimulatedMember(name: "\(name)-\(index)", id: MemberID(index), kind: kind, set: self)
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

    /// Does something some time from now, whatever becomes of the members.
    func later(_ delay: Duration, _ body: @escaping () -> Void) { watch?.schedule(after: delay, body) }

    /// Resumes a paused member some time from now. Its own timers are held while it is paused.
    func wake(_ member: SimulatedMember, after delay: Duration) {
        later(delay) { if member.isPaused { member.resume() } }
    }

    func policy(of member: SimulatedMember) -> any ElectionPolicy { policies[Int(member.id)] ?? policy }

    func memberChanged(_ member: SimulatedMember) {
        guard let node = member.node else { return }
        checker.memberChanged(member, node, in: self)
        onMemberChanged?(member)
        if let delay = crashesInRollback, member.state == .rollback {
            crashesInRollback = nil
            later(delay) { [unowned self] in
                guard member.isAlive, member.state == .rollback else { return }
                crashedInRollback += 1
                member.crash()
            }
        }
        // A founding voter that is cloned counts already; on a disk it remembers that it does.
        if let delay = crashesInInitialSync, member.isInitialSyncRunning,
            remembers || member.member?.isCountedVoter == false
        {
            crashesInInitialSync = nil
            later(delay) { [unowned self] in
                guard member.isInitialSyncRunning else { return }
                crashedInInitialSync += 1
                member.crash()
            }
        }
    }

    private func compareLogs() {
        for member in members where member.isAlive {
            if let node = member.node { checker.compareLog(member, node) }
        }
        checker.compareData(self)
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
                members.prefix(initialCount).map {
                    $0.kind.description(id: $0.id, host: $0.endpoint.description)
                }),
            "settings": [
                "heartbeatIntervalMillis": .int64(timing.heartbeatInterval.wholeMilliseconds),
                "electionTimeoutMillis": .int64(timing.electionTimeout.wholeMilliseconds),
                "catchUpTakeoverDelayMillis": .int64(timing.catchUpTakeoverDelay.wholeMilliseconds),
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
        missing(of: member, primary: primary) == nil
    }

    /// What keeps the member from being intact; nil when nothing does.
    private func missing(of member: SimulatedMember, primary: SimulatedMember) -> String? {
        guard member.isAlive else { return "is dead" }
        guard !member.isPaused, let state = member.state, let config = primary.member?.config,
            let place = config.index(of: member.id)
        else { return "is paused, starting or not in the configuration" }
        if config.members[place].isNewlyAdded { return "has not got its vote back" }
        if config.members[place].isArbiter { return state == .arbiter ? nil : "is \(state.name)" }
        guard state == .primary || state == .secondary else { return "is \(state.name)" }
        guard !member.lastApplied.isNull, let node = primary.node else { return "has no data" }
        let isKnown = (try? node.oplogContains(member.lastApplied)) == true
        return isKnown ? nil : "has entries up to \(member.lastApplied), which the primary has not"
    }

    /// The members that the primary's configuration names.
    func participants(_ config: ReplicaSetConfig) -> [SimulatedMember] {
        members.filter { config.index(of: $0.id) != nil }
    }

    /// What keeps the set from agreement, in lines; empty when all agree.
    public var missingForAgreement: [String] {
        guard let primary, let own = primary.member, let config = own.config else {
            return ["no member is primary and takes writes"]
        }
        let primaries = members.filter { $0.member?.isPrimary == true && $0.isAlive }
        var lines: [String] = []
        if primaries.count > 1 { lines.append("primaries: \(primaries.map(\.name).joined(separator: ", "))") }
        let last = primary.lastApplied
        for member in participants(config) {
            if let why = missing(of: member, primary: primary) {
                lines.append("\(member.name) \(why)")
                continue
            }
            let isArbiter = config.index(of: member.id).map { config.members[$0].isArbiter } ?? false
            if !isArbiter, member.lastApplied != last {
                lines.append("\(member.name) has applied \(member.lastApplied), the primary \(last)")
            }
            if !isArbiter, member.commitPoint != last {
                lines.append("\(member.name) knows the commit point \(member.commitPoint), not \(last)")
            }
            if member.term != own.term { lines.append("\(member.name) is in term \(member.term), not \(own.term)") }
            if let theirs = member.member?.config?.configVersion, theirs != config.configVersion {
                lines.append("\(member.name) has the configuration \(theirs), not \(config.configVersion)")
            }
        }
        return lines
    }

    /// Whether enough voters are alive that remember, to elect and to commit: those that the newest configuration
    /// counts. When they are not, the set is unavailable for good, as promised, and must only never be wrong.
    public var canElect: Bool {
        let alive = members.filter(\.isAlive).compactMap(\.member)
        let configs = alive.compactMap(\.config)
        guard let newest = configs.max(by: { $0.configVersion.isOlder(than: $1.configVersion) }) else { return false }
        let voters = newest.members.filter { voter in
            voter.isVoter
                && alive.contains { member in
                    member.ownID == voter.id && member.config != nil
                        && (voter.incarnation == nil || voter.incarnation == member.incarnation)
                }
        }
        // With arbiters a set can elect that cannot commit any more.
        return voters.count >= newest.votingMajority && voters.contains(where: \.isElectable)
            && voters.count(where: \.isDataBearing) >= newest.writeMajority
    }

    /// Whether a majority of voters is at work and has one among it that may stand and has all that they have: then
    /// they must elect a primary soon (I27).
    var couldElectNow: Bool {
        let present = members.filter { $0.isAlive && !$0.isPaused }.compactMap(\.member)
        // One in office catches up, or waits for others before it steps down.
        let newestTerm = present.map(\.term).max() ?? 0
        if present.contains(where: { $0.isPrimary && $0.term == newestTerm }) { return false }
        let configs = present.compactMap(\.config)
        guard let newest = configs.max(by: { $0.configVersion.isOlder(than: $1.configVersion) }) else { return false }
        let voters = present.filter { member in
            guard let index = member.ownID.flatMap({ newest.index(of: $0) }), newest.members[index].isVoter else {
                return false
            }
            let expected = newest.members[index].incarnation
            return (expected == nil || expected == member.incarnation) && member.config == newest
                && (member.state.isReadable || member.state == .arbiter)
        }
        return voters.contains { candidate in
            candidate.isFitToStand
                && voters.count { $0.progress.written <= candidate.progress.written } >= newest.votingMajority
        }
    }

    /// Whether all members agree: one primary, everybody counted and caught up, everything committed everywhere.
    public var isConverged: Bool {
        // Looked at after each event: the cheap questions come first.
        guard let primary, let own = primary.member, own.commitPoint == primary.lastApplied else { return false }
        return missingForAgreement.isEmpty
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
        try world.run(
            until: { self.isConverged }, atMost: limit,
            "agreement of all members in \(name)\n  \(self.summary)\n"
                + "  missing: \(self.missingForAgreement.joined(separator: "; "))\n")
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
        // One that was just removed, and does not know it yet, still shows SECONDARY and may lack the newest entries.
        let config = primary?.member?.config
        for member in members where member.isAlive && (member.state == .primary || member.state == .secondary) {
            guard let node = member.node else { continue }
            if let config, !config.members.contains(where: { $0.id == member.id }) { continue }
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

    /// No message passes between two nodes, clients' included.
    func cut(_ a: String, _ b: String) {
        world.apply(.block(from: a, to: b))
        world.apply(.block(from: b, to: a))
    }

    /// Messages pass again between two nodes.
    func join(_ a: String, _ b: String) {
        world.apply(.unblock(from: a, to: b))
        world.apply(.unblock(from: b, to: a))
    }

    /// Lets all messages of the whole world pass again.
    public func heal() {
        timeline.add("NETWORK", "HEAL")
        world.apply(.heal)
    }
}
