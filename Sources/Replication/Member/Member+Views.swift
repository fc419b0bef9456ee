public import Core

/// What the shell asks about this member's place in the set.
extension Member {
    /// `_id` of this member in the configuration; nil without one, or when it leaves this member out.
    public var ownID: MemberID? { selfConfig?.id }
    /// Where the primary is reached, as far as it is known.
    public var primaryHost: String? {
        primaryID.flatMap { id in config?.members.first { $0.id == id }?.host }
    }

    /// Why one who introduced itself so gets no data from this member; nil when it may have them.
    public func obstacle(toFollower id: MemberID, _ spoke: Incarnation) -> String? {
        guard let config, let index = config.index(of: id) else {
            return "member \(id) is not in the configuration of this replica set"
        }
        if index == selfIndex { return "this node is member \(id) itself" }
        if let known = peers[index].incarnation, spoke < known {
            return "this is an earlier life of member \(id), which has been started again since"
        }
        return nil
    }

    /// Where this member syncs from.
    public var syncSourceHost: String? {
        syncSource.flatMap { id in config?.members.first { $0.id == id }?.host }
    }

    /// The vote that is on the disk: what is still on its way has not been told to anybody, and may be forgotten.
    public var durableVote: LastVote? {
        votesBeingPersisted.isEmpty && candidacy?.phase != .persisting ? lastVote : nil
    }
    /// Whether nothing but a primary in office keeps this member from standing for election.
    public var isFitToStand: Bool { standObstacle(ignoringPrimary: true) == nil }
    /// How old an entry must be before this member may apply it (`secondaryDelaySecs`).
    public var ownDelay: Duration { .seconds(selfConfig?.secondaryDelaySeconds ?? 0) }

    /// Whether this member's vote and positions count although it may be empty: a founding voter.
    public var isCountedVoter: Bool { mayVote }

    /// Whether the last heartbeats reached the member at `host`.
    public func isUp(_ host: String) -> Bool { config?.index(ofHost: host).map { peers[$0].isUp } ?? false }

    /// The member to clone from: the primary as a rule, else the nearest that is readable and has data; nil: none yet.
    /// `otherThan`: a host that is not asked; then only members that were heard since `heardSince`.
    public func initialSyncSource(
        now: Instant, otherThan excluded: String? = nil, heardSince: Instant = .zero
    ) -> String? {
        guard let config, selfIndex != nil else { return nil }
        var best: Int?
        for index in peers.indices where index != selfIndex {
            let peer = peers[index]
            guard peer.isUp, peer.state.isReadable, peer.deniedUntil <= now, !peer.progress.applied.isNull,
                config.members[index].isDataBearing, peer.host != excluded, peer.lastHeard ?? .zero >= heardSince
            else { continue }
            if peer.id == primaryID { return peer.host }
            if let known = best, peers[known].ping ?? .zero <= peer.ping ?? .zero { continue }
            best = index
        }
        return best.map { peers[$0].host }
    }
}
