public import BSON
public import Core

/// What the shell adds to `replSetGetStatus`.
public struct StatusSupplement {
    public var wallClock: WallTime
    /// Seconds since the process started.
    public var uptimeSeconds: Int64
    public var initialSync: Document?
    /// The `wall` of an entry that the oplog still holds.
    public var entryWall: (OpTime) -> WallTime?

    public init(
        wallClock: WallTime, uptimeSeconds: Int64, initialSync: Document? = nil,
        entryWall: @escaping (OpTime) -> WallTime? = { _ in nil }
    ) {
        self.wallClock = wallClock
        self.uptimeSeconds = uptimeSeconds
        self.initialSync = initialSync
        self.entryWall = entryWall
    }
}

extension Member {
    /// Writes the reply of `replSetGetStatus`, without `ok` and what every reply carries.
    /// - Throws: `NotYetInitialized`, `InvalidReplicaSetConfig` when the configuration leaves this member out.
    public func writeStatus(to writer: DocumentWriter, _ supplement: StatusSupplement, now: Instant) throws(ServerError)
    {
        guard let config else { throw ServerError(.notYetInitialized, "no replset config has been received") }
        guard let selfIndex else {
            throw ServerError(
                .invalidReplicaSetConfig, "Our replica set config is invalid or we are not a member of it")
        }
        writer.append("set", string: config.setName)
        writer.append("date", dateTime: supplement.wallClock.milliseconds)
        writer.append("myState", int32: state.rawValue)
        writer.append("term", int64: term)
        writeSource(syncSource, host: syncSourceHost, to: writer)
        writer.append("heartbeatIntervalMillis", int64: settings.heartbeatIntervalMillis)
        writer.append("majorityVoteCount", int32: Int32(clamping: config.votingMajority))
        writer.append("writeMajorityCount", int32: Int32(clamping: config.writeMajority))
        writer.append("votingMembersCount", int32: Int32(clamping: config.voterCount))
        writer.append("writableVotingMembersCount", int32: Int32(clamping: config.writableVoterCount))
        writer.document("optimes") { writeOptimes(supplement, to: $0) }
        writer.append("lastStableRecoveryTimestamp", timestamp: majorityReadPoint.timestamp)
        if leadership != nil { candidateMetrics.write(to: writer, settings: settings) }
        if leadership == nil, let participantMetrics { participantMetrics.write(to: writer) }
        if let initialSync = supplement.initialSync { writer.append("initialSyncStatus", initialSync) }
        writer.array("members") { array in
            for index in config.members.indices {
                array.document { document in
                    if index == selfIndex {
                        writeSelf(index, supplement, to: document)
                    } else {
                        writePeer(index, supplement, now: now, to: document)
                    }
                }
            }
        }
    }

    /// The date of an entry. To the millisecond where the oplog still holds it, or its date came along with `progress`;
    /// else the second of its timestamp.
    private func date(of optime: OpTime, _ progress: Progress, _ supplement: StatusSupplement) -> Int64 {
        guard !optime.isNull else { return 0 }
        if let known = progress.wall(of: optime) ?? supplement.entryWall(optime) { return known.milliseconds }
        return Int64(optime.timestamp.seconds) * 1000
    }

    private func writeOptimes(_ supplement: StatusSupplement, to writer: DocumentWriter) {
        func date(_ optime: OpTime) -> Int64 { self.date(of: optime, progress, supplement) }
        writer.append("lastCommittedOpTime", commitPoint)
        writer.append("lastCommittedWallTime", dateTime: date(commitPoint))
        writer.append("readConcernMajorityOpTime", majorityReadPoint)
        writer.append("readConcernMajorityWallTime", dateTime: date(majorityReadPoint))
        writer.append("appliedOpTime", progress.applied)
        writer.append("durableOpTime", progress.durable)
        writer.append("writtenOpTime", progress.written)
        writer.append("lastAppliedWallTime", dateTime: date(progress.applied))
        writer.append("lastDurableWallTime", dateTime: date(progress.durable))
        writer.append("lastWrittenWallTime", dateTime: date(progress.written))
    }

    /// Both under today's names and under 3.6's.
    private func writeSource(_ id: MemberID?, host: String?, to writer: DocumentWriter) {
        if let host, !host.isEmpty { writer.append("syncingTo", string: host) }
        writer.append("syncSourceHost", string: host ?? "")
        writer.append("syncSourceId", int32: id ?? -1)
    }

    private func writeProgress(
        _ progress: Progress, lastKnown: Progress, _ supplement: StatusSupplement, to writer: DocumentWriter
    ) {
        writer.append("optime", progress.applied)
        writer.append("optimeDurable", progress.durable)
        writer.append("optimeWritten", progress.written)
        writer.append("optimeDate", dateTime: date(of: progress.applied, progress, supplement))
        writer.append("optimeDurableDate", dateTime: date(of: progress.durable, progress, supplement))
        writer.append("optimeWrittenDate", dateTime: date(of: progress.written, progress, supplement))
        writer.append("lastAppliedWallTime", dateTime: date(of: lastKnown.applied, lastKnown, supplement))
        writer.append("lastDurableWallTime", dateTime: date(of: lastKnown.durable, lastKnown, supplement))
        writer.append("lastWrittenWallTime", dateTime: date(of: lastKnown.written, lastKnown, supplement))
    }

    private func writeSelf(_ index: Int, _ supplement: StatusSupplement, to writer: DocumentWriter) {
        guard let config else { return }
        writer.append("_id", int32: config.members[index].id)
        writer.append("name", string: config.members[index].host)
        writer.append("health", double: 1)
        writer.append("state", int32: state.rawValue)
        writer.append("stateStr", string: state.name)
        writer.append("uptime", int64: supplement.uptimeSeconds)
        if !config.members[index].isArbiter { writeProgress(progress, lastKnown: progress, supplement, to: writer) }
        writeSource(syncSource, host: syncSourceHost, to: writer)
        writer.append("infoMessage", string: wantsSyncSource ? "Could not find member to sync from" : "")
        if let elected = leadership?.firstOpTime {
            writer.append("electionTime", timestamp: elected.timestamp)
            writer.append("electionDate", dateTime: date(of: elected, progress, supplement))
        }
        writer.append("configVersion", int32: Int32(clamping: config.version))
        writer.append("configTerm", int64: config.term)
        writer.append("self", bool: true)
        writer.append("lastHeartbeatMessage", string: "" as StaticString)
    }

    private func writePeer(_ index: Int, _ supplement: StatusSupplement, now: Instant, to writer: DocumentWriter) {
        guard let config else { return }
        let peer = peers[index]
        let member = config.members[index]
        writer.append("_id", int32: member.id)
        writer.append("name", string: member.host)
        writer.append("health", double: peer.state == .down ? 0 : 1)
        writer.append("state", int32: peer.state.rawValue)
        if peer.state == .down {
            writer.append("stateStr", string: "(not reachable/healthy)" as StaticString)
        } else {
            writer.append("stateStr", string: peer.state.name)
        }
        writer.append("uptime", int64: peer.upSince.map { (now - $0).components.seconds } ?? 0)
        // One that is down shows no position, so that nobody takes its last one for a lag that grows; only when it was
        // there is told.
        let isDown = peer.state == .down
        if !member.isArbiter {
            writeProgress(isDown ? Progress() : peer.progress, lastKnown: peer.progress, supplement, to: writer)
        }
        writer.append("lastHeartbeat", dateTime: peer.lastHeartbeat?.milliseconds ?? 0)
        writer.append("lastHeartbeatRecv", dateTime: peer.lastHeartbeatReceived?.milliseconds ?? 0)
        writer.append("pingMs", int64: peer.ping?.wholeMilliseconds ?? 0)
        writer.append("lastHeartbeatMessage", string: peer.message)
        let sourceHost = isDown ? nil : peer.syncSource
        let source = sourceHost.flatMap { config.index(ofHost: $0) }.map { config.members[$0].id }
        writeSource(source, host: sourceHost, to: writer)
        writer.append("infoMessage", string: "" as StaticString)
        if peer.state == .primary, let elected = peer.electionTime {
            writer.append("electionTime", timestamp: elected)
            let first = OpTime(term: peer.term, timestamp: elected)
            writer.append("electionDate", dateTime: date(of: first, peer.progress, supplement))
        }
        writer.append("configVersion", int32: isDown ? -1 : Int32(clamping: peer.config.version))
        writer.append("configTerm", int64: isDown ? -1 : peer.config.term)
    }

    /// Writes the reply of `replSetGetConfig`.
    /// `commitmentStatus`: also whether the next configuration may follow, which only a primary knows.
    /// - Throws: `NotYetInitialized`, `NotWritablePrimary`.
    public func writeConfig(to writer: DocumentWriter, commitmentStatus: Bool) throws(ServerError) {
        guard let config else { throw ServerError(.notYetInitialized, "no replset config has been received") }
        guard !commitmentStatus || isWritablePrimary else {
            throw ServerError(.notWritablePrimary, "commitmentStatus is only known to a primary")
        }
        writer.document("config") { config.encode(to: $0) }
        if commitmentStatus {
            writer.append("commitmentStatus", bool: configIsCommitted && oplogIsCommittedInConfig)
        }
    }
}
