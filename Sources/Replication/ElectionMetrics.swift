import BSON
import Core

/// `electionCandidateMetrics` of `replSetGetStatus`.
struct CandidateMetrics: Sendable {
    var reason = ElectionReason.electionTimeout
    var lastRefusal = ""
    private var stoodAt = Instant.zero
    private var writableAt: Instant?
    private var term: Int64 = 0
    private var committedAtElection = OpTime.null
    private var seenAtElection = OpTime.null
    private var votesNeeded = 0
    private var priority = 0.0
    private var priorPrimary: MemberID?
    var catchUpTarget: OpTime?

    mutating func start(_ reason: ElectionReason, view member: Member, now: Instant) {
        self = CandidateMetrics()
        self.reason = reason
        stoodAt = now
        committedAtElection = member.commitPoint
        seenAtElection = member.progress.written
        votesNeeded = member.config?.votingMajority ?? 0
        priority = member.selfConfig?.priority ?? 0
        priorPrimary = member.lastPrimaryID == member.selfConfig?.id ? nil : member.lastPrimaryID
    }

    mutating func win(term: Int64, now: Instant) { self.term = term }
    mutating func noteWritable(now: Instant) { writableAt = now }

    func write(
        to writer: DocumentWriter, _ supplement: StatusSupplement, now: Instant, settings: ReplicaSetConfig.Settings
    ) {
        func date(_ instant: Instant) -> Int64 {
            supplement.wallClock.milliseconds - (now - instant).wholeMilliseconds
        }
        writer.document("electionCandidateMetrics") { document in
            document.append("lastElectionReason", string: reason.rawValue)
            document.append("lastElectionDate", dateTime: date(stoodAt))
            document.append("electionTerm", int64: term)
            document.append("lastCommittedOpTimeAtElection", committedAtElection)
            document.append("lastSeenOpTimeAtElection", seenAtElection)
            document.append("numVotesNeeded", int32: Int32(clamping: votesNeeded))
            document.append("priorityAtElection", double: priority)
            document.append("electionTimeoutMillis", int64: settings.electionTimeoutMillis)
            if let priorPrimary { document.append("priorPrimaryMemberId", int32: priorPrimary) }
            if let catchUpTarget { document.append("targetCatchupOpTime", catchUpTarget) }
            if let writableAt { document.append("newTermStartDate", dateTime: date(writableAt)) }
        }
    }
}

/// `electionParticipantMetrics` of `replSetGetStatus`: the last real election that this member was asked in.
struct ParticipantMetrics: Sendable {
    let term: Int64
    let candidate: MemberID
    let isGranted: Bool
    let reason: String
    let candidateLast: OpTime

    init(_ request: VoteRequest, isGranted: Bool, reason: String) {
        term = request.term
        candidate = request.candidateID
        self.isGranted = isGranted
        self.reason = reason
        candidateLast = request.lastWritten
    }

    func write(to writer: DocumentWriter) {
        writer.document("electionParticipantMetrics") { document in
            document.append("votedForCandidate", bool: isGranted)
            document.append("electionTerm", int64: term)
            document.append("electionCandidateMemberId", int32: candidate)
            document.append("voteReason", string: reason)
            document.append("lastWrittenOpTimeAtElection", candidateLast)
        }
    }
}
