internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Carrying out what the member decided, one directive at a time.
extension ReplicaSetRole {
    func perform(_ directive: Directive) throws {
        if node.lock.isHeld, directive.writes { return putOff(directive) }
        switch directive {
        case .sendHeartbeat(let host, let request, let exchange, let timeout):
            sendHeartbeat(to: host, request, exchange, timeout)
        case .sendVoteRequest(let host, let id, let request, let exchange):
            sendVoteRequest(to: host, id, request, exchange)
        case .sendUpdatePosition(let host, let position): sendPosition(to: host, position)
        case .sendStepUp(let host, let id): sendStepUp(to: host, id)
        case .replyToHeartbeat(let id, let response): answer(id, .heartbeat(response))
        case .replyToVoteRequest(let id, let response): answer(id, .vote(response))
        case .complete(let id, let error): answer(id, .done(error))
        case .persistVote(let vote, let token):
            if !runtime.hasMutant(.voteNotPersisted) { try local.persist(vote, node.data) }
            durability.whenDurable { [weak self] in
                self?.drive { member, now in member.onVotePersisted(token, now: now) }
            }
        case .persistConfig(let config, let token):
            try local.persist(config, node.data)
            durability.whenDurable { [weak self] in
                guard let self else { return }
                drive { member, now in member.onConfigPersisted(token, now: now) }
                dropUnusedLinks()
                syncSource.configChanged()
            }
        case .persistOwnHosts(let hosts): try local.persist(ownHosts: hosts, node)
        case .initiate(let config): try initiate(config)
        case .stateChanged(let state): try stateChanged(state)
        case .startInitialSync: startInitialSync()
        case .setSyncSource(let id, let host): syncSource.follow(id, host: host)
        case .drain(let term): syncSource.drain(term: term)
        case .writeNoOp(let purpose): try writeNoOp(purpose)
        case .stopWrites: setAcceptsWrites(false)
        case .startWrites: try startWrites()
        case .steppedDown(let reason): steppedDown(reason)
        case .commitPointAdvanced(let optime): try commitPointAdvanced(optime)
        case .completeWaiter(let id, let result): completeWaiter(id, result)
        case .topologyChanged:
            node.frontend.topology.bump()
            node.onTopologyChange?()
        case .log(let level, let line): runtime.log.log(level, "replication", line)
        case .ignored: break
        case .probe(let name): runtime.probe(name)
        }
    }

    /// Nothing is written while `fsync` holds its lock: a vote that is not on the disk is not given.
    private func putOff(_ directive: Directive) {
        node.lock.whenReleased { [weak self] in
            guard let self, !node.isStopped else { return }
            // It may have been deposed meanwhile.
            if case .startWrites = directive, !member.isWritablePrimary { return }
            do { try perform(directive) } catch { node.fail(error) }
        }
    }

    // MARK: Messages

    private func sendHeartbeat(
        to host: String, _ request: HeartbeatRequest, _ exchange: Exchange, _ timeout: Duration
    ) {
        // A name that may never be a member's gets a connection of its own, for the one question.
        let once = request.purpose == .rollCall ? makeLink(to: host) : nil
        (once ?? link(to: host)).request(request, timeout: timeout) { [weak self] result in
            defer { self?.runtime.enqueue { once?.close() } }
            self?.drive { member, now in
                switch result {
                case .success(let response): member.onHeartbeatResponse(exchange, response, now: now)
                case .failure(let error): member.onHeartbeatFailure(exchange, error.serverError, now: now)
                }
            }
        }
    }

    private func sendVoteRequest(to host: String, _ id: MemberID, _ request: VoteRequest, _ exchange: Exchange) {
        link(to: host).request(request) { [weak self] result in
            self?.drive { member, now in
                switch result {
                case .success(let response): member.onVoteResponse(exchange, from: id, response, now: now)
                case .failure: member.onVoteFailure(exchange, from: id, now: now)
                }
            }
        }
    }

    private func sendStepUp(to host: String, _ id: MemberID) {
        link(to: host).request(StepUpRequest(skipsDryRun: true)) { [weak self] result in
            guard case .failure = result else { return }
            self?.drive { member, now in member.onHandOffRefused(id, now: now) }
        }
    }

    private func sendPosition(to host: String, _ position: UpdatePosition) {
        link(to: host).request(position) { [weak self] _ in
            self?.drive { member, now in member.onUpdatePositionDone(now: now) }
        }
    }

    // MARK: Role and data

    private func initiate(_ config: ReplicaSetConfig) throws {
        try local.persist(config, node.data)
        let message: Document = ["msg": "initiating set"]
        try message.withView { view in
            // A set that is made of a backup goes on with the terms of the one that it was taken from.
            let term = max(Member.initiatingTerm, node.lastOpTime.term)
            let context = WriteContext(term: term, wall: runtime.wallClock, isReplicated: true)
            _ = try node.data.appendNoOp(view, context)
        }
        let progress = Progress(all: node.lastOpTime)
        durability.whenDurable { [weak self] in
            self?.drive { member, now in member.onInitiated(progress, now: now) }
        }
    }

    private func stateChanged(_ state: MemberState) throws {
        try member.checkInvariants()
        let reason = member.reasonForState
        runtime.log.log(
            reason == nil ? .info : .warning, "replication", "now \(state.name)\(reason.map { ": \($0)" } ?? "")")
        if state != .primary { setAcceptsWrites(false) }
    }

    private func writeNoOp(_ purpose: NoOpPurpose) throws {
        // Decided a moment ago; what was carried out in between may have deposed this member.
        guard member.isPrimary else { return }
        let message: Document
        switch purpose {
        case .newPrimary(let term):
            guard term == member.term else { return }
            message = ["msg": "new primary"]
        case .readmission(let id): message = ["msg": "readmission", "memberId": .int32(id)]
        }
        var context = WriteContext(term: member.term, wall: runtime.wallClock, isReplicated: true)
        // Without these the set cannot commit what its oplog may be full of.
        context.isNeededBySet = true
        let optime = try message.withView { try node.data.appendNoOp($0, context) }
        let wall = context.wall
        drive { member, now in member.onNoOpWritten(purpose, optime, at: wall, now: now) }
    }

    private func startWrites() throws {
        try member.checkInvariants()
        setAcceptsWrites(true)
        try FeatureCompatibility.create(
            node, WriteContext(term: member.term, wall: runtime.wallClock, isReplicated: true))
        scheduleIdleNoOp()
        node.resumeIndexBuilds()
        node.cluster?.becamePrimary()
    }

    private func steppedDown(_ reason: StepDownReason) {
        setAcceptsWrites(false)
        node.lock.wakeWaiters()
        node.cluster?.steppedDown()
        runtime.log.log(.info, "replication", "no longer primary: \(reason)")
        node.dataAppended.fire()
        // Long writes that wait for the majority have nothing to wait for any more.
        oplogChanged.fire()
    }

    private func commitPointAdvanced(_ optime: OpTime) throws {
        try node.data.onCommitPoint(optime, reclaims: !node.lock.isHeld)
        // Followers that wait for entries learn of it at once: majority reads on them wait for it.
        oplogChanged.fire()
    }
}

extension Directive {
    /// Whether carrying it out writes to the member's storage.
    fileprivate var writes: Bool {
        switch self {
        case .persistVote, .persistConfig, .persistOwnHosts, .initiate: true
        case .startInitialSync, .writeNoOp, .startWrites: true
        default: false
        }
    }
}
