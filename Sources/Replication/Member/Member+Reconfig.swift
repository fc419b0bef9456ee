import BSON
public import Core

/// `replSetReconfig`: who is behind the new names is asked, the change is judged, then the configuration is stored and
/// spread.
extension Member {
    public mutating func onReconfigCommand(
        _ id: RequestID, _ next: ReplicaSetConfig, force: Bool, deadline: Instant?, now: Instant
    ) -> [Directive] {
        do {
            try checkMayReconfigure(force: force)
        } catch {
            directives.append(.complete(id, error))
            return settle(now)
        }
        pendingReconfig = PendingReconfig(
            request: id, config: next, isForced: force, rollCall: callRoll(of: next, now: now),
            deadline: min(deadline ?? .distantFuture, now + Limits.reconfigWaitMax))
        if pendingReconfig?.rollCall.isComplete == true { judgeReconfig() }
        return settle(now)
    }

    private func checkMayReconfigure(force: Bool) throws(ServerError) {
        guard config != nil else { throw ServerError(.notYetInitialized, "no replica set configuration to change") }
        guard pendingReconfig == nil else {
            throw ServerError(.configurationInProgress, "another reconfiguration is in progress")
        }
        guard force || leadership?.mode == .writable else {
            throw ServerError(
                .notWritablePrimary, "New config can only be proposed by a primary; current state is \(state.name)")
        }
    }

    // MARK: Who is who

    /// Asks the names that the present configuration does not have. Who is behind those that it has is known, from
    /// heartbeats; who is down is not waited for.
    private mutating func callRoll(of next: ReplicaSetConfig, now: Instant) -> RollCall {
        var rollCall = RollCall(places: next.members.count, deadline: now + Limits.rollCallMax)
        for (place, member) in next.members.enumerated() {
            if let selfConfig, member.host == selfConfig.host {
                rollCall.note(ownVoice, at: place)
            } else if let peer = peers.first(where: { $0.host == member.host }), selfIndex != nil {
                if let voice = peer.voice { rollCall.note(voice, at: place) }
            } else {
                let exchange = Exchange(nextNumber())
                rollCall.ask(place, exchange)
                let question = HeartbeatRequest(
                    setName: setName, from: selfConfig?.host ?? ownHosts.first ?? "", fromID: selfConfig?.id,
                    to: member.host, report: makeReport(), purpose: .rollCall)
                directives.append(.sendHeartbeat(to: member.host, question, exchange, timeout: Limits.rollCallMax))
            }
        }
        return rollCall
    }

    var ownVoice: RollCall.Voice { RollCall.Voice(run: run, incarnation: incarnation) }

    /// False when the exchange is none of ours.
    mutating func takeRollCall(_ exchange: Exchange, _ answer: Result<HeartbeatResponse, ServerError>) -> Bool {
        guard let place = pendingReconfig?.rollCall.place(of: exchange) else { return false }
        switch answer {
        case .success(let response):
            if let stranger = stranger(response.setName, response.report.setID) {
                pendingReconfig?.rollCall.noteStranger(stranger.message, at: place)
            } else {
                pendingReconfig?.rollCall.note(response.voice, at: place)
            }
        case .failure(let error)
        where error.code == .inconsistentReplicaSetNames || error.code == .invalidReplicaSetConfig:
            pendingReconfig?.rollCall.noteStranger(error.message, at: place)
        case .failure: pendingReconfig?.rollCall.noteSilence(at: place)
        }
        if pendingReconfig?.rollCall.isComplete == true { judgeReconfig() }
        return true
    }

    /// Everybody has answered, or will not: is it a configuration that may follow the present one?
    private mutating func judgeReconfig() {
        guard let pending = pendingReconfig, let config, pending.stage == .callingRoll else { return }
        do {
            let place = try place(in: pending)
            try checkStrangers(pending)
            let renamed = membersRenamed(by: pending, own: place)
            try check(pending, renamed: renamed, own: place, after: config)
            pendingReconfig?.renamed = renamed
            pendingReconfig?.stage = .waitingForCurrent
            addOwnHost(pending.config.members[place].host)
        } catch {
            failReconfig(error)
        }
    }

    private func check(
        _ pending: PendingReconfig, renamed: [MemberID], own place: Int, after config: ReplicaSetConfig
    ) throws(ServerError) {
        let fitted = try pending.config.following(config, force: pending.isForced, renamed: renamed)
        guard pending.isForced || fitted.members[place].isElectable else {
            throw ServerError(.nodeNotElectable, "this node is not electable under the new configuration")
        }
        if !pending.isForced { try Self.checkDefault(of: fitted) }
        try checkDefaultStays(from: config, to: fitted, force: pending.isForced)
    }

    /// The one place of the proposed configuration that is this node.
    /// - Throws: `NodeNotFound` when none is, `InvalidReplicaSetConfig` when two names lead to one node.
    private func place(in pending: PendingReconfig) throws(ServerError) -> Int {
        let next = pending.config
        func context() -> String {
            "in new configuration with {version: \(next.version), term: \(next.term)} for replica set \(next.setName)"
        }
        var own = pending.rollCall.places(of: run)
        if own.isEmpty {
            // A name of ours that nobody answers under is still ours, as far as anybody knows.
            own = next.members.indices.filter { place in
                pending.rollCall.voices[place] == nil && ownHosts.contains(next.members[place].host)
            }
        }
        guard own.count <= 1 else {
            let hosts = own.map { next.members[$0].host }.joined(separator: " and ")
            throw ServerError(.invalidReplicaSetConfig, "The hosts \(hosts) all map to this node \(context())")
        }
        if let (one, other) = pending.rollCall.doubled {
            throw ServerError(
                .invalidReplicaSetConfig,
                "The hosts \(next.members[one].host) and \(next.members[other].host) map to the same node \(context())")
        }
        guard let place = own.first else {
            throw ServerError(
                .nodeNotFound,
                "No host described \(context()) maps to this node, \(ownHosts.joined(separator: ", "))")
        }
        if let selfConfig, selfConfig.id != next.members[place].id {
            throw ServerError(
                .newReplicaSetConfigurationIncompatible,
                "this node, '\(next.members[place].host)', had '_id' \(selfConfig.id), which cannot be changed to "
                    + "\(next.members[place].id)")
        }
        return place
    }

    /// Only force takes in who is of another set, on the word of the one who uses it.
    private func checkStrangers(_ pending: PendingReconfig) throws(ServerError) {
        guard !pending.isForced, let stranger = pending.rollCall.strangers.first else { return }
        throw ServerError(
            .newReplicaSetConfigurationIncompatible,
            "'\(pending.config.members[stranger.place].host)' is of another set: \(stranger.why)")
    }

    /// Members that get another name and are known to be who they were: they keep their vote.
    private func membersRenamed(by pending: PendingReconfig, own place: Int) -> [MemberID] {
        guard let config else { return [] }
        return pending.config.members.indices.compactMap { index in
            let member = pending.config.members[index]
            guard let before = config.members.first(where: { $0.id == member.id }), before.host != member.host else {
                return nil
            }
            if index == place { return selfConfig?.id == member.id ? member.id : nil }
            guard let counted = before.incarnation else { return nil }
            return pending.rollCall.voices[index]?.incarnation == counted ? member.id : nil
        }
    }

    // MARK: Defaults

    /// A default that no write could meet would stop them all.
    static func checkDefault(of config: ReplicaSetConfig) throws(ServerError) {
        if let chosen = config.settings.writeConcernDefault, let why = unsatisfiable(chosen, by: config) {
            throw ConfigFields.error("settings.getLastErrorDefaults.w", "could never be met: \(why.message)")
        }
    }

    /// A change that would silently weaken or strengthen every write is refused (MongoDB's manual, "replSetReconfig").
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

    // MARK: Storing and spreading

    mutating func continueReconfig(_ now: Instant) {
        guard let pending = pendingReconfig, let config else { return }
        switch pending.stage {
        case .callingRoll: break
        case .waitingForCurrent:
            let isSafe = configIsCommitted && oplogIsCommittedInConfig || mutants.isActive(.reconfigUnsafe)
            guard configStore == nil, pending.isForced || isSafe else {
                return
            }
            var next: ReplicaSetConfig
            do { next = try pending.config.following(config, force: pending.isForced, renamed: pending.renamed) } catch
            {
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

    /// The configuration of a command is durable.
    mutating func noteReconfigStored(_ now: Instant) {
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

    mutating func tickReconfig(_ now: Instant) {
        if let pending = pendingReconfig, pending.stage == .callingRoll, pending.rollCall.deadline <= now {
            pendingReconfig?.rollCall.giveUp()
            judgeReconfig()
        }
        guard let pending = pendingReconfig, pending.deadline <= now, pending.stage != .storing else { return }
        let what =
            switch pending.stage {
            case .callingRoll: "not every new host has said who it is"
            case .spreading: "the new configuration is installed but not yet on a majority"
            case _ where pending.isForced: "another configuration is still being stored"
            default: "the current configuration is not yet committed on a majority"
            }
        failReconfig(ServerError(.currentConfigNotCommittedYet, "reconfiguration timed out: \(what)"))
    }
}
