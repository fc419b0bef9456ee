import BSON
import Core

/// `electionCandidateMetrics` of `replSetGetStatus`.
struct CandidateMetrics: Sendable {
    var reason = ElectionReason.electionTimeout
    var lastRefusal = ""
    private var stoodAt = WallTime(milliseconds: 0)
    private var term: Int64 = 0
    private var committedAtElection = OpTime.null
    private(set) var seenAtElection = OpTime.null
    private var votesNeeded = 0
    private var priority = 0.0
    private var priorPrimary: MemberID?
    var catchUpTarget: OpTime?
    /// Entries that were fetched between the election and the first entry of the term.
    var catchUpEntries: Int64 = 0
    /// When the first entry of the term was written, and when a majority was found to have it.
    var termStartedAt: WallTime?
    var termCommittedAt: WallTime?

    mutating func start(_ reason: ElectionReason, view member: Member) {
        self = CandidateMetrics()
        self.reason = reason
        stoodAt = member.wallClock
        committedAtElection = member.commitPoint
        seenAtElection = member.progress.written
        votesNeeded = member.config?.votingMajority ?? 0
        priority = member.selfConfig?.priority ?? 0
        priorPrimary = member.lastPrimaryID == member.selfConfig?.id ? nil : member.lastPrimaryID
    }

    mutating func win(term: Int64) { self.term = term }

    func write(to writer: DocumentWriter, settings: ReplicaSetConfig.Settings) {
        writer.document("electionCandidateMetrics") { document in
            document.append("lastElectionReason", string: reason.rawValue)
            document.append("lastElectionDate", dateTime: stoodAt.milliseconds)
            document.append("electionTerm", int64: term)
            document.append("lastCommittedOpTimeAtElection", committedAtElection)
            document.append("lastSeenOpTimeAtElection", seenAtElection)
            document.append("numVotesNeeded", int32: Int32(clamping: votesNeeded))
            document.append("priorityAtElection", double: priority)
            document.append("electionTimeoutMillis", int64: settings.electionTimeoutMillis)
            if let priorPrimary { document.append("priorPrimaryMemberId", int32: priorPrimary) }
            if let catchUpTarget { document.append("targetCatchupOpTime", catchUpTarget) }
            document.append("numCatchUpOps", int64: catchUpEntries)
            if let termStartedAt { document.append("newTermStartDate", dateTime: termStartedAt.milliseconds) }
            if let termCommittedAt {
                document.append("wMajorityWriteAvailabilityDate", dateTime: termCommittedAt.milliseconds)
            }
        }
    }
}

/// `electionParticipantMetrics` of `replSetGetStatus`: the last real election that this member was asked in. What it
/// has not seen is left out.
struct ParticipantMetrics: Sendable {
    let term: Int64
    let candidate: MemberID
    let isGranted: Bool
    let reason: String
    private let votedAt: WallTime
    private let last: OpTime
    private let newest: OpTime
    private let priority: Double
    /// When the winner wrote the first entry of the term, and when this member applied it.
    private var termStartedAt: WallTime?
    private var termAppliedAt: WallTime?

    init(_ request: VoteRequest, isGranted: Bool, reason: String, view member: Member) {
        term = request.term
        candidate = request.candidateID
        self.isGranted = isGranted
        self.reason = reason
        votedAt = member.wallClock
        last = member.progress.written
        newest = member.peers.reduce(max(last, request.lastWritten)) { max($0, $1.reported) }
        priority = member.selfConfig?.priority ?? 0
    }

    mutating func noteTermBegun(_ began: Int64, startedAt: WallTime, appliedAt: WallTime) {
        guard began == term, termAppliedAt == nil else { return }
        termStartedAt = startedAt
        termAppliedAt = appliedAt
    }

    func write(to writer: DocumentWriter) {
        writer.document("electionParticipantMetrics") { document in
            document.append("votedForCandidate", bool: isGranted)
            document.append("electionTerm", int64: term)
            document.append("electionCandidateMemberId", int32: candidate)
            document.append("voteReason", string: reason)
            document.append("lastVoteDate", dateTime: votedAt.milliseconds)
            document.append("lastWrittenOpTimeAtElection", last)
            document.append("maxWrittenOpTimeInSet", newest)
            document.append("priorityAtElection", double: priority)
            if let termStartedAt { document.append("newTermStartDate", dateTime: termStartedAt.milliseconds) }
            if let termAppliedAt { document.append("newTermAppliedDate", dateTime: termAppliedAt.milliseconds) }
        }
    }
}
