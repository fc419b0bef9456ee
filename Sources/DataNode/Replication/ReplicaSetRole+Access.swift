internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// What a member lets clients do, and what it tells them with every reply.
extension ReplicaSetRole {
    var isReplicated: Bool { true }
    var term: Int64 { member.term }
    var defaultWriteConcern: WriteConcern { member.defaultWriteConcern }
    var defaultReadConcern: ReadConcern.Level? { defaults.readConcernLevel }

    func checkWritable(_ database: UnsafeRawBufferPointer) throws(ServerError) {
        // The `local` database is this member's own.
        if acceptsWrites || KeyView(database) == "local" { return }
        if node.isShuttingDown { throw ServerError(.shutdownInProgress, "the server is shutting down") }
        throw ServerError(.notWritablePrimary, "not primary")
    }

    func checkReadable(_ arguments: GenericArguments, querySecondaryOk: Bool) throws(ServerError) {
        if acceptsWrites { return }
        if let name = arguments.database, KeyView(name) == "local" { return }
        if member.state.isReadable, !allowsSecondary(arguments, querySecondaryOk) {
            throw ServerError(.notPrimaryNoSecondaryOk, "not primary and secondaryOk=false")
        }
        try checkServesReads(of: arguments.database)
    }

    func checkServesReads(of database: UnsafeRawBufferPointer?) throws(ServerError) {
        if let database, KeyView(database) == "local" { return }
        switch member.state {
        case .primary, .secondary: return
        case .startup where member.config == nil:
            throw ServerError(
                .notPrimaryOrSecondary,
                "node is not in primary or recovering state: no replset config has been received")
        default:
            throw ServerError(
                .notPrimaryOrSecondary, "node is not in primary or secondary state but in \(member.state.name)")
        }
    }

    private func allowsSecondary(_ arguments: GenericArguments, _ querySecondaryOk: Bool) -> Bool {
        guard let mode = arguments.readPreference?["mode"]?.asStringBytes else { return querySecondaryOk }
        return !(KeyView(mode) == "primary")
    }

    // MARK: Gossip

    func advanceClusterTime(to time: Timestamp) throws(ServerError) {
        try node.data.clock.advance(to: time, wall: runtime.wallClock)
    }

    func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?) {
        let last = node.lastOpTime.timestamp
        writer.append(clusterTime: max(node.data.clock.time, last))
        writer.append("operationTime", timestamp: operationTime ?? last)
    }

    func appendHello(to writer: DocumentWriter, legacy: Bool) { member.writeHello(to: writer, legacy: legacy) }

    func appendServerStatus(to writer: DocumentWriter) {
        writer.document("repl") {
            member.writeHello(to: $0)
            $0.append("rbid", int32: local.rollbackID)
        }
        writer.document("electionMetrics") {
            member.electionCounts.write(to: $0, stepDowns: member.stepDownsByHigherTerm)
        }
        let oplog = node.data.oplog
        writer.document("oplog") {
            $0.append("entries", int64: Int64(oplog.count))
            $0.append("bytes", int64: Int64(oplog.byteCount))
            $0.append("storedBytes", int64: Int64(oplog.storedBytes))
            $0.append("minRetentionHours", double: Double(oplog.retention) / 3600)
            $0.append("maxBytes", int64: Int64(oplog.bytesMax))
        }
    }

    /// Writes the reply of `replSetGetStatus`.
    /// `afterInitialSync`: shows what the last initial sync came to when none is under way.
    func appendStatus(to writer: DocumentWriter, afterInitialSync: Bool) throws {
        var missing: (any Error)?
        let uptime = (runtime.now - node.startedAt).wholeMilliseconds / 1000
        try member.writeStatus(
            to: writer,
            StatusSupplement(
                wallClock: runtime.wallClock, uptimeSeconds: uptime,
                initialSync: initialSync?.status ?? (afterInitialSync ? lastInitialSync : nil),
                entryWall: { [data = node.data] in
                    do { return try data.wall(of: $0) } catch {
                        missing = error
                        return nil
                    }
                }),
            now: runtime.now)
        if let missing { throw missing }
    }

    /// How long a source may hold back a request for entries.
    var oplogAwaitTime: Duration {
        guard let config = member.config else { return Limits.peerRequestTimeout }
        return min(config.settings.electionTimeout / 2, Limits.oplogAwaitMax)
    }

    // MARK: An idle primary

    /// Writes a no-op every so often while nothing else is written, so that `lastWrite` and the commit point move on
    /// and drivers can tell a stale secondary from an idle set (`maxStalenessSeconds`).
    func scheduleIdleNoOp() {
        let term = member.term
        let seen = node.lastOpTime
        runtime.schedule(after: Limits.idleNoOpInterval) { [weak self] in
            guard let self, acceptsWrites, member.term == term, !node.isStopped else { return }
            if node.lastOpTime == seen, !node.lock.isHeld { _ = try? appendNoOp(["msg": "periodic noop"]) }
            scheduleIdleNoOp()
        }
    }
}
