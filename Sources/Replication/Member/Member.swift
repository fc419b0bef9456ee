import BSON
public import Core

/// What a member starts from.
public struct MemberStart: Sendable {
    /// From `--replSet`.
    public var setName: String
    /// Every `host:port` under which others reach this member, as far as it knows: the first is what it calls itself.
    public var ownHosts: [String]
    public var incarnation: Incarnation
    /// How often the member was started with its data, this time included; durable before the member starts.
    public var startCount: Int64
    /// The engine forgets at a restart.
    public var isVolatile: Bool
    public var config: ReplicaSetConfig?
    public var lastVote: LastVote?
    /// The top of the oplog; null when it is empty or an initial sync was under way.
    public var progress: Progress
    /// What an earlier run knew to be committed.
    public var commitPoint: OpTime
    public var seed: UInt64
    /// Planted bugs, in the simulator.
    public var mutants: Mutants

    public init(
        setName: String, ownHosts: [String], incarnation: Incarnation, startCount: Int64 = 1, isVolatile: Bool = false,
        config: ReplicaSetConfig? = nil, lastVote: LastVote? = nil, progress: Progress = Progress(),
        commitPoint: OpTime = .null, seed: UInt64, mutants: Mutants = []
    ) {
        self.setName = setName
        self.ownHosts = ownHosts
        self.incarnation = incarnation
        self.startCount = startCount
        self.isVolatile = isVolatile
        self.config = config
        self.lastVote = lastVote
        self.progress = progress
        self.commitPoint = commitPoint
        self.seed = seed
        self.mutants = mutants
    }
}

/// The replication protocol of one member of a replica set: configuration, heartbeats, elections, sync source, commit
/// point and write concern, as a value.
///
/// The shell calls `on…` for everything that happens, with the time, and carries out the directives that come back, in
/// order. It sets one timer, for `nextWakeUp`, and calls `onTick` then. Nothing in here waits, reads a clock, draws
/// chance from outside or does IO, so a decision can be tested without a cluster.
///
/// The rules are MongoDB's protocol version 1, a Raft in which followers pull: Zhou and Mu, "Fault-Tolerant
/// Replication with Pull-Based Consensus in MongoDB" (NSDI 2021). They live in extensions by concern:
/// `Member+Heartbeats`, `+Elections`, `+Votes`, `+StepDown`, `+Maintenance`, `+SyncSource`,
/// `+Progress`, `+WriteConcern`, `+Defaults`, `+Config`, `+Reconfig`, `+Incarnation`, `+Status`, `+Hello`.
public struct Member: Sendable {
    /// Term of the oplog's first entry, which no primary wrote.
    public static let initiatingTerm: Int64 = 0

    let setName: String
    /// Names of this member: its own for itself, and those under which others have reached it.
    public internal(set) var ownHosts: [String]
    let isVolatile: Bool
    /// How often it was started with its data.
    public let startCount: Int64
    let policy: any ElectionPolicy
    /// Nil for the nearest sync source, as MongoDB has it.
    var syncSourceSelector: (any SyncSourceSelecting)?
    let mutants: Mutants
    var random: SplitMix64

    /// The wall clock at the event that is being told: the shell sets it before each. Only for dates that users see.
    public var wallClock = WallTime(milliseconds: 0)
    public internal(set) var incarnation: Incarnation
    public internal(set) var config: ReplicaSetConfig?
    /// Place in `config.members`; nil without a configuration or when it leaves us out.
    public internal(set) var selfIndex: Int?
    public internal(set) var term: Int64
    public internal(set) var lastVote: LastVote?
    /// What it is while it is not primary; the shell moves it.
    var followerState: MemberState
    /// How often `replSetMaintenance` was switched on and not off again: above zero, a secondary shows RECOVERING.
    var maintenanceDepth = 0
    var leadership: Leadership?
    var candidacy: Candidacy?
    /// In the order of `config.members`; the place of this member is kept and never looked at.
    var peers: [Peer] = []

    public internal(set) var progress: Progress
    /// What is known to be committed: nothing at or before it is rolled back.
    public internal(set) var commitPoint: OpTime
    /// The commit point is that of an earlier run, and this one has not heard of it yet. Later ones may have been read
    /// here before, so majority reads wait.
    var isCommitPointOfEarlierRun: Bool
    /// The write concern that `setDefaultRWConcern` has set for the whole set, as this member's data say.
    var clusterDefault: WriteConcern?
    var waiters = WaiterTable()

    // The primary, as far as known.
    var primaryID: MemberID?
    var lastPrimaryID: MemberID?
    var primaryLastHeard: Instant?
    var primaryHeardAskedAt: Instant?
    var failedTries = 0
    var electionTimer: Instant?
    var takeoverTimer: Instant?
    var takeoverReason: ElectionReason?
    /// Neither stands nor is taken over before this (`replSetFreeze`, `replSetStepDown`).
    var freezeUntil: Instant?
    /// Who could follow a primary that stepped down, while nobody has.
    var heirs: [MemberID] = []
    /// How often it stopped being primary because another term had begun.
    public internal(set) var stepDownsByHigherTerm: Int64 = 0

    var syncSource: MemberID?
    var forcedSyncSource: MemberID?
    var nextSyncSourceTry = Instant.zero
    /// Whom the selector would rather have than the source that is being left for it.
    var selectedSyncSource: MemberID?
    /// The selector is not asked before this whether it would rather have another source.
    var nextSyncSourceReview = Instant.zero
    var sourceChangesForPing: [Instant] = []
    var hasUnsentProgress = false
    var isUpdatePositionUnderWay = false
    var lastUpdatePosition = Instant.zero

    var configStore: ConfigStore?
    var pendingReconfig: PendingReconfig?
    var pendingInitiate: PendingInitiate?
    var standsOnceFounded = false
    /// Heartbeats of a member without configuration to those who called it.
    var bootstrapExchanges: [(host: String, exchange: Exchange, deadline: Instant)] = []
    var votesBeingPersisted: [(token: PersistToken, request: RequestID, response: VoteResponse)] = []
    var needsReadmissionCheck = false
    var isShuttingDown = false
    var candidateMetrics = CandidateMetrics()
    public internal(set) var electionCounts = ElectionCounts()
    var participantMetrics: ParticipantMetrics?

    let run: UInt64
    var counter: UInt64 = 0
    var shownState = MemberState.startup
    var shownTopology: TopologySummary?
    var directives: [Directive] = []

    /// - Parameter syncSourceSelector: picks among the sync sources that this member allows; nil for the nearest.
    public init(
        _ start: MemberStart, policy: any ElectionPolicy, syncSourceSelector: (any SyncSourceSelecting)? = nil
    ) {
        setName = start.setName
        ownHosts = start.ownHosts
        isVolatile = start.isVolatile
        startCount = start.startCount
        commitPoint = min(start.commitPoint, start.progress.written)
        isCommitPointOfEarlierRun = !start.commitPoint.isNull
        incarnation = start.incarnation
        config = start.config
        lastVote = start.lastVote
        progress = start.progress
        self.policy = policy
        self.syncSourceSelector = syncSourceSelector
        mutants = start.mutants
        var generator = SplitMix64(seed: start.seed)
        run = generator.next()
        random = generator
        term = max(start.lastVote?.term ?? 0, start.progress.written.term, start.config?.term ?? 0, 0)
        followerState = .startup
    }

    // MARK: Shape

    /// The state that this member shows.
    public var state: MemberState {
        guard config != nil else { return .startup }
        if selfIndex == nil { return .removed }
        if leadership != nil { return .primary }
        return followerState == .secondary && maintenanceDepth > 0 ? .recovering : followerState
    }
    /// Whether writes are taken.
    public var isWritablePrimary: Bool { leadership?.mode == .writable }
    /// Whether this member was elected and has not stepped down, writable or not.
    public var isPrimary: Bool { leadership != nil }
    var selfConfig: MemberConfig? {
        guard let config, let selfIndex else { return nil }
        return config.members[selfIndex]
    }
    var settings: ReplicaSetConfig.Settings { config?.settings ?? .init() }

    mutating func nextNumber() -> UInt64 {
        counter += 1
        return counter
    }

    // MARK: Events that concern everything

    /// The first event.
    public mutating func onStart(now: Instant) -> [Directive] {
        if let config { adopt(config, now: now) }
        return settle(now)
    }

    /// The timer set for `nextWakeUp` fired, or the loop had nothing better to do.
    public mutating func onTick(now: Instant) -> [Directive] {
        if let until = freezeUntil, until <= now { thaw(now) }
        tickHeartbeats(now)
        tickElections(now)
        tickStepDown(now)
        tickReconfig(now)
        tickInitiate(now)
        tickSyncSource(now)
        expireWaiters(now)
        return settle(now)
    }

    /// The member is about to stop: waiters are told, the primary role is given up.
    public mutating func onShutdown(now: Instant) -> [Directive] {
        isShuttingDown = true
        if leadership != nil { stepDown(.shutdown, now: now) }
        failWaiters(
            ServerError(.interruptedAtShutdown, "interrupted at shutdown"), includingReads: true)
        return settle(now)
    }

    /// When `onTick` is wanted next.
    public func nextWakeUp(now: Instant) -> Instant {
        var next = Instant.distantFuture
        func consider(_ instant: Instant?) { if let instant { next = min(next, instant) } }
        for (index, peer) in peers.enumerated() where selfIndex != nil && index != selfIndex {
            consider(peer.exchange == nil ? peer.nextHeartbeat : heartbeatDeadline(peer))
        }
        for exchange in bootstrapExchanges { consider(exchange.deadline) }
        // What is on its way to the disk is not given up.
        if pendingInitiate?.isStoring == false { consider(pendingInitiate?.deadline) }
        if pendingReconfig?.stage != .storing { consider(pendingReconfig?.deadline) }
        if pendingReconfig?.stage == .callingRoll { consider(pendingReconfig?.rollCall.deadline) }
        consider(freezeUntil)
        if leadership == nil {
            consider(electionTimer)
            consider(takeoverTimer)
            consider(candidacy?.deadline)
        }
        consider(leadership?.catchUpDeadline)
        consider(leadership?.stepDown?.catchUpDeadline)
        consider(majorityLostAt)
        if wantsSyncSource { consider(nextSyncSourceTry) }
        if syncSource != nil, reportsProgress { consider(lastUpdatePosition + settings.electionTimeout / 2) }
        consider(waiters.nextDeadline)
        return next
    }

    /// Ends every event: lets each concern draw its conclusions and hands the directives over.
    mutating func settle(_ now: Instant) -> [Directive] {
        if leadership != nil {
            advanceCommitPoint()
            continueLeadership(now)
            continueStepDown(now)
            continueReconfig(now)
            continueReadmissions(now)
        } else {
            if pendingReconfig?.isForced == true { continueReconfig(now) }
            leaveLostSyncSource(now)
            chooseSyncSourceIfNeeded(now)
            sendProgressIfNeeded(now)
        }
        completeWaiters()
        if state != shownState {
            shownState = state
            directives.append(.stateChanged(state))
            if !state.isReadable { failReadWaiters() }
        }
        let summary = TopologySummary(self)
        if summary != shownTopology {
            shownTopology = summary
            directives.append(.topologyChanged)
        }
        guard !directives.isEmpty else { return [] }
        var taken: [Directive] = []
        swap(&taken, &directives)
        return taken
    }

    mutating func ignore(_ why: Ignored) { directives.append(.ignored(why)) }
    /// Counts a rare path (docs/simulation.md).
    mutating func probe(_ name: StaticString) { directives.append(.probe(name)) }
    mutating func log(_ level: LogLevel, _ line: String) { directives.append(.log(level, line)) }

    // MARK: What the shell reports about the data

    /// The shell moved this member between the states of a follower: initial sync done, rollback, maintenance.
    /// Not for PRIMARY: that is decided here.
    public mutating func onFollowerState(_ next: MemberState, now: Instant) -> [Directive] {
        let wasReady = followerState == .secondary
        followerState = next
        if next == .startup2 || next == .rollback { abandonCandidacy("no longer fit to stand", now: now) }
        if next == .secondary, !wasReady { ask(.started, now: now) }
        heartbeatEveryone(now)
        return settle(now)
    }

    /// Whether what the oplog holds may be told to others. A clone under way proves nothing.
    var showsProgress: Bool { state != .startup && state != .startup2 }
}
