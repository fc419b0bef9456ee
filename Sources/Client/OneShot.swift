package import Core

/// A value that one task waits for and another step of the same loop brings. The first value counts.
package final class OneShot<Value> {
    private var value: Value?
    private var waiter: UnsafeContinuation<Void, Never>?

    package init() {}

    package var isResolved: Bool { value != nil }

    package func resolve(_ value: Value) {
        guard self.value == nil else { return }
        self.value = value
        waiter?.resume()
        waiter = nil
    }

    package func wait() async -> Value {
        while true {
            if let value { return value }
            await withUnsafeContinuation { waiter = $0 }
        }
    }

    /// Waits until `deadline` at most; then the value is `late`.
    package func wait(
        _ runtime: any NodeRuntime, until deadline: Instant, else late: @autoclosure @escaping () -> Value
    ) async
        -> Value
    {
        if let value { return value }
        let timer = runtime.schedule(at: deadline) { self.resolve(late()) }
        defer { runtime.cancel(timer) }
        return await wait()
    }
}
