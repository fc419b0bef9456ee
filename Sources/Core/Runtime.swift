/// A monotonic clock: all that code needs of a runtime which only looks at how long it takes. Not a plug point.
public protocol MonotonicClock: AnyObject {
    /// The time. Read once per batch of work where precision does not matter.
    var now: Instant { get }
}

/// Everything a node may not reach on its own: time, randomness, tasks, timers. Not a plug point.
///
/// A node is a set of plain objects confined to one runtime: one serial loop that calls into them, and nothing else
/// does. In production the loop is a thread with an event loop; in the simulator a job queue under virtual time. The
/// same node code runs under both and cannot tell which.
///
/// All members may be called from the runtime's own loop only, except through `mailbox`.
public protocol NodeRuntime: MonotonicClock {
    /// The wall clock, for timestamps and what users see.
    var wallClock: WallTime { get }
    /// The next number of this node's generator: seeded in the simulator, from the system live.
    func randomNumber() -> UInt64

    /// Calls `body` once, on the loop, not before `deadline`. Timers of one deadline fire in the order they were set.
    @discardableResult
    func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken
    /// Prevents a timer from firing. Does nothing when it has fired.
    func cancel(_ timer: TimerToken)

    /// Calls `body` on the loop, soon, behind what is already queued.
    func enqueue(_ body: @escaping () -> Void)

    /// Starts a task on the loop. The only way node code starts one: every suspension of `body`, and of what it calls,
    /// comes back to this loop. `name` shows up in traces and leak reports.
    @discardableResult
    func spawn(_ name: StaticString, _ body: @escaping () async -> Void) -> SpawnedTask

    /// Runs pure work on a helper thread (in the simulator: at once, taking virtual time) and calls `completion` on the
    /// loop.
    func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void)

    /// The way in from other threads.
    var mailbox: any LoopMailbox { get }

    /// Traps, in every build, when the caller is not on the loop: memory safety depends on it.
    func preconditionOnLoop()

    /// Where lines for people go.
    var log: any LogSink { get }

    /// How the loop is doing; nil where time is not spent, as in the simulator.
    var loopStatistics: LoopStatistics? { get }

    /// What the process uses of the machine; nil where there is no process of its own, as in the simulator.
    var processStatistics: ProcessStatistics? { get }

    /// What the simulator adds; nil everywhere else.
    var simulation: SimulationHooks? { get }
}

/// How a loop is doing, for `serverStatus` and for people who look for what made a node late. Counted since its start.
public struct LoopStatistics: Sendable, Equatable {
    /// The longest time that one callback held the loop.
    public var longestHold: Duration = .zero
    /// Callbacks that held the loop longer than `Limits.loopHoldMax`, and those of them longer than
    /// `Limits.loopHoldFar`.
    public var longHolds: UInt64 = 0
    public var farTooLongHolds: UInt64 = 0
    /// Turns of the loop: polls of the system for events.
    public var turns: UInt64 = 0
    /// Task steps that escaped to the global pool. Counted in debug builds only; each is a defect.
    public var leakedJobs: UInt64 = 0

    public init() {}
}

/// What a process uses of its machine, for `serverStatus`.
public struct ProcessStatistics: Sendable, Equatable {
    public var residentBytes: Int64 = 0
    public var virtualBytes: Int64 = 0
    /// Page faults that took IO.
    public var pageFaults: Int64 = 0
    public var userMicroseconds: Int64 = 0
    public var systemMicroseconds: Int64 = 0

    public init() {}
}

extension NodeRuntime {
    public var loopStatistics: LoopStatistics? { nil }
    public var processStatistics: ProcessStatistics? { nil }

    @discardableResult
    public func schedule(after delay: Duration, _ body: @escaping () -> Void) -> TimerToken {
        schedule(at: now + delay, body)
    }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public func random(below bound: UInt64) -> UInt64 {
        guard bound > 0 else { return 0 }
        return randomNumber().multipliedFullWidth(by: bound).high
    }

    /// Suspends the current task for so long. Cancelling the task does not shorten it: who has to be woken earlier
    /// waits for something that can be resolved.
    public func sleep(for delay: Duration) async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            schedule(after: delay) { continuation.resume() }
        }
    }
}

/// Hands work to a runtime's loop from any thread. In the simulator there is one thread, and the work is queued like
/// any.
public protocol LoopMailbox: AnyObject, Sendable {
    /// Calls `body` on the loop. Does nothing when the loop has been shut down.
    func enqueue(_ body: @escaping @Sendable () -> Void)
}

/// Names a timer of a runtime.
public struct TimerToken: Hashable, Sendable {
    public let id: UInt64
    public init(id: UInt64) { self.id = id }
}

/// A task that `NodeRuntime.spawn` started.
public struct SpawnedTask: Sendable {
    private let task: Task<Void, Never>
    public init(_ task: Task<Void, Never>) { self.task = task }
    public func cancel() { task.cancel() }
}

/// Carries a value over a sendability check where confinement to one loop is what makes it safe. Say why at each use.
public struct Confined<Value>: @unchecked Sendable {
    public let value: Value
    @inlinable public init(_ value: Value) { self.value = value }
}
