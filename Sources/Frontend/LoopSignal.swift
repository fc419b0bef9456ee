package import Core

/// Something that happens now and then, and those who wait for it next: a broadcast on the node's loop.
package final class LoopSignal {
    private let runtime: any NodeRuntime
    private var waiters: [UInt64: () -> Void] = [:]
    private var nextWaiter: UInt64 = 0

    package init(runtime: any NodeRuntime) { self.runtime = runtime }

    package var hasWaiters: Bool { !waiters.isEmpty }

    /// Wakes everybody who waits now, in the order in which they came: a dictionary's order must not reach the wire.
    package func fire() {
        guard !waiters.isEmpty else { return }
        let woken = waiters.sorted { $0.key < $1.key }
        waiters.removeAll()
        for (_, wake) in woken { wake() }
    }

    /// Suspends until the next `fire`, the deadline, or the end of `connection` or of its command.
    package func wait(until deadline: Instant, on connection: ClientConnection? = nil) async {
        guard deadline > runtime.now, connection?.isAbandoned != true else { return }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            onNext(until: deadline, on: connection) { continuation.resume() }
        }
    }

    /// Calls `body` once: at the next `fire`, at the deadline, or when `connection` ends.
    package func onNext(until deadline: Instant, on connection: ClientConnection? = nil, _ body: @escaping () -> Void) {
        let id = nextWaiter
        nextWaiter += 1
        var timer: TimerToken?
        var closing: UInt64?
        waiters[id] = { [runtime] in
            if let timer { runtime.cancel(timer) }
            if let closing { connection?.forgetClose(closing) }
            body()
        }
        if deadline < .distantFuture {
            timer = runtime.schedule(at: deadline) { [weak self] in self?.wake(id) }
        }
        closing = connection?.onClose { [weak self] in self?.wake(id) }
    }

    private func wake(_ id: UInt64) { waiters.removeValue(forKey: id)?() }
}
