import BSON
public import Core

/// Installing and spreading configurations. Members take the newest one that they hear of, by (term, version): Schultz,
/// Dardik and Tripakis, "Design and Analysis of a Logless Dynamic Reconfiguration Protocol" (OPODIS 2021).
extension Member {
    // MARK: Installing

    /// A configuration is taken from others by followers and by a primary that takes writes; one that was just elected
    /// first puts its own term on the configuration it was elected under.
    var mayTakeConfig: Bool {
        guard configStore == nil, pendingInitiate?.isStoring != true else { return false }
        return leadership == nil || leadership?.mode == .writable
    }

    /// Takes a configuration that another member holds, when it is newer than ours.
    mutating func considerConfig(_ theirs: ReplicaSetConfig, now: Instant) {
        guard stranger(theirs.setName, theirs.settings.replicaSetID) == nil else {
            return ignore(.wrongSet)
        }
        guard (config?.configVersion ?? .none).isOlder(than: theirs.configVersion) else { return ignore(.olderConfig) }
        guard mayTakeConfig else { return }
        if let pending = pendingInitiate {
            pendingInitiate = nil
            directives.append(
                .complete(pending.request, ServerError(.alreadyInitialized, "another member initiated the set first")))
        }
        if candidacy != nil { probe("configuration during candidacy") }
        abandonCandidacy("a newer configuration came in", now: now)
        store(theirs, for: .heartbeat)
    }

    mutating func store(_ next: ReplicaSetConfig, for purpose: ConfigStore.Purpose) {
        let token = PersistToken(nextNumber())
        configStore = ConfigStore(token: token, config: next, purpose: purpose)
        directives.append(.persistConfig(next, token))
    }

    /// The configuration is durable: from here on it holds.
    public mutating func onConfigPersisted(_ token: PersistToken, now: Instant) -> [Directive] {
        guard let stored = configStore, stored.token == token else {
            ignore(.olderExchange)
            return settle(now)
        }
        configStore = nil
        adopt(stored.config, now: now)
        if stored.purpose == .command { noteReconfigStored(now) }
        return settle(now)
    }

    /// Which of its members this one is: by name, else by the incarnation that the configuration names, as when this
    /// member was given a name that nobody has called it by.
    func ownPlace(in config: ReplicaSetConfig) -> Int? {
        let places = config.members.indices.filter { config.members[$0].incarnation == incarnation }
        let named = ownHosts.compactMap { config.index(ofHost: $0) }
        return named.first { places.contains($0) } ?? named.first ?? (places.count == 1 ? places[0] : nil)
    }

    /// Why it shows what it shows, where that is not plain.
    public var reasonForState: String? {
        guard state == .removed, let config else { return nil }
        return "configuration \(config.configVersion) does not name this node (\(ownHosts.joined(separator: ", ")))"
    }

    /// A name under which this member was reached is a name of its own. Taken while no configuration names it: one that
    /// knows its place stays there, whatever it is called.
    mutating func learnOwnHost(_ host: String, now: Instant) {
        guard selfIndex == nil, !ownHosts.contains(host) else { return }
        log(.info, "others reach this node as \(host)")
        addOwnHost(host)
        // A reconfiguration may have called it so before anybody did.
        if let config, ownPlace(in: config) != nil { adopt(config, now: now) }
    }

    /// The first name is the node's own for itself and stays; of the others the one learned first makes room.
    mutating func addOwnHost(_ host: String) {
        guard !ownHosts.contains(host) else { return }
        if ownHosts.count >= Limits.ownHostsMax {
            ownHosts.remove(at: ownHosts.indices.dropFirst().first { config?.index(ofHost: ownHosts[$0]) == nil } ?? 1)
        }
        ownHosts.append(host)
        directives.append(.persistOwnHosts(ownHosts))
    }

    /// Another member answers under that name: it is no name of this one any more.
    mutating func disownHost(_ host: String) {
        guard let place = ownHosts.dropFirst().firstIndex(of: host) else { return }
        ownHosts.remove(at: place)
        directives.append(.persistOwnHosts(ownHosts))
    }

    /// What is known of a member goes with it to another name.
    private func peer(_ member: MemberConfig, among known: [Peer], now: Instant) -> Peer {
        let isSame = { (peer: Peer) in
            peer.id == member.id
                && (peer.host == member.host || member.incarnation != nil && peer.incarnation == member.incarnation)
        }
        guard var peer = known.first(where: isSame) else {
            return Peer(id: member.id, host: member.host, nextHeartbeat: now)
        }
        if peer.host != member.host { peer.move(to: member.host, now: now) }
        return peer
    }

    /// Makes `next` the configuration and fits everything else to it.
    mutating func adopt(_ next: ReplicaSetConfig, now: Instant) {
        let isFirst = followerState == .startup
        let known = peers
        let before = config?.configVersion
        let formerSource = syncSourceHost
        config = next
        selfIndex = ownPlace(in: next)
        if let selfIndex { addOwnHost(next.members[selfIndex].host) }
        peers = next.members.map { peer($0, among: known, now: now) }
        if isFirst || next.configVersion != before {
            log(.info, "configuration \(next.configVersion) of '\(next.setName)' is in force")
        }
        fitFollowerState(isFirst: isFirst)
        adoptTerm(next.term, now: now)
        if syncSource != nil, syncSourceHost != formerSource { setSyncSource(nil) }
        if let id = primaryID, next.index(of: id) == nil { primaryID = nil }
        if leadership != nil, selfConfig?.isElectable != true || !mayVote { stepDown(.newConfig, now: now) }
        leadership?.committedInPreviousConfig = commitPoint
        needsReadmissionCheck = true
        failUnsatisfiableWaiters()
        heartbeatEveryone(now)
        if isFirst || electionTimer == nil { ask(.started, now: now) }
    }

    /// Whether this member holds data is said by the configuration. A member that was left out keeps what it has, for
    /// the day it is taken back, be it as something else.
    private mutating func fitFollowerState(isFirst: Bool) {
        guard let me = selfConfig else {
            if isFirst, !progress.written.isNull { followerState = .secondary }
            return setSyncSource(nil)
        }
        guard isFirst || me.isArbiter != (followerState == .arbiter) else { return }
        if me.isArbiter {
            followerState = .arbiter
            setSyncSource(nil)
        } else {
            followerState = progress.written.isNull ? .startup2 : .secondary
            if progress.written.isNull { directives.append(.startInitialSync) }
        }
    }

    // MARK: Commitment

    /// A majority of the configuration's voters hold it, none of them in a later term.
    public var configIsCommitted: Bool {
        guard let config else { return false }
        var holders = 0
        for index in config.members.indices where config.members[index].isVoter && counts(index) {
            if index == selfIndex || (peers[index].config == config.configVersion && peers[index].term <= term) {
                holders += 1
            }
        }
        return holders >= config.votingMajority
    }

    /// What was committed before the configuration changed, and the first entry of the term, is on a majority of its
    /// voters: only then may the next configuration follow.
    var oplogIsCommittedInConfig: Bool { config.map { oplogIsCommitted(in: $0) } ?? false }

    /// The same for the voters of another configuration.
    func oplogIsCommitted(in config: ReplicaSetConfig) -> Bool {
        guard let leadership, let first = leadership.firstOpTime else { return false }
        let reached = majorityReached(of: config)
        return reached >= max(leadership.committedInPreviousConfig, first)
    }
}
