import BSON
public import Core

/// Installing, spreading and changing configurations (replication-facts §12).
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

    /// Which of its members this one is.
    func ownPlace(in config: ReplicaSetConfig) -> Int? {
        for host in ownHosts { if let index = config.index(ofHost: host) { return index } }
        return nil
    }

    /// Why it shows what it shows, where that is not plain.
    public var reasonForState: String? {
        guard state == .removed, let config else { return nil }
        return "configuration \(config.configVersion) does not name this node (\(ownHosts.joined(separator: ", ")))"
    }

    /// A name under which this member was reached is a name of its own. Taken while no configuration names it: one that
    /// knows its place stays there, whatever it is called.
    mutating func learnOwnHost(_ host: String, now: Instant) {
        guard selfIndex == nil, !ownHosts.contains(host), ownHosts.count < Limits.ownHostsMax else { return }
        log(.info, "others reach this node as \(host)")
        ownHosts.append(host)
        directives.append(.persistOwnHosts(ownHosts))
        // A reconfiguration may have called it so before anybody did.
        if let config, ownPlace(in: config) != nil { adopt(config, now: now) }
    }

    /// Makes `next` the configuration and fits everything else to it.
    mutating func adopt(_ next: ReplicaSetConfig, now: Instant) {
        let isFirst = followerState == .startup
        let known = peers
        let before = config?.configVersion
        config = next
        selfIndex = ownPlace(in: next)
        peers = next.members.map { member in
            known.first { $0.id == member.id && $0.host == member.host }
                ?? Peer(id: member.id, host: member.host, nextHeartbeat: now)
        }
        if isFirst || next.configVersion != before {
            log(.info, "configuration \(next.configVersion) of '\(next.setName)' is in force")
        }
        fitFollowerState(isFirst: isFirst)
        adoptTerm(next.term, now: now)
        if let id = syncSource, next.index(of: id) == nil { setSyncSource(nil) }
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
        let reached = majorityReached(of: config, durable: config.writeConcernMajorityJournalDefault)
        return reached >= max(leadership.committedInPreviousConfig, first)
    }

    // MARK: replSetReconfig

    public mutating func onReconfigCommand(
        _ id: RequestID, _ next: ReplicaSetConfig, force: Bool, deadline: Instant?, now: Instant
    ) -> [Directive] {
        do {
            try checkReconfig(next, force: force)
        } catch {
            directives.append(.complete(id, error))
            return settle(now)
        }
        pendingReconfig = PendingReconfig(
            request: id, config: next, isForced: force,
            deadline: min(deadline ?? .distantFuture, now + Limits.reconfigWaitMax))
        return settle(now)
    }

    private func checkReconfig(_ next: ReplicaSetConfig, force: Bool) throws(ServerError) {
        guard let config else { throw ServerError(.notYetInitialized, "no replica set configuration to change") }
        guard pendingReconfig == nil else {
            throw ServerError(.configurationInProgress, "another reconfiguration is in progress")
        }
        guard force || leadership?.mode == .writable else {
            throw ServerError(
                .notWritablePrimary, "New config can only be proposed by a primary; current state is \(state.name)")
        }
        let fitted = try next.following(config, force: force)
        guard let index = ownPlace(in: fitted) else {
            throw ServerError(.nodeNotFound, "no member of the new configuration maps to this node")
        }
        guard force || fitted.members[index].isElectable else {
            throw ServerError(.nodeNotElectable, "this node is not electable under the new configuration")
        }
        if !force { try Self.checkDefault(of: fitted) }
        try checkDefaultStays(from: config, to: fitted, force: force)
    }

    /// A default that no write could meet would stop them all.
    static func checkDefault(of config: ReplicaSetConfig) throws(ServerError) {
        if let chosen = config.settings.writeConcernDefault, let why = unsatisfiable(chosen, by: config) {
            throw ConfigFields.error("settings.getLastErrorDefaults.w", "could never be met: \(why.message)")
        }
    }

    /// A change that would silently weaken or strengthen every write is refused (replication-facts §1).
    private func checkDefaultStays(
        from old: ReplicaSetConfig, to next: ReplicaSetConfig, force: Bool
    ) throws(ServerError) {
        if let chosen = clusterDefault {
            if !force, let why = Self.unsatisfiable(chosen, by: next) {
                throw ServerError(
                    .newReplicaSetConfigurationIncompatible,
                    "the default write concern set by setDefaultRWConcern could no longer be met: \(why.message)")
            }
            guard next.settings.writeConcernDefault == nil else {
                throw ServerError(
                    .newReplicaSetConfigurationIncompatible,
                    "'settings.getLastErrorDefaults' and a default set by setDefaultRWConcern exclude one another: "
                        + "change the latter instead")
            }
            return
        }
        guard next.settings.writeConcernDefault == nil, old.settings.writeConcernDefault == nil,
            old.implicitDefaultIsMajority != next.implicitDefaultIsMajority
        else { return }
        throw ServerError(
            .newReplicaSetConfigurationIncompatible,
            "the new configuration would change the implicit default write concern; "
                + "set one with setDefaultRWConcern first")
    }

    mutating func continueReconfig(_ now: Instant) {
        guard let pending = pendingReconfig, let config else { return }
        switch pending.stage {
        case .waitingForCurrent:
            let isSafe = configIsCommitted && oplogIsCommittedInConfig || mutants.isActive(.reconfigUnsafe)
            guard configStore == nil, pending.isForced || isSafe else {
                return
            }
            var next: ReplicaSetConfig
            do { next = try pending.config.following(config, force: pending.isForced) } catch {
                return failReconfig(error)
            }
            if pending.isForced {
                nameOwnLife(in: &next)
                // Far above what any other member can have been given meanwhile.
                let leap = 10_000 + Int64(random.next() % 100_000)
                next.version = min(max(next.version, config.version) + leap, Int64(Int32.max))
                next.term = ConfigVersion.uninitializedTerm
            } else {
                next.term = term
            }
            pendingReconfig?.stage = .storing
            abandonCandidacy("reconfiguration", now: now)
            store(next, for: .command)
        case .storing: break
        case .spreading:
            guard configIsCommitted else { return }
            pendingReconfig = nil
            directives.append(.complete(pending.request, nil))
        }
    }

    /// Who forces a configuration counts in it: somebody has to elect a primary, who then takes the others in.
    private func nameOwnLife(in next: inout ReplicaSetConfig) {
        if let me = ownPlace(in: next), next.members[me].votes > 0 {
            next.members[me].isNewlyAdded = false
            next.members[me].incarnation = incarnation
        }
        guard !next.members.contains(where: { $0.isElectable && $0.isVoter }) else { return }
        // Nobody who is known could be elected and take them in: it can only trust the new ones.
        for index in next.members.indices { next.members[index].isNewlyAdded = false }
    }

    private mutating func noteReconfigStored(_ now: Instant) {
        guard let pending = pendingReconfig else { return }
        if pending.isForced || leadership == nil {
            pendingReconfig = nil
            let error = ServerError(.primarySteppedDown, "stepped down while reconfiguring")
            directives.append(.complete(pending.request, pending.isForced ? nil : error))
        } else {
            pendingReconfig?.stage = .spreading
        }
    }

    mutating func failReconfig(_ error: ServerError) {
        guard let pending = pendingReconfig, pending.stage != .storing else { return }
        pendingReconfig = nil
        directives.append(.complete(pending.request, error))
    }

    mutating func tickConfig(_ now: Instant) {
        if let pending = pendingReconfig, pending.deadline <= now, pending.stage != .storing {
            let what =
                pending.stage == .spreading
                ? "the new configuration is installed but not yet on a majority"
                : pending.isForced
                    ? "another configuration is still being stored"
                    : "the current configuration is not yet committed on a majority"
            failReconfig(ServerError(.currentConfigNotCommittedYet, "reconfiguration timed out: \(what)"))
        }
        tickInitiate(now)
    }
}
