public import Core
import Synchronization

/// A node's runtime in a `SimulatedWorld`: virtual time, a seeded generator, and the world's one queue.
///
/// One object is one run of a node: a crash ends it for good (its jobs, timers and tasks never run again), a restart
/// makes a new one of the same name.
public final class SimulatedRuntime: NodeRuntime {
    public unowned let world: SimulatedWorld
    /// The node's name, the same in all its runs.
    public let name: String
    /// Which run of the node this is, counting from 0.
    public let run: Int
    /// Index in the world, and the node of its events in the trace.
    public let index: Int32
    public private(set) var isAlive = true
    /// What a dead node's objects still see while they are taken apart.
    private var timeOfDeath = Instant.zero
    public private(set) var isPaused = false
    /// The task that was started last, for explanations.
    public private(set) var lastSpawned: StaticString?
    public var log: any LogSink

    /// How long `offload` takes: drawn evenly from this range.
    public var offloadDelay: ClosedRange<Duration> = .microseconds(50) ... .milliseconds(2)

    /// Helper threads hang: what is handed to them is not begun.
    var areHelpersStuck = false {
        didSet {
            guard !areHelpersStuck else { return }
            let waiting = stuckWork
            stuckWork = []
            for (work, completion) in waiting { offload(work, completion: completion) }
        }
    }
    /// Helper threads may do late what they are handed: what happens meanwhile comes before it, and after a crash it
    /// never happens.
    var mayHelpersBeLate = false
    private var helpers: SeededGenerator
    private var stuckWork: [(work: @Sendable () -> Void, completion: () -> Void)] = []

    private let executor: SimulatedExecutor
    private var generator: SeededGenerator
    /// Draws of the environment, apart from the node's own: changing one does not shift the other.
    private var environment: SeededGenerator
    private var clock = SimulatedWallClock()
    private var tasks = TaskTable()
    /// Events of a paused node, in order.
    var held = EventRing()
    /// Ready events when the world shuffles.
    var ready = EventRing()

    init(world: SimulatedWorld, name: String, run: Int, index: Int32, log: any LogSink) {
        self.world = world
        self.name = name
        self.run = run
        self.index = index
        self.log = log
        generator = SeededGenerator(seed: world.seed, purpose: "node \(name) \(run)")
        helpers = SeededGenerator(seed: world.seed, purpose: "helpers of \(name) \(run)")
        environment = SeededGenerator(seed: world.seed, purpose: "environment of \(name) \(run)")
        executor = SimulatedExecutor(world: world, runtime: index)
    }

    public var now: Instant { isAlive ? world.now : timeOfDeath }
    public var wallClock: WallTime { clock.read(at: now) }
    public func randomNumber() -> UInt64 { generator.next() }
    public var simulation: SimulationHooks? { world.hooks }

    @discardableResult
    public func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken {
        guard isAlive else { return TimerToken(id: 0) }
        return world.schedule(at: deadline, runtime: index, kind: .timer, payload: 0, body)
    }

    public func cancel(_ timer: TimerToken) { if isAlive { world.timers.cancel(timer.id) } }

    public func enqueue(_ body: @escaping () -> Void) {
        guard isAlive else { return }
        world.enqueue(Event(runtime: index, kind: .body, payload: 0, action: .body(body)))
    }

    @discardableResult
    public func spawn(_ name: StaticString, _ body: @escaping () async -> Void) -> SpawnedTask {
        lastSpawned = name
        if isAlive {
            world.lastSpawner = index
            world.record(.spawn, node: index, payload: Trace.hash(name))
        }
        let slot = tasks.insert(name)
        // Confined: the task runs on this world's thread, inside `run`, and nowhere else.
        let confined = Confined((self, body))
        return SpawnedTask(
            Task(executorPreference: executor) {
                await confined.value.1()
                confined.value.0.tasks.remove(slot)
            })
    }

    public func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void) {
        guard isAlive else { return }
        if areHelpersStuck { return stuckWork.append((work, completion)) }
        let isLate = mayHelpersBeLate && helpers.nextBool(probability: 0.5)
        if !isLate { work() }
        let spread = offloadDelay.upperBound.nanoseconds - offloadDelay.lowerBound.nanoseconds
        let extra = Int64(environment.next(below: UInt64(max(spread, 0)) + 1))
        world.schedule(
            at: now + offloadDelay.lowerBound + .nanoseconds(extra), runtime: index, kind: .offload, payload: 0
        ) {
            if isLate { work() }
            completion()
        }
    }

    public var mailbox: any LoopMailbox { SimulatedMailbox(self) }

    public func preconditionOnLoop() {
        precondition(
            world.isOwnThread && (world.current == nil || world.current == index),
            "called from outside the loop of \(name)")
    }

    // MARK: What happens to a node

    /// Stops the node's events from running; they wait, in order, for `resume`. Peers see a node that is silent.
    public func pause() { isPaused = true }

    public func resume() {
        isPaused = false
        while let event = held.popFirst() { world.enqueue(event) }
    }

    /// Ends this run of the node. Called by the world, which also tells the network. Whatever the node's objects do
    /// from here on, when they are let go of, reaches nobody.
    func kill(at time: Instant) {
        guard isAlive else { return }
        timeOfDeath = time
        isAlive = false
        executor.isDead = true
    }

    /// Moves the wall clock by `offset` at once.
    public func jumpWallClock(by offset: Duration) { clock.jump(by: offset, at: now) }

    /// Lets the wall clock run faster (or slower, when negative) than virtual time from here on.
    public func driftWallClock(partsPerMillion: Int64) { clock.drift(partsPerMillion: partsPerMillion, at: now) }

    /// The names of the tasks that have started and not ended, sorted, with their counts.
    public var unfinishedTasks: [(name: String, count: Int)] { tasks.unfinished }
}

/// A node's wall clock: virtual time, moved and stretched.
struct SimulatedWallClock {
    /// The wall clock of every node at virtual time zero: 2024-01-01 in UTC.
    static let startMilliseconds: Int64 = 1_704_067_200_000

    private var anchor = Instant.zero
    private var nanosecondsAtAnchor: Int64 = startMilliseconds * 1_000_000
    private var partsPerMillion: Int64 = 0

    func read(at now: Instant) -> WallTime { WallTime(milliseconds: nanoseconds(at: now) / 1_000_000) }

    mutating func jump(by offset: Duration, at now: Instant) {
        nanosecondsAtAnchor = nanoseconds(at: now) &+ offset.nanoseconds
        anchor = now
    }

    mutating func drift(partsPerMillion: Int64, at now: Instant) {
        jump(by: .zero, at: now)
        self.partsPerMillion = partsPerMillion
    }

    private func nanoseconds(at now: Instant) -> Int64 {
        let elapsed = now.nanoseconds &- anchor.nanoseconds
        return nanosecondsAtAnchor &+ elapsed &+ (elapsed / 1_000_000) &* partsPerMillion
    }
}

/// The tasks of a node that have not ended: what a run that hangs is explained with.
struct TaskTable {
    private var names: [StaticString?] = []
    private var free: [Int] = []

    mutating func insert(_ name: StaticString) -> Int {
        if let slot = free.popLast() {
            names[slot] = name
            return slot
        }
        names.append(name)
        return names.count - 1
    }

    mutating func remove(_ slot: Int) {
        names[slot] = nil
        free.append(slot)
    }

    var unfinished: [(name: String, count: Int)] {
        var counts: [String: Int] = [:]
        for name in names { if let name { counts["\(name)", default: 0] += 1 } }
        return counts.sorted { $0.key < $1.key }.map { (name: $0.key, count: $0.value) }
    }
}

/// Puts a node's tasks into the world's queue.
final class SimulatedExecutor: TaskExecutor, @unchecked Sendable {
    // Unchecked: `enqueue` may be called from a foreign thread when work has leaked; the world sorts that out.
    private unowned let world: SimulatedWorld
    private let runtime: Int32
    /// Tasks of a dead node are never continued.
    var isDead = false

    init(world: SimulatedWorld, runtime: Int32) {
        self.world = world
        self.runtime = runtime
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isDead { return }
        guard world.isOwnThread else { return world.foreignJobs.store(true, ordering: .relaxed) }
        world.enqueue(Event(runtime: runtime, kind: .job, payload: 0, action: .job(job)))
    }

    @inline(__always) func run(_ job: UnownedJob) {
        job.runSynchronously(on: asUnownedTaskExecutor())
        CrashReport.end()
    }
}

extension SimulatedRuntime {
    @inline(__always) func run(_ job: UnownedJob) { executor.run(job) }
}

/// The way in from outside the loop; the simulator has one thread, so it is the queue.
private final class SimulatedMailbox: LoopMailbox, @unchecked Sendable {
    // Unchecked: used on the world's thread only, as everything of a world.
    private let runtime: SimulatedRuntime
    init(_ runtime: SimulatedRuntime) { self.runtime = runtime }
    func enqueue(_ body: @escaping @Sendable () -> Void) { runtime.enqueue(body) }
}
