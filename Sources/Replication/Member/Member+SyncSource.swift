import BSON
public import Core

/// Whom to fetch from (MongoDB's manual, "Replica Set Data Synchronization").
extension Member {
    /// Whether this member ought to fetch and fetches from nobody.
    var wantsSyncSource: Bool {
        guard syncSource == nil, leadership == nil, let me = selfConfig, !me.isArbiter else { return false }
        return followerState == .secondary || followerState == .recovering || followerState == .startup2
    }

    mutating func setSyncSource(_ next: MemberID?) {
        guard syncSource != next else { return }
        syncSource = next
        isUpdatePositionUnderWay = false
        hasUnsentProgress = next != nil
        let host = next.flatMap { id in config?.members.first { $0.id == id }?.host }
        if let host { log(.info, "syncing from \(host)") }
        directives.append(.setSyncSource(next, host: host))
    }

    mutating func tickSyncSource(_ now: Instant) {
        if wantsSyncSource, nextSyncSourceTry <= now { nextSyncSourceTry = now + Limits.syncSourceRetry }
    }

    /// A source that hangs answers nothing, so what the fetcher tells is not enough: it is left when heartbeats find it
    /// down, and when it has not shown itself in the term of a primary that we hear.
    mutating func leaveLostSyncSource(_ now: Instant) {
        guard let id = syncSource, let index = config?.index(of: id), id != primaryID else { return }
        if !peers[index].isUp {
            probe("sync source lost")
            log(.info, "leaving sync source \(peers[index].host): it is down")
        } else if primaryID != nil, peers[index].term < term {
            log(.info, "leaving sync source \(peers[index].host): it has not been heard in term \(term)")
            peers[index].deniedUntil = now + min(settings.heartbeatInterval, Limits.syncSourceDenialShort)
        } else {
            return
        }
        setSyncSource(nil)
    }

    mutating func chooseSyncSourceIfNeeded(_ now: Instant) {
        guard wantsSyncSource else { return }
        if let index = chooseSyncSource(now) {
            setSyncSource(peers[index].id)
        } else if nextSyncSourceTry <= now {
            nextSyncSourceTry = now + Limits.syncSourceRetry
        }
    }

    private mutating func chooseSyncSource(_ now: Instant) -> Int? {
        if let forced = forcedSyncSource {
            forcedSyncSource = nil
            if let index = config?.index(of: forced), index != selfIndex, peers[index].isUp { return index }
        }
        let primary = primaryID.flatMap { config?.index(of: $0) }.flatMap {
            isEligible($0, strictly: false, now: now) ? $0 : nil
        }
        if !settings.chainingAllowed { return primary }
        let pings = peers.indices.reduce(0) { $0 + ($1 == selfIndex ? 0 : peers[$1].pingCount) }
        // Which member is close is not known yet; the primary is never wrong.
        if pings < 2 * (peers.count - 1) { return primary }
        if let selected = selectedSyncSource {
            selectedSyncSource = nil
            if let index = config?.index(of: selected), isEligible(index, strictly: false, now: now) { return index }
        }
        return selectSyncSource(now)?.picked ?? closest(strictly: true, now: now) ?? closest(strictly: false, now: now)
    }

    private func closest(strictly: Bool, now: Instant) -> Int? {
        var best: Int?
        for index in peers.indices where isEligible(index, strictly: strictly, now: now) {
            if let known = best, (peers[known].ping ?? .zero) <= (peers[index].ping ?? .zero) { continue }
            best = index
        }
        // Not for a difference that is noise: behind another secondary every entry comes a hop later, and not at all
        // while that one hangs.
        if let found = best, let primary = primaryID.flatMap({ config?.index(of: $0) }), primary != selfIndex,
            isEligible(primary, strictly: strictly, now: now),
            (peers[primary].ping ?? .zero) - (peers[found].ping ?? .zero) <= Limits.syncSourcePingGainMin
        {
            return primary
        }
        return best
    }

    /// Whether there is a member beside the primary that this one may sync from.
    public func hasOtherSyncSource(at now: Instant) -> Bool {
        settings.chainingAllowed
            && peers.contains { peer in
                peer.id != primaryID
                    && config?.index(of: peer.id).map { isEligible($0, strictly: false, now: now) } == true
            }
    }

    /// Whether this member could sync from that one; `strictly`: and should, when there is a choice.
    func isEligible(_ index: Int, strictly: Bool, now: Instant) -> Bool {
        guard let config, let me = selfConfig, index != selfIndex else { return false }
        let peer = peers[index]
        let theirs = config.members[index]
        guard peer.isUp, peer.state.isReadable, peer.deniedUntil <= now, theirs.isDataBearing else { return false }
        // An idle primary has nothing more than we have, and will be the first that does.
        let isPrimary = peer.id == primaryID
        guard peer.reported > progress.written || (isPrimary && peer.reported >= progress.written) else { return false }
        guard !peer.reported.isNull else { return false }
        guard strictly else { return true }
        if me.isVoter, !theirs.isVoter { return false }
        if theirs.isHidden || theirs.secondaryDelaySeconds > me.secondaryDelaySeconds { return false }
        if let primaryID, let primary = config.index(of: primaryID) {
            return !lags(peer.reported, behind: peers[primary].reported)
        }
        return true
    }

    /// Whether `one` is more than the accepted lag behind `other`.
    private func lags(_ one: OpTime, behind other: OpTime) -> Bool {
        let limit = UInt32(Limits.syncSourceLagMax.components.seconds)
        let (sum, overflow) = one.timestamp.seconds.addingReportingOverflow(limit)
        return !overflow && other.timestamp.seconds > sum
    }

    // MARK: What the fetcher tells

    /// A batch came from the sync source and its first entry fitted ours: what the source says of itself holds for our
    /// branch of history. Decides whether to stay with it.
    public mutating func onBatchFetched(
        from member: MemberID, _ metadata: ReplicationMetadata, now: Instant
    ) -> [Directive] {
        adoptTerm(metadata.term, now: now)
        guard member == syncSource, let index = config?.index(of: member) else {
            ignore(.notFromSyncSource)
            return settle(now)
        }
        peers[index].lastHeard = now
        peers[index].reported = max(peers[index].reported, metadata.applied)
        if metadata.term == term, leadership == nil {
            if metadata.isPrimary {
                heardPrimary(member, now: now)
            } else if let primary = metadata.primaryID, primary != selfConfig?.id {
                primaryIsAround(now)
            }
        }
        learnCommitPoint(metadata.commitPoint, fromSyncSource: true)
        if leadership == nil, let why = reasonToLeave(index, metadata, now: now) {
            log(.info, "leaving sync source \(peers[index].host): \(why)")
            setSyncSource(nil)
        }
        return settle(now)
    }

    /// The source does not answer, has not what we need, or proved too old. Not asked again for `denial`.
    public mutating func onSyncSourceFailed(
        _ member: MemberID, deniedFor denial: Duration, now: Instant
    ) -> [Directive] {
        if let index = config?.index(of: member) { peers[index].deniedUntil = now + denial }
        if member == syncSource { setSyncSource(nil) } else { ignore(.notFromSyncSource) }
        return settle(now)
    }

    /// `replSetSyncFrom`.
    public mutating func onSyncFromCommand(_ id: RequestID, host: String, now: Instant) -> [Directive] {
        if let error = syncFromError(host) {
            directives.append(.complete(id, error))
        } else if let index = config?.index(ofHost: host) {
            directives.append(.complete(id, nil))
            forcedSyncSource = peers[index].id
            setSyncSource(nil)
        }
        return settle(now)
    }

    private func syncFromError(_ host: String) -> ServerError? {
        guard let config, selfIndex != nil else { return ServerError(.notYetInitialized, "no replica set config") }
        if leadership != nil { return ServerError(.notSecondary, "primaries don't sync") }
        guard let index = config.index(ofHost: host) else {
            return ServerError(.nodeNotFound, "Could not find member \"\(host)\" in replica set")
        }
        if index == selfIndex { return ServerError(.invalidOptions, "I cannot sync from myself") }
        if selfConfig?.isArbiter == true { return ServerError(.notSecondary, "arbiters don't sync") }
        if config.members[index].isArbiter {
            return ServerError(.invalidOptions, "Cannot sync from \"\(host)\" because it is an arbiter")
        }
        if !peers[index].isUp {
            return ServerError(.hostUnreachable, "I cannot reach the requested member: \(host)")
        }
        return nil
    }

    // MARK: Staying or leaving

    private mutating func reasonToLeave(_ index: Int, _ metadata: ReplicationMetadata, now: Instant) -> String? {
        let source = peers[index]
        if forcedSyncSource != nil { return "another was asked for" }
        if !settings.chainingAllowed, let primaryID, primaryID != source.id { return "chaining is not allowed" }
        let isAhead = metadata.applied > progress.written
        if !metadata.isPrimary, metadata.syncSourceID == nil, !isAhead {
            return "it has no source of its own and is not ahead"
        }
        if metadata.syncSourceID == selfConfig?.id, !isAhead, !metadata.isPrimary { return "it syncs from us" }
        for other in peers.indices where other != index && isEligible(other, strictly: true, now: now) {
            if lags(max(metadata.applied, source.reported), behind: peers[other].reported) {
                return "\(peers[other].host) is far ahead of it"
            }
        }
        let isMisfit = !isEligible(index, strictly: true, now: now) && isAhead
        if isMisfit, let better = closest(strictly: true, now: now) { return "\(peers[better].host) suits better" }
        return reasonToMoveCloser(index, now: now)
    }

    private mutating func reasonToMoveCloser(_ index: Int, now: Instant) -> String? {
        guard followerState == .secondary, let me = selfConfig, me.secondaryDelaySeconds == 0,
            settings.chainingAllowed, let ping = peers[index].ping
        else { return nil }
        let pings = peers.indices.reduce(0) { $0 + ($1 == selfIndex ? 0 : peers[$1].pingCount) }
        guard pings >= 5 * (peers.count - 1) else { return nil }
        if syncSourceSelector != nil { return reasonToFollowSelector(index, now: now) }
        guard let best = closest(strictly: true, now: now), best != index,
            let other = peers[best].ping, ping - other > Limits.syncSourcePingGainMin, mayMove(now)
        else { return nil }
        return "\(peers[best].host) is closer"
    }

    /// What a selector goes by changes with heartbeats, so it is asked no more often.
    private mutating func reasonToFollowSelector(_ index: Int, now: Instant) -> String? {
        guard nextSyncSourceReview <= now else { return nil }
        nextSyncSourceReview = now + settings.heartbeatInterval
        // Of a source that has nothing new just now, no more is said than that.
        guard let selection = selectSyncSource(now), selection.candidates.contains(index),
            let picked = selection.picked, picked != index, mayMove(now)
        else { return nil }
        selectedSyncSource = peers[picked].id
        return "\(peers[picked].host) was selected"
    }

    /// Counts a move that is a matter of taste; false when there were enough of them in an hour.
    private mutating func mayMove(_ now: Instant) -> Bool {
        sourceChangesForPing.removeAll { now - $0 > .seconds(3600) }
        guard sourceChangesForPing.count < Limits.syncSourcePingChangesMax else { return false }
        sourceChangesForPing.append(now)
        return true
    }
}
