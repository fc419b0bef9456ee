import BSON
public import Core

/// `replSetInitiate`: every proposed member is asked whether it is empty; the incarnations that answer are the founding
/// voters.
extension Member {
    public mutating func onInitiateCommand(_ id: RequestID, _ proposed: ReplicaSetConfig, now: Instant) -> [Directive] {
        do {
            try start(initiating: proposed, id, now: now)
        } catch {
            directives.append(.complete(id, error))
        }
        return settle(now)
    }

    private mutating func start(initiating proposed: ReplicaSetConfig, _ id: RequestID, now: Instant)
        throws(ServerError)
    {
        guard config == nil, configStore == nil else { throw ServerError(.alreadyInitialized, "already initialized") }
        guard pendingInitiate == nil else {
            throw ServerError(.configurationInProgress, "another replSetInitiate is in progress")
        }
        guard proposed.setName == setName else {
            throw ServerError(
                .invalidReplicaSetConfig,
                "Attempting to initiate a replica set with name '\(proposed.setName)', but command line reports "
                    + "'\(setName)'; rejecting")
        }
        guard proposed.version == 1 else {
            throw ServerError(.newReplicaSetConfigurationIncompatible, "the first configuration must have version 1")
        }
        // Under which name it is meant is found out by asking: one of those who answer is this member itself.
        let me = ownPlace(in: proposed)
        if let me { try checkMayInitiate(proposed.members[me]) }
        try Self.checkDefault(of: proposed)
        var first = proposed
        first.term = Member.initiatingTerm
        if first.settings.replicaSetID == nil {
            first.settings.replicaSetID = ObjectID(high: random.next(), low: UInt32(truncatingIfNeeded: random.next()))
        }
        if let me, proposed.members[me].votes > 0 { first.members[me].incarnation = incarnation }
        if isVolatile { first.writeConcernMajorityJournalDefault = false }
        var rollCall = RollCall(places: first.members.count, deadline: now + Limits.initiateWaitMax)
        if let me { rollCall.note(ownVoice, at: me) }
        for index in first.members.indices where index != me {
            let exchange = Exchange(nextNumber())
            rollCall.ask(index, exchange)
            let check = HeartbeatRequest(
                setName: setName, from: ownHosts.first ?? "", fromID: nil, to: first.members[index].host,
                report: makeReport(), purpose: .quorumCheck)
            directives.append(
                .sendHeartbeat(to: first.members[index].host, check, exchange, timeout: Limits.initiateWaitMax))
        }
        pendingInitiate = PendingInitiate(request: id, config: first, rollCall: rollCall)
        initiateWhenAnswered()
    }

    private func checkMayInitiate(_ me: MemberConfig) throws(ServerError) {
        guard me.isElectable else {
            throw ServerError(.nodeNotElectable, "this node is not electable under the new configuration")
        }
    }

    /// At the other side: could this member be initiated?
    mutating func answerQuorumCheck(_ request: HeartbeatRequest, _ id: RequestID) {
        if request.report.run == run {
            directives.append(.replyToHeartbeat(id, HeartbeatResponse(setName: setName, report: makeReport())))
        } else if config != nil {
            directives.append(.complete(id, ServerError(.alreadyInitialized, "already initialized")))
        } else if pendingInitiate != nil || configStore != nil {
            // Two sets of one name would come of it, and this member would be in both.
            let error = ServerError(.configurationInProgress, "another replSetInitiate is in progress")
            directives.append(.complete(id, error))
        } else if !progress.written.isNull {
            let error = ServerError(
                .cannotInitializeNodeWithData, "\(ownHosts.first ?? "this node") has data already, cannot initiate set")
            directives.append(.complete(id, error))
        } else {
            directives.append(.replyToHeartbeat(id, HeartbeatResponse(setName: setName, report: makeReport())))
        }
    }

    /// False when the exchange is none of ours.
    mutating func takeQuorumCheck(_ exchange: Exchange, _ response: HeartbeatResponse, now: Instant) -> Bool {
        guard let index = pendingInitiate?.rollCall.place(of: exchange) else { return false }
        guard response.setName == setName else {
            failInitiate(
                ServerError(.nodeNotFound, quorumFailed(index, "its set name is '\(response.setName)'")))
            return true
        }
        pendingInitiate?.rollCall.note(response.voice, at: index)
        if response.report.run == run {
            noteSelf(at: index, now: now)
            initiateWhenAnswered()
            return true
        }
        if (pendingInitiate?.config.members[index].votes ?? 0) > 0 {
            pendingInitiate?.config.members[index].incarnation = response.report.incarnation
            if response.report.isVolatile, pendingInitiate?.config.members[index].isArbiter == false {
                pendingInitiate?.config.writeConcernMajorityJournalDefault = false
            }
        }
        initiateWhenAnswered()
        return true
    }

    /// The member that answered is this one.
    private mutating func noteSelf(at index: Int, now: Instant) {
        guard let pending = pendingInitiate else { return }
        let me = pending.config.members[index]
        if let other = ownPlace(in: pending.config) {
            return failInitiate(
                ConfigFields.error(
                    "members.\(index).host", "'\(me.host)' and '\(pending.config.members[other].host)' are this node"))
        }
        do { try checkMayInitiate(me) } catch { return failInitiate(error) }
        learnOwnHost(me.host, now: now)
        if me.votes > 0 { pendingInitiate?.config.members[index].incarnation = incarnation }
    }

    /// False when the exchange is none of ours.
    mutating func failQuorumCheck(_ exchange: Exchange, _ error: ServerError, now: Instant) -> Bool {
        guard let index = pendingInitiate?.rollCall.place(of: exchange) else { return false }
        let isTheirs = error.code == .cannotInitializeNodeWithData || error.code == .alreadyInitialized
        failInitiate(ServerError(isTheirs ? error.code : .nodeNotFound, quorumFailed(index, error.message)))
        return true
    }

    private func quorumFailed(_ index: Int, _ why: String) -> String {
        let host = pendingInitiate?.config.members[index].host ?? ""
        return "replSetInitiate quorum check failed because not all proposed set members responded affirmatively: "
            + "\(host) failed with \(why)"
    }

    private mutating func failInitiate(_ error: ServerError) {
        guard let pending = pendingInitiate, !pending.isStoring else { return }
        pendingInitiate = nil
        directives.append(.complete(pending.request, error))
    }

    private mutating func initiateWhenAnswered() {
        guard let pending = pendingInitiate, !pending.isStoring, pending.rollCall.isComplete else {
            return
        }
        guard ownPlace(in: pending.config) != nil else {
            return failInitiate(
                ServerError(
                    .invalidReplicaSetConfig,
                    "No host described in new configuration with {version: \(pending.config.version), term: 0} for "
                        + "replica set \(setName) maps to this node, " + ownHosts.joined(separator: ", ")))
        }
        if let (one, other) = pending.rollCall.doubled {
            let hosts = "'\(pending.config.members[other].host)' and '\(pending.config.members[one].host)'"
            return failInitiate(ConfigFields.error("members.\(other).host", "\(hosts) are the same node"))
        }
        pendingInitiate?.isStoring = true
        directives.append(.initiate(pending.config))
    }

    /// Configuration and first entry are durable.
    public mutating func onInitiated(_ first: Progress, now: Instant) -> [Directive] {
        guard let pending = pendingInitiate, pending.isStoring else {
            ignore(.olderExchange)
            return settle(now)
        }
        pendingInitiate = nil
        progress = first
        adopt(pending.config, now: now)
        directives.append(.complete(pending.request, nil))
        standsOnceFounded = true
        standIfFounded(now)
        return settle(now)
    }

    /// The initiator stands as soon as a majority has taken the configuration: before, nobody could vote for it.
    mutating func standIfFounded(_ now: Instant) {
        guard standsOnceFounded, configIsCommitted else { return }
        standsOnceFounded = false
        ask(.initiated, now: now)
    }

    mutating func tickInitiate(_ now: Instant) {
        guard let pending = pendingInitiate, pending.deadline <= now, !pending.isStoring else { return }
        let silent = pending.rollCall.firstAwaited ?? 0
        failInitiate(ServerError(.nodeNotFound, quorumFailed(silent, "no answer in time")))
    }
}
