public import Core

/// The runtime of one node on an `EventLoop`: real clocks, the system's randomness, timers and tasks on the loop's
/// thread.
///
/// Several nodes may share a loop, each with a runtime of its own. `now` reads the clock at each call, so that code
/// that watches how long it has held the loop sees time pass; where a reading per turn is enough, `loop.turnStart`
/// costs nothing.
public final class LiveRuntime: NodeRuntime {
    /// The loop that the node is confined to.
    public let loop: EventLoop
    public let log: any LogSink
    private var randomness = SystemRandomness()

    /// - Parameter log: the last lines that go there are kept.
    public init(loop: EventLoop, log: any LogSink = LineLog()) {
        self.loop = loop
        self.log = RecentLog(log)
    }

    public var now: Instant { SystemClock.now }
    public var wallClock: WallTime { SystemClock.wallClock }
    public func randomNumber() -> UInt64 { randomness.next() }

    @discardableResult
    public func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken {
        loop.schedule(at: deadline, body)
    }

    public func cancel(_ timer: TimerToken) { loop.cancel(timer) }

    public func enqueue(_ body: @escaping () -> Void) { loop.enqueue(body) }

    @discardableResult
    public func spawn(_ name: StaticString, _ body: @escaping () async -> Void) -> SpawnedTask {
        loop.preconditionOnLoop()
        // The task never leaves this loop: its executor is the loop, and so is that of all it calls.
        let confined = Confined(body)
        #if DEBUG
            return SpawnedTask(Task(name: name.description, executorPreference: loop) { await confined.value() })
        #else
            return SpawnedTask(Task(executorPreference: loop) { await confined.value() })
        #endif
    }

    public func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void) {
        loop.offload(work, completion: completion)
    }

    /// One object for all runtimes of a loop: equal mailboxes mean the same loop.
    public var mailbox: any LoopMailbox { loop.mailbox }

    public var loopStatistics: LoopStatistics? { loop.currentStatistics }
    public var processStatistics: ProcessStatistics? { SystemProcess.statistics }

    public func preconditionOnLoop() { loop.preconditionOnLoop() }
}
