internal import Core
internal import Glibc
internal import LiveRuntime
internal import Synchronization

/// SIGINT and SIGTERM: the first asks for a stop in good order, the second ends the process at once.
final class StopSignals: Sendable {
    private struct State {
        var count = 0
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
        let (count, waiter) = state.withLock { state in
            state.count += 1
            defer { state.waiter = nil }
            return (state.count, state.waiter)
        }
        if count > 1 { _exit(130) }
        // Who waits lives on no loop.
        loop.outsideLeakGuard { waiter?.resume() }
    }

    /// Returns when the first signal has come.
    func first() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let isDone = state.withLock { state in
                if state.count == 0 { state.waiter = continuation }
                return state.count > 0
            }
            if isDone { continuation.resume() }
        }
    }
}
