import CUV
public import Core
import Synchronization

/// What other threads hand to a loop: a closure, or the next step of a task that lives on it.
enum PostedWork: Sendable {
    case body(@Sendable () -> Void)
    case job(UnownedJob)
}

/// The way into a loop from other threads. The one place with a lock: everything behind it belongs to one thread.
public final class LoopMail: LoopMailbox {
    private struct State {
        var waiting: [PostedWork] = []
        var acceptsBodies = true
        /// The handle that wakes the loop; nil once the loop takes nothing any more.
        var wake: Confined<UnsafeMutablePointer<uv_async_t>>?
        var isWakeSent = false
    }

    private let state: Mutex<State>

    init(wake: UnsafeMutablePointer<uv_async_t>) {
        // The handle may be used from any thread for uv_async_send, under the lock until it is closed.
        let handle = Confined(wake)
        state = Mutex(State(wake: handle))
    }

    public func enqueue(_ body: @escaping @Sendable () -> Void) { post(body) }

    /// Queues `body`; false when the loop takes nothing any more. A body that was taken is run, also during shutdown.
    @discardableResult
    func post(_ body: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.acceptsBodies else { return false }
            Self.add(.body(body), to: &state)
            return true
        }
    }

    /// Queues a step of a task. Steps are taken longer than bodies, so that tasks can end while the loop shuts down;
    /// what comes after that is dropped: a task that another thread resumes after its loop has gone never continues.
    func post(_ job: UnownedJob) {
        state.withLock { state in
            if state.wake != nil { Self.add(.job(job), to: &state) }
        }
    }

    private static func add(_ work: PostedWork, to state: inout State) {
        state.waiting.append(work)
        if !state.isWakeSent, let wake = state.wake {
            state.isWakeSent = true
            uv_async_send(wake.value)
        }
    }

    /// Exchanges what is waiting with the empty array `spare`, which keeps its memory for the next round.
    func take(into spare: inout [PostedWork]) {
        let taken = state.withLock { [spare] state in
            state.isWakeSent = false
            let taken = state.waiting
            state.waiting = spare
            return taken
        }
        spare = taken
    }

    func refuseBodies() { state.withLock { $0.acceptsBodies = false } }

    func refuseEverything() { state.withLock { $0.wake = nil } }
}
