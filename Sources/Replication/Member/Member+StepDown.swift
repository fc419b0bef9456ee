import BSON
public import Core

/// Giving the primary role up (MongoDB's manual, "replSetStepDown").
extension Member {
    /// At once and whatever else is going on.
    mutating func stepDown(_ reason: StepDownReason, now: Instant) {
        guard let ended = leadership else { return }
        log(.info, "stepping down in term \(term): \(reason)")
        if ended.mode == .catchingUp {
            if case .higherTerm = reason { electionCounts.ended(.newTerm) } else { electionCounts.ended(.failed) }
        }
        leadership = nil
        primaryID = nil
        failedTries = 0
        if let attempt = ended.stepDown {
            let error = ServerError(.primarySteppedDown, "stepped down for another reason: \(reason)")
            directives.append(.complete(attempt.request, reason == .command ? nil : error))
        }
        if pendingReconfig?.isForced == false {
            failReconfig(ServerError(.primarySteppedDown, "stepped down while reconfiguring"))
        }
        if !mutants.isActive(.stepDownKeepsWaiters) {
            failWaiters(
                ServerError(.primarySteppedDown, "Primary stepped down while waiting for replication"),
                includingReads: false)
        }
        setSyncSource(nil)
        directives.append(.steppedDown(reason))
        heartbeatEveryone(now)
        if reason != .command { ask(.started, now: now) }
    }

    /// `replSetStepDown`.
    public mutating func onStepDownCommand(
        _ id: RequestID, stepDownFor period: Duration, catchUpFor catchUp: Duration, force: Bool, now: Instant
    ) -> [Directive] {
        if let error = stepDownError(period: period, catchUp: catchUp) {
            directives.append(.complete(id, error))
            return settle(now)
        }
        leadership?.mode = .attemptingStepDown
        leadership?.stepDown = StepDownAttempt(
            request: id, isForced: force, catchUpDeadline: now + catchUp, freezeUntil: now + period)
        directives.append(.stopWrites)
        if catchUp <= .zero { expireStepDown(now) }
        return settle(now)
    }

    private func stepDownError(period: Duration, catchUp: Duration) -> ServerError? {
        switch leadership?.mode {
        case .writable: break
        case .attemptingStepDown:
            return ServerError(.conflictingOperationInProgress, "another step-down attempt is in progress")
        default: return ServerError(.notWritablePrimary, "not primary so can't step down")
        }
        guard period > .zero, catchUp >= .zero else {
            return ServerError(.badValue, "stepdown period must be a positive number of seconds")
        }
        guard period >= catchUp else {
            return ServerError(.badValue, "stepdown period must be longer than secondaryCatchUpPeriodSecs")
        }
        return nil
    }

    /// Members that have all we have, and of those the ones that could take over.
    private func caughtUp() -> (voters: Int, electable: [MemberID]) {
        guard let config, let selfIndex else { return (0, []) }
        var voters = 0
        var electable: [MemberID] = []
        for index in config.members.indices where counts(index) {
            let reached = index == selfIndex || peers[index].progress.applied >= progress.applied
            guard reached, config.members[index].isDataBearing else { continue }
            if config.members[index].isVoter { voters += 1 }
            if index != selfIndex, config.members[index].isElectable, peers[index].isUp, peers[index].isElectable {
                electable.append(config.members[index].id)
            }
        }
        return (voters, electable)
    }

    /// Whether another member in sight could take over.
    public var couldHandOver: Bool {
        guard let config, leadership?.mode == .writable else { return false }
        return config.members.indices.contains { index in
            index != selfIndex && counts(index) && config.members[index].isElectable && peers[index].isUp
                && peers[index].isElectable
        }
    }

    mutating func continueStepDown(_ now: Instant) {
        guard let attempt = leadership?.stepDown, let config else { return }
        let (voters, electable) = caughtUp()
        guard voters >= config.writeMajority, !electable.isEmpty else { return }
        finish(attempt, electable: electable, now: now)
    }

    mutating func tickStepDown(_ now: Instant) {
        guard let attempt = leadership?.stepDown, attempt.catchUpDeadline <= now else { return }
        continueStepDown(now)
        if leadership?.stepDown != nil { expireStepDown(now) }
    }

    private mutating func expireStepDown(_ now: Instant) {
        guard let attempt = leadership?.stepDown else { return }
        let (voters, electable) = caughtUp()
        if attempt.isForced || (voters >= (config?.writeMajority ?? 0) && !electable.isEmpty) {
            return finish(attempt, electable: electable, now: now)
        }
        leadership?.mode = .writable
        leadership?.stepDown = nil
        let why =
            electable.isEmpty
            ? "No electable secondaries caught up" : "No majority of the members caught up"
        directives.append(.complete(attempt.request, ServerError(.exceededTimeLimit, "\(why) in time")))
        directives.append(.startWrites(term: term))
    }

    private mutating func finish(_ attempt: StepDownAttempt, electable: [MemberID], now: Instant) {
        stepDown(.command, now: now)
        freezeUntil = attempt.freezeUntil
        heirs = electable
        handOver(now)
    }

    private mutating func handOver(_ now: Instant) {
        guard !heirs.isEmpty, leadership == nil, primaryID == nil, let view = electionView(now) else { return }
        if case .handOff(let member) = policy.decide(.steppingDown(candidates: heirs), view).kind,
            heirs.contains(member), let index = config?.index(of: member)
        {
            probe("handed over")
            directives.append(.sendStepUp(to: peers[index].host, member))
        }
    }

    /// The member that was to take over will not, frozen perhaps since we heard of it: the next one is asked.
    public mutating func onHandOffRefused(_ member: MemberID, now: Instant) -> [Directive] {
        if heirs.contains(member) {
            heirs.removeAll { $0 == member }
            handOver(now)
        }
        return settle(now)
    }
}
