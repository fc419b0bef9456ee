import BSON

/// `_id` of a member in the replica set's configuration.
public typealias MemberID = Int32

/// What a member is, as `replSetGetStatus` numbers it. Not a plug point.
public enum MemberState: Int32, Sendable, CaseIterable {
    /// No configuration yet.
    case startup = 0
    case primary = 1
    case secondary = 2
    /// Has data that is not yet fit to be read.
    case recovering = 3
    /// Initial sync.
    case startup2 = 5
    /// Only in others' eyes: never heard of.
    case unknown = 6
    case arbiter = 7
    /// Only in others' eyes: does not answer.
    case down = 8
    case rollback = 9
    /// Not in the configuration (any more).
    case removed = 10

    /// MongoDB's `stateStr`.
    public var name: StaticString {
        switch self {
        case .startup: "STARTUP"
        case .primary: "PRIMARY"
        case .secondary: "SECONDARY"
        case .recovering: "RECOVERING"
        case .startup2: "STARTUP2"
        case .unknown: "UNKNOWN"
        case .arbiter: "ARBITER"
        case .down: "DOWN"
        case .rollback: "ROLLBACK"
        case .removed: "REMOVED"
        }
    }
    /// Whether members may read the oplog of a member in this state.
    public var isReadable: Bool { self == .primary || self == .secondary }
}

/// One member as an election policy sees it.
public struct ElectionMember: Sendable {
    public var id: MemberID
    public var host: String
    public var isSelf: Bool
    public var isVoter: Bool
    public var isArbiter: Bool
    public var isHidden: Bool
    /// 0 for a member that may not become primary, also while it is newly added.
    public var priority: Double
    public var tags: [(name: String, value: String)]
    /// Whether the last heartbeat round reached it.
    public var isUp: Bool
    public var state: MemberState
    /// The newest entry that it is known to have applied.
    public var applied: OpTime
    /// Average round trip, nil before the first.
    public var ping: Duration?

    public init(
        id: MemberID, host: String, isSelf: Bool, isVoter: Bool, isArbiter: Bool, isHidden: Bool, priority: Double,
        tags: [(name: String, value: String)], isUp: Bool, state: MemberState, applied: OpTime, ping: Duration?
    ) {
        self.id = id
        self.host = host
        self.isSelf = isSelf
        self.isVoter = isVoter
        self.isArbiter = isArbiter
        self.isHidden = isHidden
        self.priority = priority
        self.tags = tags
        self.isUp = isUp
        self.state = state
        self.applied = applied
        self.ping = ping
    }
}

/// Everything an election policy may know: a value, made afresh for each question.
public struct ElectionView: Sendable {
    public var now: Instant
    public var term: Int64
    /// In the order of the configuration.
    public var members: [ElectionMember]
    /// This member's place in `members`.
    public var selfIndex: Int
    /// The primary of the current term, if one is known.
    public var primaryIndex: Int?
    /// When the last primary was last heard, nil if none ever was.
    public var primaryLastHeard: Instant?
    /// Whether the connection to the last known primary is open.
    public var isPrimaryConnectionOpen: Bool
    /// Whether this member may stand by the rules of the protocol. A policy that stands regardless is refused.
    public var mayStand: Bool
    /// Tries that failed since a primary was last heard.
    public var failedTries: Int
    /// When the timers were to fire that a policy asked for.
    public var electionTimer: Instant?
    public var takeoverTimer: Instant?
    public var takeoverReason: ElectionReason?
    public var electionTimeout: Duration
    public var heartbeatInterval: Duration
    /// nil when catch-up takeover is switched off.
    public var catchUpTakeoverDelay: Duration?
    /// A fresh random number; the policy's only source of chance.
    public var random: UInt64

    public init(
        now: Instant, term: Int64, members: [ElectionMember], selfIndex: Int, primaryIndex: Int?,
        primaryLastHeard: Instant?, isPrimaryConnectionOpen: Bool, mayStand: Bool, failedTries: Int,
        electionTimer: Instant?, takeoverTimer: Instant?, takeoverReason: ElectionReason?, electionTimeout: Duration,
        heartbeatInterval: Duration, catchUpTakeoverDelay: Duration?, random: UInt64
    ) {
        self.now = now
        self.term = term
        self.members = members
        self.selfIndex = selfIndex
        self.primaryIndex = primaryIndex
        self.primaryLastHeard = primaryLastHeard
        self.isPrimaryConnectionOpen = isPrimaryConnectionOpen
        self.mayStand = mayStand
        self.failedTries = failedTries
        self.electionTimer = electionTimer
        self.takeoverTimer = takeoverTimer
        self.takeoverReason = takeoverReason
        self.electionTimeout = electionTimeout
        self.heartbeatInterval = heartbeatInterval
        self.catchUpTakeoverDelay = catchUpTakeoverDelay
        self.random = random
    }

    public var me: ElectionMember { members[selfIndex] }
    public var primary: ElectionMember? { primaryIndex.map { members[$0] } }

    /// A random duration in `0 ... span`.
    public func randomDuration(upTo span: Duration) -> Duration {
        let nanoseconds = span.nanoseconds
        guard nanoseconds > 0 else { return .zero }
        return .nanoseconds(Int64(random.multipliedFullWidth(by: UInt64(nanoseconds)).high))
    }
}

/// Why a member stands. Travels in the vote request, so that voters can tell a broken link from a dead primary.
public enum ElectionReason: String, Sendable, CaseIterable {
    case electionTimeout
    case priorityTakeover
    case catchUpTakeover
    case stepUpRequest
    case stepUpRequestSkipDryRun
    case primaryConnectionLost
    case initiated
}

/// What happened that a policy is asked about.
public enum ElectionEvent: Sendable {
    /// The configuration was installed or the member became able to stand: set the first timer.
    case started
    /// This member initiated the set.
    case initiated
    /// The election timer fired.
    case electionTimer
    /// The takeover timer fired.
    case takeoverTimer
    /// A primary of the current term was heard, directly or in the metadata of a sync source.
    case primaryHeard
    /// A heartbeat described the primary afresh: the moment to think about a takeover.
    case primaryDescribed
    /// The connection to the primary broke.
    case primaryConnectionLost
    /// A higher term was learned: somebody else stands, or has won.
    case termAdvanced
    /// Our own try failed.
    case candidacyFailed
    /// A candidate asks for a dry run; the rules of the protocol would grant it.
    case dryRunRequested(candidate: MemberID, reason: ElectionReason)
    /// We step down on request: to whom, of these (caught up and electable, at least one), should the role go?
    case steppingDown(candidates: [MemberID])
}

extension OpTime {
    /// Whether this entry is of the same term as `newest` and at most so many seconds, or within one second so many
    /// increments, older.
    public func isFresh(comparedTo newest: OpTime, seconds: UInt32, increments: UInt32) -> Bool {
        guard term == newest.term else { return false }
        if self >= newest { return true }
        let behind = newest.timestamp.seconds - timestamp.seconds
        return behind == 0 ? newest.timestamp.increment - timestamp.increment <= increments : behind <= seconds
    }
}
