public import BSON
public import Core

/// A member's cluster time: never falls, ticks once for every oplog entry, and follows what peers and clients have
/// seen.
public struct LogicalClock {
    /// The newest cluster time known here.
    public private(set) var time: Timestamp

    public init(_ time: Timestamp = .zero) { self.time = time }

    /// The time of the next oplog entry: the wall clock's second, or just behind the last one when that is not behind
    /// us.
    ///
    /// A second whose increments are used up lends from the next one.
    @inline(__always)
    public mutating func tick(_ wall: WallTime) throws(ServerError) -> Timestamp {
        let seconds = wall.seconds
        if seconds > time.seconds {
            time = Timestamp(seconds: seconds, increment: 1)
        } else {
            time = try LogicalClock.following(time)
        }
        return time
    }

    /// The time right behind `time`.
    static func following(_ time: Timestamp) throws(ServerError) -> Timestamp {
        if time.increment < UInt32(clamping: Int32.max) {
            return Timestamp(seconds: time.seconds, increment: time.increment + 1)
        }
        guard time.seconds < UInt32(clamping: Int32.max) else {
            throw ServerError(.operationFailed, "cluster time cannot go beyond \(time)")
        }
        return Timestamp(seconds: time.seconds + 1, increment: 1)
    }

    /// Follows a time that a peer or client has seen. One too far ahead of the wall clock is refused: taking it could
    /// use up the timestamps that are left.
    public mutating func advance(to seen: Timestamp, wall: WallTime) throws(ServerError) {
        guard seen > time else { return }
        let limit = Int64(wall.seconds) + Limits.clusterTimeDriftMax.components.seconds
        guard Int64(seen.seconds) <= limit, seen.seconds <= UInt32(clamping: Int32.max) else {
            throw ServerError(
                .clusterTimeFailsRateLimiter,
                "New cluster time, \(seen.seconds), is too far from this node's wall clock time, \(wall.seconds).")
        }
        time = seen
    }

    /// Follows the time of an entry that is in the oplog: it was checked when it was assigned.
    public mutating func advance(toLogged timestamp: Timestamp) {
        if timestamp > time { time = timestamp }
    }
}
