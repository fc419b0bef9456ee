internal import Core
internal import Glibc
internal import LiveRuntime
internal import Synchronization

/// SIGINT and SIGTERM: the first asks for a stop in good order, the second, or one that comes before all is started,
/// ends the process at once.
final class StopSignals: Sendable {
    private struct State {
        var count = 0
        /// Nothing is there yet that could be stopped in good order.
        var isStarting = false
        /// A client asked for it.
        var isAsked = false
        var waiter: UnsafeContinuation<Void, Never>?
    }
    private let state = Mutex(State())
    private let loop: EventLoop

    private init(loop: EventLoop) { self.loop = loop }

    /// Starts to watch, on a loop of its own, so that a node that is busy cannot hold a stop up.
    static func watch(log: any LogSink & Sendable) async throws -> StopSignals {
        let loop = try EventLoop.start(name: "signals", log: log)
        let signals = StopSignals(loop: loop)
        try await loop.call {
            _ = try SignalWatcher(loop: loop) { _ in signals.arrived() }
        }
        return signals
    }

    private func arrived() {
        let (endsNow, waiter) = state.withLock { state in
            state.count += 1
            defer { state.waiter = nil }
            return (state.count > 1 || state.isStarting, state.waiter)
        }
        if endsNow { _exit(130) }
        // Who waits lives on no loop.
        loop.outsideLeakGuard { waiter?.resume() }
    }

    /// The `shutdown` command asks for a stop in good order; the first signal behind it is the first.
    func ask() {
        let waiter = state.withLock { state in
            state.isAsked = true
            defer { state.waiter = nil }
            return state.waiter
        }
        loop.outsideLeakGuard { waiter?.resume() }
    }

    /// Runs what starts a cluster: a signal that comes meanwhile ends the process.
    func whileStarting<Started>(_ start: () async throws -> Started) async rethrows -> Started {
        let hasCome = state.withLock { state in
            state.isStarting = true
            return state.count > 0
        }
        if hasCome { _exit(130) }
        defer { state.withLock { $0.isStarting = false } }
        return try await start()
    }

    /// Returns when the first signal has come, or a client has asked.
    func first() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let isDone = state.withLock { state in
                let isOver = state.count > 0 || state.isAsked
                if !isOver { state.waiter = continuation }
                return isOver
            }
            if isDone { continuation.resume() }
        }
    }
}
