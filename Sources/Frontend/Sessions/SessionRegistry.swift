package import BSON
package import Core

/// The logical sessions that clients use on this node: only that they are alive. What a session has written is part of
/// the data (`SessionRecords`), since it must survive a failover.
package final class SessionRegistry {
    private var lastUse: [SessionID: Instant] = [:]
    /// Sessions in the order of their next check for idleness; one entry a session.
    private var expiry: [(id: SessionID, checkAt: Instant)] = []
    private var expiryHead = 0

    package var count: Int { lastUse.count }

    /// Notes that a session was used.
    /// - Throws: `TooManyLogicalSessions` when a new one does not fit.
    package func touch(_ id: SessionID, now: Instant) throws(ServerError) {
        if lastUse.updateValue(now, forKey: id) != nil { return }
        expire(now: now)
        guard lastUse.count <= Limits.sessionsMax else {
            lastUse[id] = nil
            throw ServerError(
                .tooManyLogicalSessions,
                "cannot add session: \(Limits.sessionsMax) are in use; end sessions or wait until idle ones expire")
        }
        expiry.append((id, now + Limits.sessionIdleMax))
    }

    package func end(_ id: SessionID) { lastUse[id] = nil }

    /// The sessions as `$listLocalSessions` shows them.
    package var documents: [Document] {
        lastUse.keys.map { $0.bytes }.sorted { $0.lexicographicallyPrecedes($1) }.map {
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
            guard let used = lastUse[id] else { continue }
            if used + Limits.sessionIdleMax <= now {
                lastUse[id] = nil
            } else {
                expiry.append((id, used + Limits.sessionIdleMax))
            }
        }
        if expiryHead > 4096, expiryHead * 2 > expiry.count {
            expiry.removeFirst(expiryHead)
            expiryHead = 0
        }
    }
}
