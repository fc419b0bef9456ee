import BSON
public import Core

/// Voting for others (Raft §5.2 and §5.4.1).
extension Member {
    public mutating func onVoteRequest(_ request: VoteRequest, _ id: RequestID, now: Instant) -> [Directive] {
        if let stranger = stranger(request.setName, request.setID) {
            directives.append(.complete(id, stranger))
            ignore(.wrongSet)
            return settle(now)
        }
        guard let config, selfIndex != nil else {
            directives.append(.complete(id, ServerError(.notYetInitialized, "no replica set configuration yet")))
            ignore(.notInitialized)
            return settle(now)
        }
        if let index = config.index(of: request.candidateID), index != selfIndex {
            guard noteIncarnation(index, request.incarnation, askedAt: nil, now: now) else {
                probe("vote request of an earlier life")
                refuse(request, id, "the request is of an earlier life of the candidate")
                return settle(now)
            }
        }
        if candidacy != nil { probe("vote asked for while standing") }
        adoptTerm(request.term, now: now)
        if let obstacle = voteObstacle(request, now: now) {
            refuse(request, id, obstacle)
        } else if request.isDryRun {
            directives.append(
                .replyToVoteRequest(
                    id, VoteResponse(term: term, isGranted: true, reason: "", incarnation: incarnation)))
        } else {
            grant(request, id, now: now)
        }
        return settle(now)
    }

    private mutating func refuse(_ request: VoteRequest, _ id: RequestID, _ why: String) {
        probe(request.isDryRun ? "dry run refused" : "vote refused")
        if !request.isDryRun {
            participantMetrics = ParticipantMetrics(request, isGranted: false, reason: why, view: self)
        }
        directives.append(
            .replyToVoteRequest(id, VoteResponse(term: term, isGranted: false, reason: why, incarnation: incarnation)))
    }

    /// The aye leaves this member only when it is durable: after a restart it must not vote again in this term.
    private mutating func grant(_ request: VoteRequest, _ id: RequestID, now: Instant) {
        if !votesBeingPersisted.isEmpty { probe("vote while another is being written") }
        let vote = LastVote(term: request.term, candidateID: request.candidateID)
        lastVote = vote
        participantMetrics = ParticipantMetrics(request, isGranted: true, reason: "", view: self)
        let token = PersistToken(nextNumber())
        let response = VoteResponse(term: request.term, isGranted: true, reason: "", incarnation: incarnation)
        votesBeingPersisted.append((token, id, response))
        directives.append(.persistVote(vote, token))
    }

    /// Why the vote is refused; nil to grant it. The order is the facts page's.
    private mutating func voteObstacle(_ request: VoteRequest, now: Instant) -> String? {
        guard let config, let index = config.index(of: request.candidateID), index != selfIndex else {
            return "the candidate is not a member of our configuration"
        }
        if !mayVote { return "this member has no vote, or forgot the votes it cast" }
        if request.config.isOlder(than: config.configVersion) {
            return "the candidate's configuration \(request.config) is older than ours, \(config.configVersion)"
        }
        if request.term < term, !mutants.isActive(.staleTermAccepted) {
            return "the candidate's term \(request.term) is below ours, \(term)"
        }
        if request.term > term { return "the term \(request.term) cannot be" }
        if !counts(index, request.incarnation) { return "the candidate forgot what it acknowledged" }
        // A primary of the configuration's term exists, so every later election is for a later term.
        if !request.isDryRun, request.term <= config.term { return "term \(config.term) has had its election" }
        if request.lastWritten < progress.written, !mutants.isActive(.voteForStaleLog) {
            return "the candidate's last entry \(request.lastWritten) is behind ours, \(progress.written)"
        }
        if !request.isDryRun, let vote = lastVote, vote.term >= request.term, !mutants.isActive(.votesTwice) {
            return "already voted for member \(vote.candidateID) in term \(vote.term)"
        }
        if selfConfig?.isArbiter == true, request.config == config.configVersion, let primaryID,
            let primary = config.index(of: primaryID), peers[primary].isUp, primary != index,
            config.members[primary].priority >= config.members[index].priority
        {
            return "a healthy primary, \(peers[primary].host), is in sight"
        }
        guard request.isDryRun, var view = electionView(now) else { return nil }
        view.mayStand = standObstacle() == nil
        let question = ElectionEvent.dryRunRequested(candidate: request.candidateID, reason: request.reason)
        guard case .refuseDryRun(let why) = policy.decide(question, view).kind else { return nil }
        return why
    }
}
