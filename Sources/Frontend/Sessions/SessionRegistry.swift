package import BSON
package import Core

/// The logical sessions that clients use on this node: only that they are alive. What a session has written is part of
/// the data (`SessionRecords`), since it must survive a failover.
package final class SessionRegistry {
    /// One session in use.
    final class Session {
        let id: SessionID
        fileprivate(set) var lastUse: Instant
        /// It is not among the sessions any more.
        fileprivate(set) var isOver = false

        fileprivate init(_ id: SessionID, _ lastUse: Instant) {
            self.id = id
            self.lastUse = lastUse
        }
    }

    private var sessions: [SessionID: Session] = [:]
    /// Sessions in the order of their next check for idleness; one entry a session.
    private var expiry: [(id: SessionID, checkAt: Instant)] = []
    private var expiryHead = 0

    package var count: Int { sessions.count }

    /// Notes that a session was used.
    /// - Throws: `TooManyLogicalSessions` when a new one does not fit.
    package func touch(_ id: SessionID, now: Instant) throws(ServerError) {
        var last: Session?
        try touch(id, now: now, &last)
    }

    /// The same for one who mostly uses the session that he used last, which need not be looked for.
    @inline(__always)
    func touch(_ id: SessionID, now: Instant, _ last: inout Session?) throws(ServerError) {
        if let last, last.id == id, !last.isOver { return last.lastUse = now }
        last = try session(id, now: now)
    }

    private func session(_ id: SessionID, now: Instant) throws(ServerError) -> Session {
        if let session = sessions[id] {
            session.lastUse = now
            return session
        }
        expire(now: now)
        guard sessions.count < Limits.sessionsMax else {
            throw ServerError(
                .tooManyLogicalSessions,
                "cannot add session: \(Limits.sessionsMax) are in use; end sessions or wait until idle ones expire")
        }
        let session = Session(id, now)
        sessions[id] = session
        expiry.append((id, now + Limits.sessionIdleMax))
        return session
    }

    package func end(_ id: SessionID) { sessions.removeValue(forKey: id)?.isOver = true }

    /// The sessions as `$listLocalSessions` shows them.
    package var documents: [Document] {
        sessions.keys.map { $0.bytes }.sorted { $0.lexicographicallyPrecedes($1) }.map {
            ["_id": ["id": .binary(subtype: 4, $0)]]
        }
    }

    /// Forgets sessions that were idle for too long: a few checks a call, so that no call is long.
    private func expire(now: Instant) {
        var checks = 8
        while checks > 0, expiryHead < expiry.count, expiry[expiryHead].checkAt <= now {
            checks -= 1
            let id = expiry[expiryHead].id
            expiryHead += 1
            guard let session = sessions[id] else { continue }
            if session.lastUse + Limits.sessionIdleMax <= now {
                end(id)
            } else {
                expiry.append((id, session.lastUse + Limits.sessionIdleMax))
            }
        }
        if expiryHead > 4096, expiryHead * 2 > expiry.count {
            expiry.removeFirst(expiryHead)
            expiryHead = 0
        }
    }
}
