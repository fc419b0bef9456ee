public import BSON

/// What one memory of a member lasts. A durable member keeps it over restarts; a volatile one, or one whose data was
/// thrown away to be synchronised anew, draws another, because it has forgotten the votes it cast and the writes it
/// acknowledged.
///
/// Ordered by start, so that a message of an earlier incarnation is recognised. A clock that was set back makes a newer
/// one look older; then only the answer to a heartbeat of our own, which cannot come from the past, is believed.
public struct Incarnation: Hashable, Comparable, Sendable {
    public var startedAt: WallTime
    public var nonce: UInt64

    public init(startedAt: WallTime, nonce: UInt64) {
        self.startedAt = startedAt
        self.nonce = nonce
    }

    /// Reads `{startedAt: date, nonce: int64}`.
    public init?(_ view: DocumentView) {
        guard let started = view["startedAt"]?.asDateTime, let nonce = view["nonce"]?.asInt64 else { return nil }
        self.init(startedAt: WallTime(milliseconds: started), nonce: UInt64(bitPattern: nonce))
    }

    public func encode(to writer: DocumentWriter) {
        writer.append("startedAt", dateTime: startedAt.milliseconds)
        writer.append("nonce", int64: Int64(bitPattern: nonce))
    }

    public static func < (a: Incarnation, b: Incarnation) -> Bool {
        a.startedAt != b.startedAt ? a.startedAt < b.startedAt : a.nonce < b.nonce
    }
}
