public import Core

/// What the shell asks about this member's place in the set.
extension Member {
    /// `_id` of this member in the configuration; nil without one, or when it leaves this member out.
    public var ownID: MemberID? { selfConfig?.id }
    /// Where the primary is reached, as far as it is known.
    public var primaryHost: String? {
        primaryID.flatMap { id in config?.members.first { $0.id == id }?.host }
    }

    /// Whether this member's vote and positions count although it may be empty: a founding voter.
    public var isCountedVoter: Bool { mayVote }

    /// The member to clone from: the primary as a rule, else the nearest that is readable and has data; nil: none yet.
    public func initialSyncSource(now: Instant) -> String? {
        guard let config else { return nil }
        var best: Int?
        for index in peers.indices where index != selfIndex {
            let peer = peers[index]
            guard peer.isUp, peer.state.isReadable, peer.deniedUntil <= now, !peer.progress.applied.isNull,
                config.members[index].isDataBearing
            else { continue }
            if peer.id == primaryID { return peer.host }
            if let known = best, peers[known].ping ?? .zero <= peer.ping ?? .zero { continue }
            best = index
        }
        return best.map { peers[$0].host }
    }
}
