import BSON
public import Core

/// Standing for election (Raft §5.2, with a dry run before: MongoDB's manual, "Replica Set Elections"). When to stand
/// is the policy's business, whether it is allowed is not.
extension Member {
    // MARK: The policy

    /// Asks the policy and follows its answer.
    mutating func ask(_ event: ElectionEvent, now: Instant) {
        guard leadership == nil, let view = electionView(now) else { return }
        let decision = policy.decide(event, view)
        switch decision.kind {
        case .wait(let until, let timer):
            let instant = max(until, now + Limits.electionPolicyWaitMin)
            switch timer {
            case .election: electionTimer = instant
            case .takeover(let reason):
                takeoverTimer = instant
                takeoverReason = reason
            }
        case .cancelTakeover:
            takeoverTimer = nil
            takeoverReason = nil
        case .stand(let reason): stand(reason, skipDryRun: false, request: nil, now: now)
        case .abstain: break
        case .handOff, .grantDryRun, .refuseDryRun: ignore(.policyAnswerOutOfPlace)
        }
    }

    /// What the policy may know; nil while this member has no place in a configuration.
    mutating func electionView(_ now: Instant) -> ElectionView? {
        guard let config, let selfIndex else { return nil }
        let members = config.members.indices.map { index in
            let member = config.members[index]
            let isSelf = index == selfIndex
            return ElectionMember(
                id: member.id, host: member.host, isSelf: isSelf, isVoter: member.isVoter, isArbiter: member.isArbiter,
                isHidden: member.isHidden, priority: member.isElectable ? member.priority : 0,
                tags: member.tags.map { (name: $0.name, value: $0.value) }, isUp: isSelf || peers[index].isUp,
                state: isSelf ? state : peers[index].state,
                applied: isSelf ? progress.applied : peers[index].reported,
                ping: isSelf ? nil : peers[index].ping)
        }
        let delay = settings.catchUpTakeoverDelayMillis
        return ElectionView(
            now: now, term: term, members: members, selfIndex: selfIndex,
            primaryIndex: primaryID.flatMap { config.index(of: $0) }, primaryLastHeard: primaryLastHeard,
            isPrimaryConnectionOpen: lastPrimaryID.flatMap { config.index(of: $0) }
                .map { peers[$0].isConnectionOpen } ?? false,
            mayStand: standObstacle() == nil, failedTries: failedTries, electionTimer: electionTimer,
            takeoverTimer: takeoverTimer, takeoverReason: takeoverReason, electionTimeout: settings.electionTimeout,
            heartbeatInterval: settings.heartbeatInterval,
            catchUpTakeoverDelay: delay < 0 ? nil : .milliseconds(delay), random: random.next())
    }

    /// A primary of the current term gave a sign of life.
    mutating func heardPrimary(_ id: MemberID, now: Instant) {
        if primaryID != id {
            takeoverTimer = nil
            takeoverReason = nil
            primaryHeardAskedAt = nil
            // Whatever made it useless as a source was in an earlier term, perhaps in an earlier incarnation.
            if let index = config?.index(of: id) { peers[index].deniedUntil = .zero }
        }
        primaryID = id
        lastPrimaryID = id
        primaryLastHeard = now
        failedTries = 0
        if let candidacy, candidacy.phase == .dryRun, candidacy.request == nil,
            candidacy.reason == .electionTimeout || candidacy.reason == .primaryConnectionLost
        {
            abandonCandidacy("the primary was heard", now: now)
        }
        primaryIsAround(now)
    }

    /// Lets the policy move its timer. Batches of the oplog come thousands a second, so not for every sign of life.
    mutating func primaryIsAround(_ now: Instant) {
        if let asked = primaryHeardAskedAt, now - asked < settings.heartbeatInterval / 8 { return }
        primaryHeardAskedAt = now
        ask(.primaryHeard, now: now)
    }

    mutating func tickElections(_ now: Instant) {
        if leadership != nil {
            if let lost = majorityLostAt, lost <= now {
                probe("primary lost its majority")
                stepDown(.lostMajority, now: now)
            }
            if let deadline = leadership?.catchUpDeadline, deadline <= now { startDrain(.timedOut) }
            return
        }
        if let candidacy, candidacy.deadline <= now { failCandidacy("no majority answered in time", now: now) }
        if let timer = takeoverTimer, timer <= now {
            takeoverTimer = nil
            ask(.takeoverTimer, now: now)
            if takeoverTimer == nil { takeoverReason = nil }
        }
        if let timer = electionTimer, timer <= now {
            ask(.electionTimer, now: now)
            // Whatever the policy said, it is asked again: a forgotten timer would be a member that never stands.
            if electionTimer == timer { electionTimer = candidacy == nil ? now + settings.heartbeatInterval : nil }
        }
    }

    // MARK: Standing

    /// Why this member may not stand; nil when it may.
    func standObstacle(ignoringPrimary: Bool = false) -> String? {
        guard let config, let selfIndex, let me = selfConfig else { return "no place in a configuration" }
        if me.isArbiter { return "arbiters hold no data" }
        if !me.isElectable { return "priority 0" }
        if !mayVote { return "no vote in this life" }
        if followerState != .secondary { return "state is \(followerState.name)" }
        if progress.written.isNull { return "no data" }
        if maintenanceDepth > 0 { return "in maintenance mode" }
        if freezeUntil != nil { return "frozen" }
        if isShuttingDown { return "shutting down" }
        if configStore != nil { return "a configuration is being stored" }
        if ignoringPrimary { return nil }
        if leadership != nil { return "already primary" }
        if candidacy != nil { return "already standing" }
        if term >= Limits.electionTermMax { return "out of terms" }
        var votersUp = 0
        for index in config.members.indices where config.members[index].isVoter {
            if index == selfIndex || peers[index].isUp { votersUp += 1 }
        }
        // Freshly initiated, or started: nobody has answered yet, and asking for votes is how to find out.
        let nobodyKnown = peers.indices.allSatisfy { $0 == selfIndex || peers[$0].pingCount == 0 }
        return votersUp >= config.votingMajority || nobodyKnown ? nil : "no majority of the voters is in sight"
    }

    mutating func stand(_ reason: ElectionReason, skipDryRun: Bool, request: RequestID?, now: Instant) {
        if let obstacle = standObstacle() {
            ignore(.mayNotStand(obstacle))
            if let request {
                let error = ServerError(.commandFailed, "election failed: \(obstacle)")
                directives.append(.complete(request, error))
            }
            return
        }
        guard let config, let me = selfConfig else { return }
        log(.info, "standing for election in term \(term + 1): \(reason.rawValue)")
        switch reason {
        case .catchUpTakeover: probe("catch-up takeover")
        case .priorityTakeover: probe("priority takeover")
        default: break
        }
        electionTimer = nil
        candidateMetrics.start(reason, view: self)
        electionCounts.stood(reason)
        let exchange = Exchange(nextNumber())
        candidacy = Candidacy(
            phase: .dryRun, reason: reason, request: request, term: term, config: config.configVersion,
            exchange: exchange, ayes: [me.id], deadline: now + settings.electionTimeout)
        if skipDryRun || config.votingMajority == 1 {
            startRealElection(now)
        } else {
            requestVotes()
        }
    }

    /// `replSetStepUp`. A member that `replSetFreeze` keeps from standing does not stand for this either.
    public mutating func onStepUpCommand(_ id: RequestID, skipDryRun: Bool, now: Instant) -> [Directive] {
        if leadership != nil {
            directives.append(.complete(id, nil))
        } else {
            stand(skipDryRun ? .stepUpRequestSkipDryRun : .stepUpRequest, skipDryRun: skipDryRun, request: id, now: now)
        }
        return settle(now)
    }

    private mutating func requestVotes() {
        guard let config, let me = selfConfig, let candidacy else { return }
        let request = VoteRequest(
            setName: setName, setID: settings.replicaSetID, isDryRun: candidacy.phase == .dryRun,
            term: candidacy.term, candidateID: me.id, incarnation: incarnation, config: candidacy.config,
            lastWritten: progress.written, reason: candidacy.reason)
        for member in config.members where member.isVoter && member.id != me.id {
            directives.append(.sendVoteRequest(to: member.host, member.id, request, candidacy.exchange))
        }
    }

    /// Raises the term, votes for itself, and asks nobody before that vote is durable.
    private mutating func startRealElection(_ now: Instant) {
        guard let me = selfConfig else { return }
        term += 1
        primaryID = nil
        let vote = LastVote(term: term, candidateID: me.id)
        lastVote = vote
        let token = PersistToken(nextNumber())
        candidacy?.phase = .persisting
        candidacy?.term = term
        candidacy?.persisting = token
        // An aye to the dry run that comes late is no vote.
        let exchange = Exchange(nextNumber())
        candidacy?.exchange = exchange
        if !mutants.isActive(.dryRunCounts) { candidacy?.ayes = [me.id] }
        candidacy?.noes = []
        let deadline = now + settings.electionTimeout
        candidacy?.deadline = deadline
        directives.append(.persistVote(vote, token))
    }

    /// A vote is durable: our own, or one that a candidate waits for.
    public mutating func onVotePersisted(_ token: PersistToken, now: Instant) -> [Directive] {
        if let place = votesBeingPersisted.firstIndex(where: { $0.token == token }) {
            let vote = votesBeingPersisted.remove(at: place)
            directives.append(.replyToVoteRequest(vote.request, vote.response))
        } else if candidacy?.persisting == token {
            candidacy?.persisting = nil
            candidacy?.phase = .voting
            requestVotes()
            countVotes(now)
        } else {
            ignore(.notCandidate)
        }
        return settle(now)
    }

    public mutating func onVoteResponse(
        _ exchange: Exchange, from member: MemberID, _ response: VoteResponse, now: Instant
    ) -> [Directive] {
        adoptTerm(response.term, now: now)
        guard let current = candidacy else {
            ignore(.notCandidate)
            return settle(now)
        }
        guard current.exchange == exchange else {
            ignore(.olderExchange)
            return settle(now)
        }
        guard let index = config?.index(of: member), index != selfIndex, config?.members[index].isVoter == true else {
            ignore(.unknownMember)
            return settle(now)
        }
        guard !current.ayes.contains(member), !current.noes.contains(member) else { return settle(now) }
        if !counts(index, response.incarnation) {
            // Not waited for: nobody else will answer for this member before the time is over.
            ignore(.olderIncarnation)
            candidacy?.noes.append(member)
            candidateMetrics.lastRefusal = "member \(member) forgot the votes it cast"
        } else if response.isGranted {
            peers[index].lastHeard = now
            candidacy?.ayes.append(member)
        } else {
            peers[index].lastHeard = now
            candidacy?.noes.append(member)
            candidateMetrics.lastRefusal = response.reason
        }
        countVotes(now)
        return settle(now)
    }

    /// No answer, or an error as answer: as good as a no.
    public mutating func onVoteFailure(_ exchange: Exchange, from member: MemberID, now: Instant) -> [Directive] {
        guard let current = candidacy, current.exchange == exchange else {
            ignore(.olderExchange)
            return settle(now)
        }
        if !current.ayes.contains(member), !current.noes.contains(member) {
            candidacy?.noes.append(member)
            candidateMetrics.lastRefusal = "member \(member) did not answer"
            countVotes(now)
        }
        return settle(now)
    }

    private mutating func countVotes(_ now: Instant) {
        guard let config, let current = candidacy else { return }
        if current.ayes.count >= config.votingMajority {
            if current.phase == .dryRun { startRealElection(now) } else { win(now) }
        } else if config.voterCount - current.noes.count < config.votingMajority {
            failCandidacy("refused: \(candidateMetrics.lastRefusal)", now: now)
        }
    }

    private mutating func failCandidacy(_ why: String, now: Instant) {
        guard candidacy != nil else { return }
        abandonCandidacy(why, now: now)
        failedTries += 1
        ask(.candidacyFailed, now: now)
    }

    /// Ends a candidacy without telling the policy.
    mutating func abandonCandidacy(_ why: String, now: Instant) {
        guard let ended = candidacy else { return }
        candidacy = nil
        probe(ended.phase == .dryRun ? "dry run failed" : "election failed")
        log(.info, "not elected in term \(ended.term): \(why)")
        if let request = ended.request {
            directives.append(.complete(request, ServerError(.commandFailed, "election failed: \(why)")))
        }
        if electionTimer == nil { electionTimer = now + settings.electionTimeout }
    }

    /// A member that fetches from us told its term.
    public mutating func onTermSeen(_ seen: Int64, now: Instant) -> [Directive] {
        adoptTerm(seen, now: now)
        return settle(now)
    }

    /// Learns a term. A primary steps down before it shows the new one.
    mutating func adoptTerm(_ newTerm: Int64, now: Instant) {
        guard newTerm > term else { return }
        guard newTerm <= Limits.electionTermMax else { return ignore(.olderTerm) }
        if leadership != nil, mutants.isActive(.staleTermAccepted) { return }
        if leadership != nil {
            probe("primary saw a higher term")
            stepDownsByHigherTerm += 1
            stepDown(.higherTerm(newTerm), now: now)
        }
        abandonCandidacy("term \(newTerm) has begun", now: now)
        term = newTerm
        primaryID = nil
        heirs = []
        takeoverTimer = nil
        takeoverReason = nil
        ask(.termAdvanced, now: now)
    }
}
