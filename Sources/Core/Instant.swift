/// A point of a node's monotonic clock, in nanoseconds since an arbitrary start. Virtual in the simulator.
@frozen public struct Instant: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static let zero = Instant(nanoseconds: 0)
    /// Never comes.
    public static let distantFuture = Instant(nanoseconds: .max)

    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Instant, b: Duration) -> Instant {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
        return Instant(nanoseconds: overflow ? .max : sum)
    }
    @inlinable public static func - (a: Instant, b: Instant) -> Duration {
        .nanoseconds(a.nanoseconds &- b.nanoseconds)
    }
    @inlinable public static func - (a: Instant, b: Duration) -> Instant {
        Instant(nanoseconds: a.nanoseconds - b.nanoseconds)
    }
}

extension Duration {
    /// Whole nanoseconds, saturating.
    @inlinable public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, more) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return more ? .max : sum
    }
    /// Whole microseconds, towards zero.
    @inlinable public var wholeMicroseconds: Int64 { nanoseconds / 1000 }
    /// Whole milliseconds, towards zero.
    @inlinable public var wholeMilliseconds: Int64 { nanoseconds / 1_000_000 }
}

/// Wall-clock time in milliseconds since 1970, as BSON dates carry it. Only for what users see and for oplog
/// timestamps; no decision of a protocol depends on it.
@frozen public struct WallTime: Hashable, Comparable, Sendable {
    public var milliseconds: Int64
    @inlinable public init(milliseconds: Int64) { self.milliseconds = milliseconds }
    @inlinable public static func < (a: WallTime, b: WallTime) -> Bool { a.milliseconds < b.milliseconds }
    /// Whole seconds since 1970.
    @inlinable public var seconds: UInt32 { UInt32(truncatingIfNeeded: max(milliseconds, 0) / 1000) }
}
