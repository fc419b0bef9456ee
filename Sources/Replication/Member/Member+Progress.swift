import BSON
public import Core

/// How far everyone is, and the commit point (Zhou and Mu, NSDI 2021, on `UpdatePosition`).
extension Member {
    // MARK: Own progress

    /// The oplog grew, entries were applied, the journal was flushed. Also how a rollback reports where it ended.
    public mutating func onLocalProgress(_ next: Progress, now: Instant) -> [Directive] {
        guard next != progress else { return settle(now) }
        progress = next
        hasUnsentProgress = true
        return settle(now)
    }

    /// The first entry of a term, which its primary dated so, was applied.
    public mutating func onTermBegun(_ began: Int64, startedAt: WallTime, now: Instant) -> [Directive] {
        participantMetrics?.noteTermBegun(began, startedAt: startedAt, appliedAt: wallClock)
        return settle(now)
    }

    /// Whether this member reports positions: its own and those of members that sync through it.
    var reportsProgress: Bool {
        leadership == nil && selfIndex != nil && showsProgress
    }

    mutating func sendProgressIfNeeded(_ now: Instant) {
        guard reportsProgress, let syncSource, let index = config?.index(of: syncSource) else { return }
        let isDue = now - lastUpdatePosition >= settings.electionTimeout / 2
        guard isDue || (hasUnsentProgress && !isUpdatePositionUnderWay) else { return }
        hasUnsentProgress = false
        isUpdatePositionUnderWay = true
        lastUpdatePosition = now
        directives.append(.sendUpdatePosition(to: peers[index].host, positions(now)))
    }

    /// Ours and those of every member that gave a sign of life lately, so that the primary hears of members that it
    /// reaches only through others.
    private func positions(_ now: Instant) -> UpdatePosition {
        var message = UpdatePosition(setName: setName, term: term, positions: [])
        guard let config, let selfIndex else { return message }
        for index in peers.indices {
            if index == selfIndex {
                message.positions.append(
                    .init(
                        memberID: peers[index].id, incarnation: incarnation, startCount: startCount,
                        config: config.configVersion, progress: progress))
            } else if let spoke = peers[index].incarnation, let heard = peers[index].lastHeard,
                now - heard < settings.electionTimeout, !peers[index].progress.written.isNull
            {
                message.positions.append(
                    .init(
                        memberID: peers[index].id, incarnation: spoke, startCount: peers[index].startCount,
                        config: peers[index].config, progress: peers[index].progress))
            }
        }
        return message
    }

    /// The answer to `sendUpdatePosition`, or that there is none.
    public mutating func onUpdatePositionDone(now: Instant) -> [Directive] {
        isUpdatePositionUnderWay = false
        return settle(now)
    }

    // MARK: Others' progress

    public mutating func onUpdatePosition(_ message: UpdatePosition, _ id: RequestID, now: Instant) -> [Directive] {
        guard message.setName == setName else {
            ignore(.wrongSet)
            directives.append(.complete(id, ServerError(.inconsistentReplicaSetNames, "our set name is '\(setName)'")))
            return settle(now)
        }
        // Before anything is counted: an acknowledgement from a higher term never commits in ours.
        adoptTerm(message.term, now: now)
        for position in message.positions { take(position, now: now) }
        directives.append(.complete(id, nil))
        return settle(now)
    }

    private mutating func take(_ position: UpdatePosition.Position, now: Instant) {
        guard let config, let index = config.index(of: position.memberID) else { return ignore(.unknownMember) }
        guard index != selfIndex else { return }
        guard noteIncarnation(index, position.incarnation, askedAt: nil, now: now) else { return }
        guard noteRun(index, position.startCount) else { return }
        peers[index].lastHeard = now
        if peers[index].config.isOlder(than: position.config) { peers[index].config = position.config }
        var taken = position.progress
        if config.members[index].isArbiter { taken = Progress() }
        let before = peers[index].progress
        peers[index].progress.advance(to: taken)
        if peers[index].progress != before {
            hasUnsentProgress = true
            needsReadmissionCheck = true
        }
    }

    // MARK: The commit point

    /// A primary's rule: a majority of the voters hold an entry of this term durably, or for as long as they hold
    /// anything. Earlier terms are committed by what follows them (Raft §5.4.2).
    ///
    /// Also with `writeConcernMajorityJournalDefault` off: members with disks could lose what is only written, and vote
    /// as if they had not.
    mutating func advanceCommitPoint() {
        guard let leadership, let first = leadership.firstOpTime, let config else { return }
        var reached = majorityReached(of: config)
        if let storing = configStore, storing.purpose == .readmission {
            // Its majority for writes must have what is committed before it comes.
            let next = storing.config
            reached = min(reached, majorityReached(of: next))
        }
        if !mutants.isActive(.commitIgnoresTerm) { guard reached >= first, reached.term == term else { return } }
        if reached >= commitPoint { isCommitPointOfEarlierRun = false }
        guard reached > commitPoint else { return }
        commitPoint = reached
        // What stands above: an entry of this term, and with it its first one.
        if candidateMetrics.termCommittedAt == nil { candidateMetrics.termCommittedAt = wallClock }
        directives.append(.commitPointAdvanced(reached))
    }

    /// The newest entry that a majority of the voters that hold data have.
    func majorityReached(durable: Bool) -> OpTime { config.map { majorityReached(of: $0, durable: durable) } ?? .null }

    /// `config`: the one in force, or one of the same members in which others have votes.
    func majorityReached(of config: ReplicaSetConfig, durable: Bool = true) -> OpTime {
        guard let selfIndex else { return .null }
        var positions = [7 of OpTime](repeating: .null)
        var count = 0
        for index in config.members.indices {
            let member = config.members[index]
            guard member.isVoter, member.isDataBearing, count < Limits.votersMax else { continue }
            if counts(index, in: config) {
                let mine = index == selfIndex
                positions[count] =
                    durable
                    ? (mine ? progress.durable : peers[index].progress.durable)
                    : (mine ? progress.written : peers[index].progress.written)
            }
            count += 1
        }
        let missing = mutants.isActive(.commitPointOffByOne) && config.writeMajority > 1 ? 1 : 0
        return CommitPoint.reached(&positions, count: count, majority: config.writeMajority - missing)
    }

    /// A follower's rule. From a heartbeat only when it is of the term of our own last entry, which puts it on our
    /// branch; from the sync source, whose branch we follow, no further than our own last entry.
    mutating func learnCommitPoint(_ learned: OpTime, fromSyncSource: Bool) {
        guard leadership == nil else { return }
        var point = learned
        if selfConfig?.isArbiter != true, learned.term != progress.written.term {
            guard fromSyncSource || mutants.isActive(.commitPointOfAnyBranch) else {
                if learned > commitPoint { probe("commit point of another branch ignored") }
                return
            }
            point = min(learned, progress.written)
        }
        if point >= commitPoint, isCommitPointOfEarlierRun {
            isCommitPointOfEarlierRun = false
            // As if it were new: majority reads have waited for it.
            if point == commitPoint, !point.isNull { directives.append(.commitPointAdvanced(point)) }
        }
        guard point > commitPoint else { return }
        commitPoint = point
        directives.append(.commitPointAdvanced(point))
    }

    /// What a majority read may show now; null: nothing yet.
    public var majorityReadPoint: OpTime { min(heardCommitPoint, progress.applied) }

    /// The commit point, as far as this run has heard of it.
    public var heardCommitPoint: OpTime { isCommitPointOfEarlierRun ? .null : commitPoint }

    /// What the one that syncs from us learns with each reply.
    public func replicationMetadata(rollbackID: Int32) -> ReplicationMetadata {
        ReplicationMetadata(
            term: term, commitPoint: commitPoint, applied: progress.applied, config: config?.configVersion ?? .none,
            primaryID: primaryID, syncSourceID: syncSource, isPrimary: leadership != nil, rollbackID: rollbackID)
    }
}
