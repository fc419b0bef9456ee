import BSON
public import Core

/// From winning an election to taking writes: catch up, drain, new configuration term,
/// first entry of the term.
extension Member {
    mutating func win(_ now: Instant) {
        guard let won = candidacy, let me = selfConfig else { return }
        candidacy = nil
        failedTries = 0
        electionTimer = nil
        takeoverTimer = nil
        takeoverReason = nil
        primaryID = me.id
        lastPrimaryID = me.id
        log(.info, "elected primary in term \(term)")
        candidateMetrics.win(term: term)
        electionCounts.won(won.reason)
        leadership = Leadership(electedAt: now)
        let timeout = settings.catchUpTimeoutMillis
        if timeout > 0 { leadership?.catchUpDeadline = now + .milliseconds(timeout) }
        if let request = won.request { directives.append(.complete(request, nil)) }
        setSyncSource(nil)
        hasUnsentProgress = false
        for index in peers.indices {
            // Who has been silent for an election timeout, as a stalled primary has, is not waited for.
            let heard = peers[index].lastHeard ?? .zero
            peers[index].hasReportedSinceElection = index == selfIndex || now - heard >= settings.electionTimeout
        }
        heartbeatEveryone(now)
    }

    mutating func continueLeadership(_ now: Instant) {
        switch leadership?.mode {
        case .catchingUp: continueCatchUp(now)
        case .draining: continueDrain(now)
        default: break
        }
    }

    private mutating func continueCatchUp(_ now: Instant) {
        guard settings.catchUpTimeoutMillis != 0 else { return startDrain(.skipped) }
        // Known once every member has answered or failed since we won.
        guard leadership?.catchUpTarget != nil || peers.allSatisfy(\.hasReportedSinceElection) else { return }
        // Looked at afresh each time: who held the newest entries may be gone, and then nobody can give them to us.
        var target = progress.applied
        let electedAt = leadership?.electedAt ?? now
        for index in peers.indices where mayBeCaughtUpFrom(index) {
            guard let heard = peers[index].lastHeard, heard >= electedAt else { continue }
            target = max(target, peers[index].reported)
        }
        if leadership?.catchUpTarget == nil { candidateMetrics.catchUpTarget = target }
        leadership?.catchUpTarget = target
        if progress.applied >= target {
            return startDrain(target == candidateMetrics.seenAtElection ? .alreadyCaughtUp : .succeeded)
        }
        let source = syncSource.flatMap { config?.index(of: $0) }
        if let source, peers[source].isUp, peers[source].reported > progress.applied { return }
        if let source = catchUpSource(now) {
            probe("catch-up")
            setSyncSource(source)
        }
    }

    private func mayBeCaughtUpFrom(_ index: Int) -> Bool {
        index != selfIndex && peers[index].isUp && peers[index].state.isReadable
            && leadership?.divergedSources.contains(peers[index].id) == false
    }

    /// What that member has beyond ours is of a branch of history that has lost the election: it takes it back as soon
    /// as it follows us. What a majority holds is in our log already.
    public mutating func onCatchUpSourceDiverged(_ member: MemberID, now: Instant) -> [Directive] {
        if leadership?.mode == .catchingUp {
            probe("catch-up source diverged")
            leadership?.divergedSources.append(member)
            if syncSource == member { setSyncSource(nil) }
        } else {
            ignore(.notPrimary)
        }
        return settle(now)
    }

    /// Any member that is ahead, whether chaining is allowed or not.
    private func catchUpSource(_ now: Instant) -> MemberID? {
        var best: Int?
        for index in peers.indices where mayBeCaughtUpFrom(index) && peers[index].deniedUntil <= now {
            guard peers[index].reported > progress.applied else { continue }
            if let known = best, peers[known].reported >= peers[index].reported { continue }
            best = index
        }
        return best.map { peers[$0].id }
    }

    /// That many entries came from the one that is caught up from.
    public mutating func onCatchUpApplied(_ count: Int, now: Instant) -> [Directive] {
        if leadership != nil {
            candidateMetrics.catchUpEntries += Int64(count)
            electionCounts.catchUpEntries += Int64(count)
        } else {
            ignore(.notPrimary)
        }
        return settle(now)
    }

    /// Ends catch-up, reached or not.
    mutating func startDrain(_ end: ElectionCounts.CatchUpEnd) {
        guard leadership?.mode == .catchingUp else { return }
        electionCounts.ended(end)
        leadership?.mode = .draining
        leadership?.catchUpDeadline = nil
        setSyncSource(nil)
        directives.append(.drain(term: term))
    }

    /// `replSetAbortPrimaryCatchUp`.
    public mutating func onAbortCatchUpCommand(_ id: RequestID, now: Instant) -> [Directive] {
        if leadership?.mode == .catchingUp {
            startDrain(.aborted)
            directives.append(.complete(id, nil))
        } else {
            directives.append(.complete(id, ServerError(.illegalOperation, "the node is not in catch-up mode")))
        }
        return settle(now)
    }

    /// Everything that was fetched before the election has been applied.
    public mutating func onDrained(term drained: Int64, now: Instant) -> [Directive] {
        if leadership?.mode == .draining, drained == term {
            leadership?.hasDrained = true
        } else {
            ignore(.olderTerm)
        }
        return settle(now)
    }

    /// The configuration takes the new term, which keeps members with an older one from being elected; the no-op makes
    /// entries of earlier terms committable. They wait for the disk together.
    private mutating func continueDrain(_ now: Instant) {
        guard let config, leadership?.hasDrained == true else { return }
        if leadership?.askedForNoOp == false {
            leadership?.askedForNoOp = true
            directives.append(.writeNoOp(.newPrimary(term: term)))
        }
        if config.term == term {
            leadership?.hasNewConfig = true
        } else if configStore == nil {
            var next = config
            next.term = term
            store(next, for: .stepUp)
        }
        guard leadership?.hasNewConfig == true, leadership?.firstOpTime != nil else { return }
        leadership?.mode = .writable
        needsReadmissionCheck = true
        log(.info, "primary of term \(term) takes writes")
        directives.append(.startWrites(term: term))
        heartbeatEveryone(now)
    }

    /// The no-op that a directive asked for is in the oplog.
    public mutating func onNoOpWritten(
        _ purpose: NoOpPurpose, _ optime: OpTime, at wall: WallTime, now: Instant
    ) -> [Directive] {
        guard leadership != nil, optime.term == term else {
            ignore(.notPrimary)
            return settle(now)
        }
        progress.written = max(progress.written, optime)
        if optime > progress.applied {
            progress.applied = optime
            progress.appliedAt = wall
        }
        switch purpose {
        case .newPrimary(let of):
            guard of == term, leadership?.firstOpTime == nil else { break }
            leadership?.firstOpTime = optime
            candidateMetrics.termStartedAt = wall
        case .readmission(let member): noteReadmissionNoOp(member, optime)
        }
        return settle(now)
    }

    /// When a majority of the voters will have been silent for an election timeout; nil when that cannot happen.
    var majorityLostAt: Instant? {
        guard let config, let leadership, let selfIndex else { return nil }
        let others = config.votingMajority - (config.members[selfIndex].isVoter ? 1 : 0)
        guard others > 0 else { return nil }
        var heard: [Instant] = []
        for index in config.members.indices where index != selfIndex && config.members[index].isVoter {
            // Only the incarnation that may vote keeps a primary in office.
            guard counts(index) || peers[index].incarnation == nil else { continue }
            heard.append(max(peers[index].lastHeard ?? leadership.electedAt, leadership.electedAt))
        }
        guard heard.count >= others else { return leadership.electedAt }
        heard.sort(by: >)
        return heard[others - 1] + settings.electionTimeout
    }
}
