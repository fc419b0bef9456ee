import CUV
import Glibc

/// Calls a handler on a loop for each SIGINT and SIGTERM of the process, until it is closed or the loop ends.
///
/// To be made, closed and released on the loop.
public final class SignalWatcher {
    private let loop: EventLoop
    private let handler: (Int32) -> Void
    private var handles: [UnsafeMutablePointer<uv_signal_t>] = []
    private var hook: UInt64 = 0

    /// - Parameter signals: SIGINT and SIGTERM when nil.
    /// - Parameter handler: gets the signal's number; a second signal is a second call.
    public init(
        loop: EventLoop, signals: [Int32]? = nil, handler: @escaping (Int32) -> Void
    ) throws(EventLoopError) {
        loop.preconditionOnLoop()
        self.loop = loop
        self.handler = handler
        // Held by the hook until it is closed.
        hook = loop.addShutdownHook { [self] in close() }
        for signal in signals ?? [SIGINT, SIGTERM] {
            let handle = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
            uv_signal_init(loop.uv, handle)
            handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
            handles.append(handle)
            let status = uv_signal_start(
                handle,
                { handle, signal in
                    let watcher = Unmanaged<SignalWatcher>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
                    watcher.loop.callbackBegan()
                    watcher.handler(signal)
                    watcher.loop.callbackEnded()
                }, signal)
            guard status == 0 else {
                close()
                throw .system("cannot watch signal \(signal): \(uvMessage(status))")
            }
        }
    }

    /// Stops watching. Idempotent.
    public func close() {
        loop.removeShutdownHook(hook)
        for handle in handles {
            uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { handle in
                UnsafeMutableRawPointer(handle!).assumingMemoryBound(to: uv_signal_t.self).deallocate()
            }
        }
        handles.removeAll()
    }
}
