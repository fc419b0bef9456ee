import BSON
import Core

/// What this member knows of another one.
struct Peer: Sendable {
    let id: MemberID
    private(set) var host: String

    /// Whether the last round of heartbeats reached it.
    var isUp = false
    /// What it said last; STARTUP until it was heard or the first round has found it down.
    var state = MemberState.startup
    var term: Int64 = -1
    var config = ConfigVersion.none
    /// What counts towards write concern and the commit point: moves forward only, whatever overtakes what.
    var progress = Progress()
    /// What it said of itself last, which a rollback or a crash takes back: who is worth fetching from.
    var reported = OpTime.null
    /// The incarnation that spoke last.
    var incarnation: Incarnation?
    var isVolatile = false
    var isElectable = false
    var syncSource: String?
    var electionTime: Timestamp?
    var message = ""

    /// The newest run of its process that spoke, as the member counts them in its incarnation.
    var startCount: Int64 = 0
    /// The newest report that was taken in.
    var reportRun: UInt64 = 0
    var reportNumber: UInt64 = 0

    /// Any sign of life: an answer, a request, a position that was relayed.
    var lastHeard: Instant?
    /// When it answered a heartbeat of ours last, and when one of its own came; for what users see.
    var lastHeartbeat: WallTime?
    var lastHeartbeatReceived: WallTime?
    var upSince: Instant?
    var isConnectionOpen = false

    // One heartbeat at a time is under way.
    var nextHeartbeat: Instant
    var exchange: Exchange?
    var sentAt = Instant.zero
    var roundStartedAt = Instant.zero
    var retriesLeft = 0
    /// Heartbeats answered or failed since this member was elected.
    var hasReportedSinceElection = false

    /// Smoothed round trip.
    var ping: Duration?
    var pingCount = 0
    /// Not a sync source before this.
    var deniedUntil = Instant.zero

    init(id: MemberID, host: String, nextHeartbeat: Instant) {
        self.id = id
        self.host = host
        self.nextHeartbeat = nextHeartbeat
    }

    mutating func notePing(_ roundTrip: Duration) {
        pingCount += 1
        // Four parts old, one part new, as TCP's estimate.
        ping = ping.map { ($0 * 4 + roundTrip) / 5 } ?? roundTrip
    }

    /// Who spoke last; nil before anybody did.
    var voice: RollCall.Voice? {
        guard reportRun != 0, let incarnation else { return nil }
        return RollCall.Voice(run: reportRun, incarnation: incarnation)
    }

    /// The same member, reached under another name.
    mutating func move(to host: String, now: Instant) {
        self.host = host
        exchange = nil
        nextHeartbeat = now
        isConnectionOpen = false
    }

    /// A new incarnation: what was known of the old one is void.
    mutating func forget() {
        startCount = 0
        progress = Progress()
        reported = .null
        state = .unknown
        isElectable = false
        config = .none
    }
}
