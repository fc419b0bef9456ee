/// How a loop is doing, for `serverStatus` and for people who look for what made a node late.
public struct LoopStatistics: Sendable, Equatable {
    /// The longest time that one callback held the loop since the last reset.
    public var longestHold: Duration = .zero
    /// Callbacks that held the loop longer than `Limits.loopHoldMax`.
    public var longHolds: UInt64 = 0
    /// Turns of the loop: polls of the system for events.
    public var turns: UInt64 = 0
    /// Task steps that escaped to the global pool. Counted in debug builds only; each is a defect.
    public var leakedJobs: UInt64 = 0
}
