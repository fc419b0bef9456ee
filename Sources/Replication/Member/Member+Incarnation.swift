import BSON
public import Core

/// A member that lost its data rejoins as a new member (docs/ARCHITECTURE.md, decision 9).
///
/// The configuration names the incarnation of each voter whose votes and positions count. The incarnations that
/// answered `replSetInitiate` are written into the first configuration, so the founding voters may vote while they are
/// empty. When the primary meets another incarnation it makes the member `newlyAdded` under its new name, waits until a
/// majority without it holds that configuration, writes a no-op, and gives the vote back once the member's initial sync
/// has passed that no-op. In between the member refuses to vote, because the configuration does not name it.
extension Member {
    /// Whether votes and positions of that incarnation count in the current configuration.
    func counts(_ index: Int, _ incarnation: Incarnation?) -> Bool {
        config.map { counts($0.members[index], incarnation) } ?? false
    }

    private func counts(_ member: MemberConfig, _ incarnation: Incarnation?) -> Bool {
        guard !member.isNewlyAdded else { return false }
        if mutants.isActive(.incarnationIgnored) { return true }
        guard let expected = member.incarnation else { return true }
        return expected == incarnation
    }

    /// Whether the member at `index` counts as the incarnation that spoke last.
    func counts(_ index: Int) -> Bool { config.map { counts(index, in: $0) } ?? false }

    /// The same in a configuration of the same members.
    func counts(_ index: Int, in config: ReplicaSetConfig) -> Bool {
        counts(config.members[index], index == selfIndex ? incarnation : peers[index].incarnation)
    }

    /// This member has a vote, and remembers the ones it cast.
    var mayVote: Bool {
        guard let selfIndex, let me = selfConfig else { return false }
        return me.isVoter && counts(selfIndex)
    }

    /// Takes note of who speaks. False: an earlier incarnation, to be ignored.
    ///
    /// `askedAt`: when the question was sent that this answers. Such an answer was given by the incarnation of now,
    /// whatever its clock says.
    @discardableResult
    mutating func noteIncarnation(_ index: Int, _ spoke: Incarnation, askedAt: Instant?, now: Instant) -> Bool {
        guard let known = peers[index].incarnation, known != spoke else {
            peers[index].incarnation = spoke
            return true
        }
        guard spoke > known || askedAt != nil else {
            probe("message of an earlier life ignored")
            ignore(.olderIncarnation)
            return false
        }
        peers[index].incarnation = spoke
        peers[index].forget()
        if primaryID == peers[index].id { primaryID = nil }
        needsReadmissionCheck = true
        return true
    }

    /// Takes note of the run of its process that a member speaks of. False: an earlier one, to be ignored.
    ///
    /// In a new run it may have lost what it had written and not flushed, so nothing that it said before counts.
    mutating func noteRun(_ index: Int, _ startCount: Int64) -> Bool {
        if mutants.isActive(.runIgnored) { return true }
        guard startCount >= peers[index].startCount else {
            probe("message of an earlier run ignored")
            ignore(.olderRun)
            return false
        }
        if startCount > peers[index].startCount {
            peers[index].startCount = startCount
            peers[index].progress = Progress()
        }
        return true
    }

    /// This member threw its data away to be synchronised anew: it has forgotten what it acknowledged, and says so by a
    /// new name. Never called for the data of a member that never held an entry.
    public mutating func onDataDiscarded(newIncarnation: Incarnation, now: Instant) -> [Directive] {
        incarnation = newIncarnation
        progress = Progress()
        commitPoint = .null
        isCommitPointOfEarlierRun = false
        setSyncSource(nil)
        abandonCandidacy("data discarded", now: now)
        followerState = .startup2
        directives.append(.startInitialSync)
        heartbeatEveryone(now)
        return settle(now)
    }

    // MARK: The primary's side

    /// Moves every member that forgot, or is new, a step further. One configuration change at a time.
    mutating func continueReadmissions(_ now: Instant) {
        guard needsReadmissionCheck, leadership?.mode == .writable, let config, configStore == nil,
            pendingReconfig == nil
        else { return }
        needsReadmissionCheck = false
        leadership?.readmissions.removeAll { readmission in
            guard let index = config.index(of: readmission.memberID) else { return true }
            return !config.members[index].isNewlyAdded || peers[index].incarnation != readmission.incarnation
        }
        if let selfIndex, config.members[selfIndex].votes > 0, config.members[selfIndex].incarnation == nil {
            // Elected under a forced configuration that had to trust whoever is there, and taken at its word.
            guard configIsCommitted, oplogIsCommittedInConfig else { return waitForCommitment() }
            var next = config
            next.members[selfIndex].incarnation = incarnation
            next.userVersion = config.lastUserVersion
            next.version += 1
            return store(next, for: .readmission)
        }
        for index in config.members.indices where index != selfIndex {
            let member = config.members[index]
            guard member.votes > 0, let incarnation = peers[index].incarnation else { continue }
            if member.isNewlyAdded {
                if readmit(index, incarnation, now: now) { return }
            } else if member.incarnation != incarnation, !mutants.isActive(.incarnationIgnored) {
                // None is named where a forced configuration had to trust whoever is there.

                var next = config
                next.members[index].isNewlyAdded = true
                next.members[index].incarnation = incarnation
                next.userVersion = config.lastUserVersion
                next.version += 1
                // A majority without it: the incarnation that counts is over, so it can be part of no other any more,
                // neither of one that elects nor of one that commits. With an arbiter in the set, waiting for it would
                // be for good.
                guard configIsCommitted, oplogIsCommitted(in: next) else { return waitForCommitment() }
                probe("member that forgot set back")
                log(.info, "\(member.host) came back without its memory; it votes again after a new initial sync")
                store(next, for: .readmission)
                return
            }
        }
    }

    /// True when a configuration is being stored.
    private mutating func readmit(_ index: Int, _ incarnation: Incarnation, now: Instant) -> Bool {
        guard let config, configIsCommitted else {
            waitForCommitment()
            return false
        }
        let id = config.members[index].id
        guard let place = leadership?.readmissions.firstIndex(where: { $0.memberID == id }),
            let readmission = leadership?.readmissions[place]
        else {
            leadership?.readmissions.append(Readmission(memberID: id, incarnation: incarnation, askedForNoOp: true))
            directives.append(.writeNoOp(.readmission(id)))
            return false
        }
        guard let target = readmission.target else { return false }
        let peer = peers[index]
        let isThere =
            config.members[index].isArbiter
            ? peer.state == .arbiter
            : (peer.state == .secondary || peer.state == .recovering)
                && peer.progress.applied.term == term && peer.progress.applied >= target
        guard commitPoint >= target, isThere, peer.isUp, oplogIsCommittedInConfig else {
            waitForCommitment()
            return false
        }
        var next = config
        next.members[index].isNewlyAdded = false
        next.members[index].incarnation = incarnation
        next.userVersion = config.lastUserVersion
        next.version += 1
        // Next to arbiters a majority of voters can elect this member without those that made a majority for writes:
        // it must have all that they committed, and goes on having it while the configuration is stored
        // (`advanceCommitPoint`).
        guard majorityReached(of: next) >= commitPoint else {
            waitForCommitment()
            return false
        }
        probe("member readmitted")
        store(next, for: .readmission)
        return true
    }

    /// Looks again when the next report or position comes in.
    private mutating func waitForCommitment() { needsReadmissionCheck = true }

    mutating func noteReadmissionNoOp(_ member: MemberID, _ optime: OpTime) {
        guard let place = leadership?.readmissions.firstIndex(where: { $0.memberID == member }) else { return }
        leadership?.readmissions[place].target = optime
        needsReadmissionCheck = true
    }
}
