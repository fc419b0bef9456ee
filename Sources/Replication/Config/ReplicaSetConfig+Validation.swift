import BSON
public import Core

extension ReplicaSetConfig {
    /// Checks what a single configuration must satisfy.
    /// - Throws: `InvalidReplicaSetConfig`, naming the field.
    public func validate() throws(ServerError) {
        guard !members.isEmpty else { throw ConfigFields.error("members", "must hold at least one member") }
        guard members.count <= Limits.membersMax else {
            throw ConfigFields.error("members", "a replica set has at most \(Limits.membersMax) members")
        }
        for (index, member) in members.enumerated() {
            for other in members[..<index] {
                guard other.id != member.id else {
                    throw ConfigFields.error("members.\(index)._id", "\(member.id) is used twice")
                }
                guard other.host != member.host else {
                    throw ConfigFields.error("members.\(index).host", "'\(member.host)' is used twice")
                }
            }
            try validate(member, at: "members.\(index).")
        }
        let local = members.count { $0.isLocal }
        guard local == 0 || local == members.count else {
            throw ServerError(
                .invalidReplicaSetConfig,
                "Either all host names in a replica set configuration must be localhost references, or none must be; "
                    + "found \(local) out of \(members.count)")
        }
        let voters = members.reduce(0) { $0 + Int($1.votes) }
        guard voters <= Limits.votersMax else {
            throw ConfigFields.error("members", "\(voters) members vote, at most \(Limits.votersMax) may")
        }
        guard voters > 0 else { throw ConfigFields.error("members", "at least one member must vote") }
        guard members.contains(where: { !$0.isArbiter && $0.priority > 0 }) else {
            throw ConfigFields.error("members", "at least one member must be electable (priority above 0)")
        }
        try validateModes()
    }

    private func validate(_ member: MemberConfig, at path: String) throws(ServerError) {
        if member.isArbiter {
            guard member.priority == 0 else {
                throw ConfigFields.error(path + "priority", "must be 0 for an arbiter")
            }
            guard member.votes == 1 else { throw ConfigFields.error(path + "votes", "must be 1 for an arbiter") }
            guard member.tags.isEmpty else { throw ConfigFields.error(path + "tags", "must be empty for an arbiter") }
            guard member.secondaryDelaySeconds == 0 else {
                throw ConfigFields.error(path + "secondaryDelaySecs", "must be 0 for an arbiter")
            }
            guard !member.isHidden else { throw ConfigFields.error(path + "hidden", "is not for arbiters") }
            return
        }
        if member.isHidden, member.priority != 0 {
            throw ConfigFields.error(path + "priority", "must be 0 when hidden is true")
        }
        if member.secondaryDelaySeconds > 0, member.priority != 0 {
            throw ConfigFields.error(path + "priority", "must be 0 when secondaryDelaySecs is set")
        }
        if member.votes == 0, member.priority != 0 {
            throw ConfigFields.error(path + "priority", "must be 0 when votes is 0")
        }
    }

    private func validateModes() throws(ServerError) {
        for mode in settings.writeConcernModes {
            let path = "settings.getLastErrorModes.\(mode.name)"
            guard mode.name != "majority" else { throw ConfigFields.error(path, "is a built-in mode") }
            for tag in mode.tags {
                let values = distinctValues(ofTag: tag.name)
                guard values >= Int(tag.count) else {
                    throw ConfigFields.error(
                        "\(path).\(tag.name)", "asks for \(tag.count) values, the members have \(values)")
                }
            }
        }
        if case .mode(let name)? = settings.writeConcernDefault?.w,
            !settings.writeConcernModes.contains(where: { $0.name == name })
        {
            throw ConfigFields.error("settings.getLastErrorDefaults.w", "names the unknown mode '\(name)'")
        }
        if case .number(0)? = settings.writeConcernDefault?.w {
            throw ConfigFields.error("settings.getLastErrorDefaults.w", "must not be 0")
        }
    }

    private func distinctValues(ofTag name: String) -> Int {
        var values: [String] = []
        for member in members {
            for tag in member.tags where tag.name == name && !values.contains(tag.value) { values.append(tag.value) }
        }
        return values.count
    }

    // MARK: One configuration after another

    /// Checks that this configuration may follow `old`, and carries over what users do not see. Adds `newlyAdded` to
    /// members that get a vote for the first time, arbiters too: which of their incarnations may vote has to be known
    /// first, or one that forgot its vote gives a second one. A forced configuration promises nothing at the moment
    /// when it is installed; that it leaves nobody whose incarnations are all taken for one keeps it from promising
    /// nothing for ever.
    ///
    /// `renamed`: members of another host that are known to be who they were; they keep what they have.
    /// - Throws: `NewReplicaSetConfigurationIncompatible`, `InvalidReplicaSetConfig`.
    public func following(
        _ old: ReplicaSetConfig, force: Bool, renamed: [MemberID] = []
    ) throws(ServerError) -> ReplicaSetConfig {
        func incompatible(_ what: String) -> ServerError {
            ServerError(.newReplicaSetConfigurationIncompatible, what)
        }
        guard setName == old.setName else {
            throw incompatible("new and old configurations differ in '_id': '\(old.setName)' and '\(setName)'")
        }
        guard version > old.lastUserVersion || force else {
            throw incompatible("the new 'version' \(version) must be above the current one, \(old.version)")
        }
        guard old.version < Int64(Int32.max) else { throw incompatible("no 'version' above \(old.version) is left") }
        if let id = settings.replicaSetID, let known = old.settings.replicaSetID, id != known {
            throw incompatible("'settings.replicaSetId' cannot be changed")
        }
        var next = self
        next.userVersion = nil
        // The set itself may have changed it since the user looked.
        next.version = max(version, old.version + 1)
        next.settings.replicaSetID = old.settings.replicaSetID
        for (index, member) in members.enumerated() {
            let before = old.members.first { $0.id == member.id }
            if let moved = old.members.first(where: { $0.host == member.host && $0.id != member.id }) {
                throw incompatible(
                    "the host '\(member.host)' had '_id' \(moved.id), which cannot be changed to \(member.id)")
            }
            guard let before, before.host == member.host || renamed.contains(member.id) else {
                next.members[index].isNewlyAdded = member.votes > 0
                next.members[index].incarnation = nil
                continue
            }
            guard before.isArbiter == member.isArbiter else {
                throw incompatible("'members.\(index).arbiterOnly' cannot be changed; remove the member first")
            }
            let gainsVote = before.votes == 0 && member.votes > 0
            next.members[index].isNewlyAdded = member.votes > 0 && (before.isNewlyAdded || gainsVote)
            next.members[index].incarnation = before.incarnation
        }
        if !force { try next.checkOneVoterAtATime(old, renamed: renamed) }
        return next
    }

    /// Quorums of neighbouring configurations overlap only when they differ by one vote (Ongaro's dissertation, §4.1).
    /// A voter of another host loses its vote until it is known to hold the data, so a new name is one change, too,
    /// unless it is known to be the same.
    private func checkOneVoterAtATime(_ old: ReplicaSetConfig, renamed: [MemberID]) throws(ServerError) {
        let before = old.members.filter { $0.votes > 0 }
        let after = members.filter { $0.votes > 0 }
        let gone = before.count { voter in !after.contains { $0.id == voter.id } }
        let new = after.count { voter in
            !before.contains { $0.id == voter.id && ($0.host == voter.host || renamed.contains(voter.id)) }
        }
        let changes = gone + new
        guard changes <= 1 else {
            throw ServerError(
                .invalidReplicaSetConfig,
                "replica set configuration: field 'members' adds or removes \(changes) voters; one at a time is allowed"
            )
        }
    }
}
