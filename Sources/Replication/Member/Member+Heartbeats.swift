import BSON
public import Core

/// Heartbeats: every member sends them to every other one. Requests carry the same report as answers, so that a new
/// primary, a new state or a new configuration is known after half a round trip.
extension Member {
    /// What this member says of itself.
    mutating func makeReport() -> MemberReport {
        return MemberReport(
            setID: settings.replicaSetID, incarnation: incarnation, startCount: startCount,
            isVolatile: isVolatile, state: state, term: term,
            config: config?.configVersion ?? .none, progress: showsProgress ? progress : Progress(),
            commitPoint: commitPoint, primaryID: primaryID,
            syncSource: syncSourceHost,
            electionTime: leadership?.firstOpTime?.timestamp, isElectable: standObstacle(ignoringPrimary: true) == nil,
            run: run, number: nextNumber())
    }

    // MARK: Sending

    /// How long one heartbeat may take. No longer than it takes to elect somebody, so that a set with short timeouts
    /// does not wait ten seconds for a message that was lost.
    var heartbeatAttemptTimeout: Duration {
        min(settings.heartbeatTimeout, max(settings.electionTimeout, settings.heartbeatInterval * 2))
    }
    func heartbeatDeadline(_ peer: Peer) -> Instant { peer.sentAt + heartbeatAttemptTimeout }

    /// Tells everyone at once: something changed that others must know. Takes the place of heartbeats under way.
    mutating func heartbeatEveryone(_ now: Instant) {
        guard selfIndex != nil else { return }
        for index in peers.indices where index != selfIndex { startHeartbeatRound(index, now: now) }
    }

    mutating func startHeartbeatRound(_ index: Int, now: Instant) {
        peers[index].roundStartedAt = now
        peers[index].retriesLeft = Limits.heartbeatRetriesMax
        sendHeartbeat(index, now: now)
    }

    private mutating func sendHeartbeat(_ index: Int, now: Instant) {
        let exchange = Exchange(nextNumber())
        peers[index].exchange = exchange
        peers[index].sentAt = now
        let request = HeartbeatRequest(
            setName: setName, from: selfConfig?.host ?? ownHosts.first ?? "", fromID: selfConfig?.id,
            to: peers[index].host, report: makeReport())
        directives.append(
            .sendHeartbeat(to: peers[index].host, request, exchange, timeout: heartbeatAttemptTimeout))
    }

    mutating func tickHeartbeats(_ now: Instant) {
        for index in peers.indices where index != selfIndex && selfIndex != nil {
            if peers[index].exchange == nil {
                if peers[index].nextHeartbeat <= now { startHeartbeatRound(index, now: now) }
            } else if heartbeatDeadline(peers[index]) <= now {
                markDown(index, "no answer within \(heartbeatAttemptTimeout)", now: now)
            }
        }
        bootstrapExchanges.removeAll { $0.deadline <= now }
    }

    // MARK: Answers

    public mutating func onHeartbeatResponse(
        _ exchange: Exchange, _ response: HeartbeatResponse, now: Instant
    ) -> [Directive] {
        if let index = peers.firstIndex(where: { $0.exchange == exchange }) {
            if let stranger = stranger(response.setName, response.report.setID) {
                ignore(.wrongSet)
                markDown(index, stranger.message, now: now)
            } else if let other = other(response, at: index) {
                ignore(.otherMember)
                markDown(index, other, now: now)
            } else {
                take(response, from: index, now: now)
            }
        } else if let place = bootstrapExchanges.firstIndex(where: { $0.exchange == exchange }) {
            bootstrapExchanges.remove(at: place)
            if stranger(response.setName, response.report.setID) != nil {
                ignore(.wrongSet)
            } else if let theirs = response.config {
                adoptTerm(response.report.term, now: now)
                considerConfig(theirs, now: now)
            }
        } else if !takeQuorumCheck(exchange, response, now: now), !takeRollCall(exchange, .success(response)) {
            ignore(.olderExchange)
        }
        return settle(now)
    }

    private mutating func take(_ response: HeartbeatResponse, from index: Int, now: Instant) {
        disownHost(peers[index].host)
        peers[index].exchange = nil
        peers[index].nextHeartbeat = now + settings.heartbeatInterval
        peers[index].notePing(now - peers[index].sentAt)
        noteIncarnation(index, response.report.incarnation, askedAt: peers[index].sentAt, now: now)
        if !peers[index].isUp {
            peers[index].isUp = true
            peers[index].upSince = now
            peers[index].deniedUntil = .zero
        }
        peers[index].lastHeartbeat = wallClock
        peers[index].message = ""
        peers[index].isConnectionOpen = true
        peers[index].hasReportedSinceElection = true
        note(response.report, of: index, now: now)
        if let theirs = response.config {
            considerConfig(theirs, now: now)
        } else if peers.indices.contains(index), peers[index].id == primaryID {
            ask(.primaryDescribed, now: now)
        }
    }

    /// No answer, or an error as answer (`HostUnreachable` for a connection that failed).
    public mutating func onHeartbeatFailure(_ exchange: Exchange, _ error: ServerError, now: Instant) -> [Directive] {
        if let index = peers.firstIndex(where: { $0.exchange == exchange }) {
            let roundIsYoung = now - peers[index].roundStartedAt < settings.heartbeatTimeout
            if peers[index].retriesLeft > 0, roundIsYoung {
                peers[index].retriesLeft -= 1
                sendHeartbeat(index, now: now)
            } else {
                markDown(index, error.message, now: now)
            }
        } else if let place = bootstrapExchanges.firstIndex(where: { $0.exchange == exchange }) {
            bootstrapExchanges.remove(at: place)
        } else if !failQuorumCheck(exchange, error, now: now), !takeRollCall(exchange, .failure(error)) {
            ignore(.olderExchange)
        }
        return settle(now)
    }

    private mutating func markDown(_ index: Int, _ reason: String, now: Instant) {
        peers[index].exchange = nil
        peers[index].nextHeartbeat = now + settings.heartbeatInterval
        peers[index].isUp = false
        peers[index].upSince = nil
        peers[index].hasReportedSinceElection = true
        peers[index].message = reason
        peers[index].state = .down
        if primaryID == peers[index].id { primaryID = nil }
    }

    // MARK: Requests

    public mutating func onHeartbeatRequest(
        _ request: HeartbeatRequest, _ id: RequestID, now: Instant
    ) -> [Directive] {
        if let stranger = stranger(request.setName, request.report.setID) {
            directives.append(.complete(id, stranger))
            ignore(.wrongSet)
            return settle(now)
        }
        switch request.purpose {
        case .signOfLife: break
        case .quorumCheck:
            answerQuorumCheck(request, id)
            return settle(now)
        case .rollCall:
            directives.append(.replyToHeartbeat(id, answer()))
            return settle(now)
        }
        if let to = request.to { learnOwnHost(to, now: now) }
        if let index = sender(of: request) {
            if noteIncarnation(index, request.report.incarnation, askedAt: nil, now: now) {
                peers[index].lastHeartbeatReceived = wallClock
                note(request.report, of: index, now: now)
                // It is back: do not wait for the next round to tell it, and us, what changed.
                if !peers[index].isUp, peers[index].exchange == nil { startHeartbeatRound(index, now: now) }
            }
        } else {
            if config != nil { ignore(.unknownMember) }
            adoptTerm(request.report.term, now: now)
        }
        fetchConfigIfNewer(request, now: now)
        let theirs = request.report.config
        let isNewer = config.map { theirs.isOlder(than: $0.configVersion) } ?? false
        directives.append(.replyToHeartbeat(id, answer(with: isNewer ? config : nil)))
        return settle(now)
    }

    private mutating func answer(with newer: ReplicaSetConfig? = nil) -> HeartbeatResponse {
        HeartbeatResponse(setName: setName, memberID: ownID, report: makeReport(), config: newer)
    }

    /// Why the answer is not that of the member at `index`: its name leads to one that has a place already. It was not
    /// to be reached when it got the name, or the name leads elsewhere now. Nobody counts twice.
    private func other(_ response: HeartbeatResponse, at index: Int) -> String? {
        if response.report.run == run { return "this host leads back to the node that asks" }
        guard let id = response.memberID, id != peers[index].id,
            response.report.config == config?.configVersion
        else { return nil }
        return "member \(id) answers at this host"
    }

    /// Why one who speaks for a set of that name and id is none of ours; nil when it may be.
    func stranger(_ name: String, _ id: ObjectID?) -> ServerError? {
        guard name == setName else {
            return ServerError(
                .inconsistentReplicaSetNames, "our set name is '\(setName)', the other's is '\(name)'")
        }
        guard let id, let ours = settings.replicaSetID, id != ours else { return nil }
        return ServerError(
            .invalidReplicaSetConfig,
            "our set's settings.replicaSetId is \(ours), the other's is \(id): two sets called '\(name)'")
    }

    private func sender(of request: HeartbeatRequest) -> Int? {
        guard let config, let id = request.fromID, let index = config.index(of: id), index != selfIndex,
            config.members[index].host == request.from
        else { return nil }
        return index
    }

    /// A newer configuration is fetched by a heartbeat back to its holder.
    private mutating func fetchConfigIfNewer(_ request: HeartbeatRequest, now: Instant) {
        let mine = config?.configVersion ?? .none
        guard request.report.config.version > 0, mine.isOlder(than: request.report.config), mayTakeConfig else {
            return
        }
        if let index = sender(of: request), selfIndex != nil {
            if peers[index].exchange == nil { startHeartbeatRound(index, now: now) }
            return
        }
        guard !bootstrapExchanges.contains(where: { $0.host == request.from }), pendingInitiate == nil,
            bootstrapExchanges.count < Limits.bootstrapHeartbeatsMax
        else { return }
        let exchange = Exchange(nextNumber())
        bootstrapExchanges.append((request.from, exchange, now + heartbeatAttemptTimeout))
        let question = HeartbeatRequest(
            setName: setName, from: ownHosts.first ?? "", fromID: nil, report: makeReport())
        directives.append(.sendHeartbeat(to: request.from, question, exchange, timeout: heartbeatAttemptTimeout))
    }

    // MARK: What a report says

    /// Takes in a report of the member at `index`, from an answer or a request.
    private mutating func note(_ report: MemberReport, of index: Int, now: Instant) {
        peers[index].lastHeard = now
        adoptTerm(report.term, now: now)
        guard noteRun(index, report.startCount) else { return }
        if report.run == peers[index].reportRun, report.number < peers[index].reportNumber { return }
        peers[index].reportRun = report.run
        peers[index].reported = report.progress.applied
        peers[index].reportNumber = report.number
        peers[index].state = report.state
        peers[index].term = report.term
        peers[index].config = report.config
        peers[index].isVolatile = report.isVolatile
        peers[index].isElectable = report.isElectable
        peers[index].syncSource = report.syncSource
        peers[index].electionTime = report.electionTime
        switch report.state {
        case .rollback, .recovering, .startup2, .startup: peers[index].progress = report.progress
        default: peers[index].progress.advance(to: report.progress)
        }
        needsReadmissionCheck = true
        standIfFounded(now)
        if report.state == .primary, report.term == term, leadership == nil {
            heardPrimary(peers[index].id, now: now)
        } else if primaryID == peers[index].id {
            primaryID = nil
        }
        learnCommitPoint(report.commitPoint, fromSyncSource: false)
    }

    /// The connection to a member opened.
    public mutating func onConnectionOpened(_ member: MemberID, now: Instant) -> [Directive] {
        if let index = config?.index(of: member) {
            peers[index].isConnectionOpen = true
        } else {
            ignore(.unknownMember)
        }
        return settle(now)
    }

    /// The connection to a member broke: of a killed process this is the first sign.
    public mutating func onConnectionLost(_ member: MemberID, now: Instant) -> [Directive] {
        guard let index = config?.index(of: member), index != selfIndex else {
            ignore(.unknownMember)
            return settle(now)
        }
        peers[index].isConnectionOpen = false
        // See at once whether it is gone or only the connection was. A heartbeat that is under way fails with the
        // connection and finds out: a new round each time would never come to its end with a member that hangs.
        if peers[index].isUp, selfIndex != nil, peers[index].exchange == nil { startHeartbeatRound(index, now: now) }
        if leadership == nil, lastPrimaryID == member { ask(.primaryConnectionLost, now: now) }
        return settle(now)
    }
}
