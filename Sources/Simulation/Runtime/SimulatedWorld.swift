import CHooks
public import Core
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Many nodes in one thread under virtual time: the same seed gives the same run, event by event.
///
/// Events run in the order of (time, order of arrival). Time moves only when nothing is left to do at the present
/// instant. Work that leaks to the process's thread pool ends the run with an error, since its order is nobody's.
///
///     let world = SimulatedWorld(seed: 42)
///     let node = world.addNode("a")
///     node.spawn("greeter") { await node.sleep(for: .seconds(1)) }
///     try world.run(for: .seconds(2))
public final class SimulatedWorld {
    public let seed: UInt64
    public private(set) var now = Instant.zero
    public private(set) var trace: Trace
    /// How the nodes' messages travel.
    public private(set) var network: SimulatedNetwork! = nil
    /// All runs of all nodes, in the order of creation.
    public private(set) var runtimes: [SimulatedRuntime] = []
    /// More events than this in one instant are a livelock.
    public var eventsPerInstantMax = 5_000_000
    /// What the nodes find in `NodeRuntime.simulation`.
    public internal(set) var hooks: SimulationHooks?
    /// Events that have run.
    public private(set) var eventCount: UInt64 = 0

    var timers = TimerQueue()
    /// The runtime whose event is running.
    private(set) var current: Int32?
    /// The runtime that started a task last.
    var lastSpawner: Int32?
    /// Whether a foreign thread tried to continue a task of this world.
    let foreignJobs = Atomic(false)

    private let shufflesNodes: Bool
    private var ready = EventRing(capacity: 1024)
    /// With shuffling: the runtimes that have ready events.
    private var readyRuntimes: [Int32] = []
    private var shuffler: SeededGenerator
    private var eventsAtInstant = 0
    private var failure: SimulationError?
    /// The thread that is inside `run`; nil outside of it.
    private var thread: pthread_t?
    private var boots: [String: (SimulatedRuntime) -> Void] = [:]
    private var indexes: [String: Int] = [:]

    /// - Parameters:
    ///   - shufflesNodes: of the nodes that have something to do at one instant, draws which goes next. Each node's own
    ///     events keep their order, as its loop promises.
    ///   - recording: the events that the trace keeps in full, by index.
    public init(seed: UInt64, shufflesNodes: Bool = false, recording: Range<UInt64> = 0..<0) {
        self.seed = seed
        self.shufflesNodes = shufflesNodes
        trace = Trace(recording: recording)
        shuffler = SeededGenerator(seed: seed, purpose: "order of nodes")
        chooks_install()
        TimeZoneFiles.useSystem()
        network = SimulatedNetwork(world: self)
    }

    /// Nodes may be let go of later than their world.
    deinit { for runtime in runtimes { runtime.kill(at: now) } }

    // MARK: Nodes

    /// Adds a node.
    /// - Parameter boot: builds what runs on the node; called now and again after each restart.
    @discardableResult
    public func addNode(
        _ name: String, log: any LogSink = SilentLog(), boot: ((SimulatedRuntime) -> Void)? = nil
    ) -> SimulatedRuntime {
        precondition(indexes[name] == nil, "the world has a node called \(name)")
        boots[name] = boot
        return start(name, run: 0, log: log)
    }

    /// The present run of a node; a dead one when it crashed and was not restarted.
    public func node(_ name: String) -> SimulatedRuntime? { indexes[name].map { runtimes[$0] } }

    /// Ends a node at once: nothing of it runs again.
    public func crash(_ name: String, connections: DeadConnections = .reset) {
        guard let runtime = node(name), runtime.isAlive else { return }
        record(.fault, node: runtime.index, payload: 1)
        runtime.kill(at: now)
        network.nodeDied(runtime, connections: connections)
    }

    /// Starts a crashed node's next run and boots it.
    @discardableResult
    public func restart(_ name: String) -> SimulatedRuntime? {
        guard let dead = node(name) else { return nil }
        if dead.isAlive { crash(name) }
        return start(name, run: dead.run + 1, log: dead.log)
    }

    private func start(_ name: String, run: Int, log: any LogSink) -> SimulatedRuntime {
        let index = runtimes.count
        let runtime = SimulatedRuntime(
            world: self, name: name, run: run, index: Int32(index), log: log)
        runtimes.append(runtime)
        indexes[name] = index
        record(.fault, node: runtime.index, payload: 2)
        if let boot = boots[name] { boot(runtime) }
        return runtime
    }

    func nodeName(_ index: Int32) -> String {
        index >= 0 && Int(index) < runtimes.count ? runtimes[Int(index)].name : "the world"
    }

    // MARK: The queue

    /// Outside `run`, whoever builds the world counts as its thread.
    var isOwnThread: Bool { thread.map { pthread_equal(pthread_self(), $0) != 0 } ?? true }

    private func enter() -> UInt64 {
        thread = pthread_self()
        chooks_guard_thread(true)
        return chooks_leaks_of_thread()
    }

    private func leave() {
        chooks_guard_thread(false)
        thread = nil
    }

    @inline(__always) func record(_ kind: TraceEvent.Kind, node: Int32, payload: UInt64) {
        trace.add(time: now.nanoseconds, node: node, kind: kind, payload: payload)
    }

    @inline(__always) func enqueue(_ event: consuming Event) {
        guard shufflesNodes else { return ready.append(event) }
        let runtime = runtimes[Int(event.runtime)]
        if runtime.ready.isEmpty { readyRuntimes.append(event.runtime) }
        runtime.ready.append(event)
    }

    @discardableResult
    func schedule(
        at deadline: Instant, runtime: Int32, kind: TraceEvent.Kind, payload: UInt64, _ body: @escaping () -> Void
    ) -> TimerToken {
        let (slot, token) = timers.occupySlot(runtime: runtime, kind: kind, payload: payload, body: body)
        if deadline <= now {
            enqueue(Event(runtime: runtime, kind: kind, payload: payload, action: .timer(slot: slot)))
        } else {
            timers.insert(slot: slot, at: deadline.nanoseconds)
        }
        return TimerToken(id: token)
    }

    private func popReady() -> Event? {
        guard shufflesNodes else { return ready.popFirst() }
        guard !readyRuntimes.isEmpty else { return nil }
        let pick = Int(shuffler.next(below: UInt64(readyRuntimes.count)))
        let runtime = runtimes[Int(readyRuntimes[pick])]
        let event = runtime.ready.popFirst()
        if runtime.ready.isEmpty {
            readyRuntimes.swapAt(pick, readyRuntimes.count - 1)
            readyRuntimes.removeLast()
        }
        return event
    }

    private func next(notAfter limit: Int64) -> Event? {
        while true {
            if let event = popReady() { return event }
            guard let time = timers.firstTime, time <= limit else { return nil }
            if time > now.nanoseconds {
                now = Instant(nanoseconds: time)
                eventsAtInstant = 0
            }
            // All of one instant at once, so that what they enqueue comes behind them.
            while timers.firstTime == time { if let event = timers.popFirst() { enqueue(event) } }
        }
    }

    // MARK: Running

    /// Runs one event that is due by `limit`.
    /// - Returns: false when there was none.
    @discardableResult
    public func step(notAfter limit: Instant = .distantFuture) throws(SimulationError) -> Bool {
        let leaks = enter()
        defer { leave() }
        return try stepGuarded(limit.nanoseconds, leaksBefore: leaks)
    }

    /// Runs until virtual time is `deadline`.
    public func run(until deadline: Instant) throws(SimulationError) {
        let leaks = enter()
        defer { leave() }
        while try stepGuarded(deadline.nanoseconds, leaksBefore: leaks) {}
        if now < deadline { now = deadline }
    }

    /// Runs for a span of virtual time.
    public func run(for duration: Duration) throws(SimulationError) { try run(until: now + duration) }

    /// Runs until `condition` holds, which is looked at after each event.
    /// - Throws: `.conditionNotReached`, saying what the nodes were waiting for, when it does not within `duration`.
    public func run(
        until condition: () -> Bool, atMost duration: Duration, _ what: @autoclosure () -> String = "the condition"
    ) throws(SimulationError) {
        let leaks = enter()
        defer { leave() }
        let deadline = now + duration
        while !condition() {
            if try stepGuarded(deadline.nanoseconds, leaksBefore: leaks) { continue }
            let why = timers.count == 0 ? "nothing is left to run" : "waited \(duration)"
            throw error(.conditionNotReached, "\(what()) did not come true: \(why).\(explainWaiting())")
        }
    }

    /// Ends the run with an error after the present event: for checkers, and for nodes whose promises broke.
    public func fail(_ message: String) {
        if failure == nil { failure = error(.failure, message) }
    }

    @inline(__always)
    private func stepGuarded(_ limit: Int64, leaksBefore: UInt64) throws(SimulationError) -> Bool {
        guard let event = next(notAfter: limit) else { return false }
        perform(event)
        eventsAtInstant += 1
        eventCount &+= 1
        if chooks_leaks_of_thread() != leaksBefore || foreignJobs.load(ordering: .relaxed) { throw leak(during: event) }
        if let failure { throw failure }
        if eventsAtInstant > eventsPerInstantMax {
            throw error(
                .livelock,
                "more than \(eventsPerInstantMax) events in one instant; the last is a \(event.kind) of "
                    + "\(nodeName(event.runtime)), which started the task \(lastTask(of: event.runtime)) last")
        }
        return true
    }

    @inline(__always) private func perform(_ event: Event) {
        let runtime = runtimes[Int(event.runtime)]
        guard runtime.isAlive else {
            if case .timer(let slot) = event.action { _ = timers.takeBody(slot: slot) }
            return
        }
        if runtime.isPaused { return runtime.held.append(event) }
        current = event.runtime
        switch event.action {
        case .job(let job):
            record(event.kind, node: event.runtime, payload: event.payload)
            runtime.run(job)
        case .body(let body):
            record(event.kind, node: event.runtime, payload: event.payload)
            body()
        case .timer(let slot):
            if let body = timers.takeBody(slot: slot) {
                record(event.kind, node: event.runtime, payload: event.payload)
                body()
            }
        }
        current = nil
    }

    // MARK: Explanations

    private func error(_ kind: SimulationError.Kind, _ message: String) -> SimulationError {
        SimulationError(kind: kind, seed: seed, time: now, message: message)
    }

    private func lastTask(of runtime: Int32) -> String {
        runtimes[Int(runtime)].lastSpawned.map { "'\($0)'" } ?? "(none)"
    }

    private func leak(during event: Event) -> SimulationError {
        let last = lastSpawner.map { "\(lastTask(of: $0)) of \(nodeName($0))" } ?? "(none)"
        return error(
            .leak,
            "work of \(nodeName(event.runtime)) left the loop for the global thread pool; the task spawned last "
                + "is \(last). Start tasks with NodeRuntime.spawn only")
    }

    private func explainWaiting() -> String {
        var text = " \(timers.count) timers are set."
        for runtime in runtimes {
            let tasks = runtime.unfinishedTasks.map { $0.count == 1 ? $0.name : "\($0.name) ×\($0.count)" }
            let state = !runtime.isAlive ? "dead" : runtime.isPaused ? "paused" : "running"
            let waiting = tasks.isEmpty || !runtime.isAlive ? "" : ", waiting: \(tasks.joined(separator: ", "))"
            text += "\n  \(runtime.name) (run \(runtime.run)): \(state)\(waiting)"
        }
        return text
    }
}
