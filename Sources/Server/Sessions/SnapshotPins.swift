internal import BSON
internal import Core
internal import Data

/// The points in time that snapshot sessions read at, kept readable on this member while their sessions use them.
///
/// Only the member that answered a session's first read keeps its point: another one may have dropped it, and says so.
final class SnapshotPins {
    private struct Pin {
        let token: SnapshotToken
        let time: Timestamp
        var lastUse: Instant
    }

    private let runtime: any NodeRuntime
    private let versions: VersionStore
    private var pins: [SessionID: Pin] = [:]
    private var sweep: TimerToken?

    init(runtime: any NodeRuntime, versions: VersionStore) {
        self.runtime = runtime
        self.versions = versions
    }

    /// Keeps `time` readable for the session; what it read at before is let go.
    func hold(_ time: Timestamp, for session: SessionID) throws {
        if pins[session]?.time == time {
            pins[session]?.lastUse = runtime.now
            return
        }
        let token = try versions.openSnapshot(at: time)
        release(session)
        pins[session] = Pin(token: token, time: time, lastUse: runtime.now)
        if sweep == nil { scheduleSweep() }
    }

    func release(_ session: SessionID) {
        if let pin = pins.removeValue(forKey: session) { versions.closeSnapshot(pin.token) }
    }

    private func scheduleSweep() {
        sweep = runtime.schedule(after: Limits.snapshotIdleMax) { [weak self] in
            guard let self else { return }
            sweep = nil
            let limit = runtime.now - Limits.snapshotIdleMax
            let idle = pins.filter { $0.value.lastUse <= limit }.sorted { $0.value.time < $1.value.time }
            for (session, _) in idle { release(session) }
            if !pins.isEmpty { scheduleSweep() }
        }
    }
}
