public import CUV
import CHooks
public import Core
import Glibc
import Synchronization

/// One thread with one libuv loop: where nodes live.
///
/// Everything here is confined to the loop's thread, but for what is marked `from any thread`. A loop is started with
/// `start(name:)` and ended with `shutdown()`.
public final class EventLoop: TaskExecutor, @unchecked Sendable {
    /// Of the thread, for people.
    public let name: String
    /// The way in from other threads.
    public let mailbox: LoopMail
    /// The libuv loop, for parts that bring handles of their own. They close them in a shutdown hook.
    public let uv: UnsafeMutablePointer<uv_loop_t>
    let log: any LogSink & Sendable

    /// The thread that runs the loop; 0 before it runs. The loop's own word for "who am I".
    private let loopThread = Atomic<UInt>(0)
    private let ending = Mutex(Ending())

    // Confined to the loop's thread from here on.
    var queue = RingQueue<LoopWork>()
    var timers = TimerHeap()
    var statistics = LoopStatistics()
    /// The clock when this turn began or when its last callback ended.
    var callbackStart = Instant.zero
    var isAfterPoll = true
    var spareMail: [PostedWork] = []
    var openCalls: [UInt64: (EventLoopError) -> Void] = [:]
    var lastCall: UInt64 = 0
    private var shutdownHooks: [(id: UInt64, body: () -> Void)] = []
    private var lastHook: UInt64 = 0
    private var isStopping = false
    private var reportedLeaks: UInt64 = 0

    /// The clock at the start of this turn of the loop: a reading that costs nothing.
    public internal(set) var turnStart = Instant.zero

    private let prepareHandle = UnsafeMutablePointer<uv_prepare_t>.allocate(capacity: 1)
    let idleHandle = UnsafeMutablePointer<uv_idle_t>.allocate(capacity: 1)
    let timerHandle = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
    private let wakeHandle = UnsafeMutablePointer<uv_async_t>.allocate(capacity: 1)

    private struct Ending {
        var thread: uv_thread_t?
        var hasEnded = false
        var waiters: [UnsafeContinuation<Void, Never>] = []
    }

    private init(name: String, log: any LogSink & Sendable) throws(EventLoopError) {
        self.name = name
        self.log = log
        uv = .allocate(capacity: 1)
        mailbox = LoopMail(wake: wakeHandle)
        let status = uv_loop_init(uv)
        guard status == 0 else { throw .system("cannot make an event loop: \(uvMessage(status))") }
        let context = Unmanaged.passUnretained(self).toOpaque()
        uv.pointee.data = context
        let wakeStatus = uv_async_init(uv, wakeHandle) { EventLoop.of($0!.pointee.loop).takeMail() }
        guard wakeStatus == 0 else { throw .system("cannot make an event loop: \(uvMessage(wakeStatus))") }
        uv_prepare_init(uv, prepareHandle)
        uv_idle_init(uv, idleHandle)
        uv_timer_init(uv, timerHandle)
    }

    deinit {
        prepareHandle.deallocate()
        idleHandle.deallocate()
        timerHandle.deallocate()
        wakeHandle.deallocate()
        uv.deallocate()
    }

    /// Starts a loop on a thread of its own. From any thread.
    public static func start(
        name: String, log: any LogSink & Sendable = LineLog()
    ) throws(EventLoopError) -> EventLoop {
        ProcessSetup.once
        let loop = try EventLoop(name: name, log: log)
        // The thread holds the loop until it has ended.
        let context = Unmanaged.passRetained(loop)
        var thread = uv_thread_t()
        let status = uv_thread_create(
            &thread, { Unmanaged<EventLoop>.fromOpaque($0!).takeRetainedValue().run() }, context.toOpaque())
        guard status == 0 else {
            context.release()
            throw .system("cannot start a thread: \(uvMessage(status))")
        }
        loop.ending.withLock { [thread] in $0.thread = thread }
        return loop
    }

    /// The loop that a libuv loop belongs to.
    static func of(_ uv: UnsafeMutablePointer<uv_loop_t>) -> EventLoop {
        Unmanaged<EventLoop>.fromOpaque(uv.pointee.data).takeUnretainedValue()
    }

    // MARK: The thread

    /// Whether the caller is on this loop's thread. From any thread.
    public var isOnLoop: Bool { loopThread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Traps when the caller is not on the loop. From any thread.
    public func preconditionOnLoop() {
        precondition(isOnLoop, "a node was entered from a thread that is not its loop's")
    }

    private func run() {
        loopThread.store(UInt(pthread_self()), ordering: .relaxed)
        cuv_name_thread(String(name.prefix(15)))
        chooks_name_loop(name, name.utf8.count)
        #if DEBUG
            chooks_guard_thread(true)
        #endif
        turnStart = SystemClock.now
        callbackStart = turnStart
        uv_prepare_start(prepareHandle) { EventLoop.of($0!.pointee.loop).turn() }
        while !isStopping { uv_run(uv, UV_RUN_DEFAULT) }
        windUp()
        loopThread.store(0, ordering: .relaxed)
        let waiters = ending.withLock { ending in
            ending.hasEnded = true
            return ending.waiters
        }
        outsideLeakGuard { waiters.forEach { $0.resume() } }
    }

    // MARK: Shutdown

    /// Calls `body` on the loop when it shuts down, latest first: where parts close the handles they brought.
    @discardableResult
    public func addShutdownHook(_ body: @escaping () -> Void) -> UInt64 {
        lastHook += 1
        shutdownHooks.append((lastHook, body))
        return lastHook
    }

    public func removeShutdownHook(_ id: UInt64) { shutdownHooks.removeAll { $0.id == id } }

    /// Ends the loop and waits for its thread: closes all handles, drops the timers, runs what was queued. From any
    /// thread but the loop's own. Idempotent.
    public func shutdown() {
        precondition(!isOnLoop, "a loop cannot wait for its own end")
        mailbox.post { [self] in stop() }
        join()
    }

    /// As the other `shutdown`, without holding the caller's thread.
    public func shutdown() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let hasEnded = ending.withLock { ending in
                if !ending.hasEnded { ending.waiters.append(continuation) }
                return ending.hasEnded
            }
            if hasEnded { continuation.resume() } else { mailbox.post { [self] in stop() } }
        }
        join()
    }

    private func stop() {
        isStopping = true
        uv_stop(uv)
    }

    private func join() {
        let thread = ending.withLock { $0.thread.take() }
        if var thread { uv_thread_join(&thread) }
    }

    private func windUp() {
        while let hook = shutdownHooks.popLast() { hook.body() }
        mailbox.refuseBodies()
        drainAll()
        timers.removeAll()
        mailbox.refuseEverything()
        drainAll()
        uv_prepare_stop(prepareHandle)
        close(prepareHandle)
        close(idleHandle)
        close(timerHandle)
        close(wakeHandle)
        uv_walk(
            uv,
            { handle, _ in
                guard uv_is_closing(handle) == 0, let handle else { return }
                let loop = EventLoop.of(handle.pointee.loop)
                loop.log.log(.error, "loop", "a handle was left open at the end of loop \(loop.name)")
                uv_close(handle, nil)
            }, nil)
        // What is under way on helper threads is waited for; closing handles report, and their tasks end.
        while uv_run(uv, UV_RUN_ONCE) != 0 || !queue.isEmpty { drainAll() }
        for id in openCalls.keys.sorted() { openCalls.removeValue(forKey: id)?(.stopped) }
        reportLeaks()
        let status = uv_loop_close(uv)
        if status != 0 { log.log(.error, "loop", "loop \(name) did not close: \(uvMessage(status))") }
    }

    private func drainAll() {
        takeMail()
        while !queue.isEmpty { runQueue() }
    }

    private func close<Handle>(_ handle: UnsafeMutablePointer<Handle>) {
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self), nil)
    }

    // MARK: Leaks

    /// Runs `body` without counting the task steps it hands to the global pool: for resuming a task that lives outside.
    public func outsideLeakGuard(_ body: () -> Void) {
        #if DEBUG
            chooks_guard_thread(false)
            defer { chooks_guard_thread(true) }
        #endif
        body()
    }

    func reportLeaks() {
        #if DEBUG
            let leaks = chooks_leaks_of_thread()
            guard leaks != reportedLeaks else { return }
            statistics.leakedJobs += leaks - reportedLeaks
            log.log(.error, "loop", "\(leaks - reportedLeaks) task steps left loop \(name) for the global pool")
            reportedLeaks = leaks
        #endif
    }
}

/// What is done once in a process before its first loop starts.
private enum ProcessSetup {
    static let once: Void = {
        // A peer that has gone is reported by the write that fails.
        signal(SIGPIPE, SIG_IGN)
        TimeZoneFiles.useSystem()
        #if DEBUG
            chooks_install()
        #endif
    }()
}

/// Why a loop could not be started or asked.
public enum EventLoopError: Error, Sendable, CustomStringConvertible {
    case system(String)
    /// The loop was shut down before it could answer.
    case stopped

    public var description: String {
        switch self {
        case .system(let message): message
        case .stopped: "the event loop has been shut down"
        }
    }
}

/// libuv's sentence for a status below 0.
public func uvMessage(_ status: Int32) -> String { String(cString: uv_strerror(status)) }
