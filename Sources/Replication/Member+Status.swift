public import BSON
public import Core

/// What the shell adds to `replSetGetStatus`.
public struct StatusSupplement: Sendable {
    public var wallClock: WallTime
    /// Seconds since the process started.
    public var uptimeSeconds: Int64
    public var initialSync: Document?

    public init(wallClock: WallTime, uptimeSeconds: Int64, initialSync: Document? = nil) {
        self.wallClock = wallClock
        self.uptimeSeconds = uptimeSeconds
        self.initialSync = initialSync
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
        writer.document("optimes") { writeOptimes(to: $0) }
        writer.append("lastStableRecoveryTimestamp", timestamp: majorityReadPoint.timestamp)
        if leadership != nil { candidateMetrics.write(to: writer, supplement, now: now, settings: settings) }
        if leadership == nil, let participantMetrics { participantMetrics.write(to: writer) }
        if let initialSync = supplement.initialSync { writer.append("initialSyncStatus", initialSync) }
        writer.array("members") { array in
            for index in config.members.indices {
                array.document { document in
                    if index == selfIndex {
                        writeSelf(index, supplement, now: now, to: document)
                    } else {
                        writePeer(index, supplement, now: now, to: document)
                    }
                }
            }
        }
    }

    private func writeOptimes(to writer: DocumentWriter) {
        writer.append("lastCommittedOpTime", commitPoint)
        writer.append("lastCommittedWallTime", dateTime: wallClock(of: commitPoint).milliseconds)
        writer.append("readConcernMajorityOpTime", majorityReadPoint)
        writer.append("readConcernMajorityWallTime", dateTime: wallClock(of: majorityReadPoint).milliseconds)
        writer.append("appliedOpTime", progress.applied)
        writer.append("durableOpTime", progress.durable)
        writer.append("writtenOpTime", progress.written)
        writer.append("lastAppliedWallTime", dateTime: wallClock(of: progress.applied).milliseconds)
        writer.append("lastDurableWallTime", dateTime: wallClock(of: progress.durable).milliseconds)
        writer.append("lastWrittenWallTime", dateTime: wallClock(of: progress.written).milliseconds)
    }

    /// Both under today's names and under 3.6's.
    private func writeSource(_ id: MemberID?, host: String?, to writer: DocumentWriter) {
        if let host, !host.isEmpty { writer.append("syncingTo", string: host) }
        writer.append("syncSourceHost", string: host ?? "")
        writer.append("syncSourceId", int32: id ?? -1)
    }

    private func writeProgress(_ progress: Progress, to writer: DocumentWriter) {
        writer.append("optime", progress.applied)
        writer.append("optimeDurable", progress.durable)
        writer.append("optimeWritten", progress.written)
        writer.append("optimeDate", dateTime: Int64(progress.applied.timestamp.seconds) * 1000)
        writer.append("optimeDurableDate", dateTime: Int64(progress.durable.timestamp.seconds) * 1000)
        writer.append("optimeWrittenDate", dateTime: Int64(progress.written.timestamp.seconds) * 1000)
        let applied =
            progress.appliedAt.milliseconds > 0
            ? progress.appliedAt.milliseconds : Int64(progress.applied.timestamp.seconds) * 1000
        writer.append("lastAppliedWallTime", dateTime: applied)
        writer.append("lastDurableWallTime", dateTime: Int64(progress.durable.timestamp.seconds) * 1000)
        writer.append("lastWrittenWallTime", dateTime: Int64(progress.written.timestamp.seconds) * 1000)
    }

    private func writeSelf(_ index: Int, _ supplement: StatusSupplement, now: Instant, to writer: DocumentWriter) {
        guard let config else { return }
        writer.append("_id", int32: config.members[index].id)
        writer.append("name", string: config.members[index].host)
        writer.append("health", double: 1)
        writer.append("state", int32: state.rawValue)
        writer.append("stateStr", string: state.name)
        writer.append("uptime", int64: supplement.uptimeSeconds)
        if !config.members[index].isArbiter { writeProgress(progress, to: writer) }
        writeSource(syncSource, host: syncSourceHost, to: writer)
        writer.append("infoMessage", string: wantsSyncSource ? "Could not find member to sync from" : "")
        if let elected = leadership?.firstOpTime {
            writer.append("electionTime", timestamp: elected.timestamp)
            writer.append("electionDate", dateTime: Int64(elected.timestamp.seconds) * 1000)
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
        func date(_ instant: Instant?) -> Int64 {
            guard let instant else { return 0 }
            return supplement.wallClock.milliseconds - (now - instant).wholeMilliseconds
        }
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
        if !member.isArbiter { writeProgress(peer.progress, to: writer) }
        writer.append("lastHeartbeat", dateTime: date(peer.lastHeartbeat))
        writer.append("lastHeartbeatRecv", dateTime: date(peer.lastHeartbeatReceived))
        writer.append("pingMs", int64: peer.ping?.wholeMilliseconds ?? 0)
        writer.append("lastHeartbeatMessage", string: peer.message)
        let source = peer.syncSource.flatMap { config.index(ofHost: $0) }.map { config.members[$0].id }
        writeSource(source, host: peer.syncSource, to: writer)
        writer.append("infoMessage", string: "" as StaticString)
        if peer.state == .primary, let elected = peer.electionTime {
            writer.append("electionTime", timestamp: elected)
            writer.append("electionDate", dateTime: Int64(elected.seconds) * 1000)
        }
        writer.append("configVersion", int32: Int32(clamping: peer.config.version))
        writer.append("configTerm", int64: peer.config.term)
    }

    /// Writes `config` of the reply of `replSetGetConfig`.
    /// - Throws: `NotYetInitialized`.
    public func writeConfig(to writer: DocumentWriter) throws(ServerError) {
        guard let config else { throw ServerError(.notYetInitialized, "no replset config has been received") }
        writer.document("config") { config.encode(to: $0) }
    }
}
