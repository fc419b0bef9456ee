import BSON
import CUV
import Core
import LiveRuntime

/// One socket that carries messages. This file: reading, writing and its life; how it opens is beside it.
final class SocketConnection: Connection {
    enum State {
        /// Being looked up or connected.
        case opening
        case open
        /// Closed by this side, gracefully: nothing is read any more, what was flushed is still sent.
        case draining
        /// The system is closing it; the report comes with the end of that.
        case closing
        case closed
    }

    let id: UInt64
    let wasAccepted: Bool
    let output = ByteBuffer(capacity: 512)
    let transport: SocketTransport
    var peerDescription: String
    var state: State
    var isPath = false
    var delegate: (any ConnectionDelegate)?
    var handle: StreamHandle.Pointer?
    var opening: Opening?

    private var framer = MessageFramer()
    /// Bytes at the front of `output` that were flushed.
    private var flushed = 0
    /// What the system did not take yet; empty when nothing waits for it.
    private let inFlight = ByteBuffer(capacity: 16)
    private var isWriting = false
    private var isShuttingDown = false
    private var requests: UnsafeMutablePointer<Requests>?
    /// The delegate is being called: what it flushes is sent when it returns, in one piece.
    private var isInsideDelegate = false
    private var isReadingWanted = true
    private var drainTimer: TimerToken?
    private var closeReason = CloseReason.local

    /// Made when a connection first has to wait for the system to take its bytes; most never do.
    private struct Requests {
        var write = uv_write_t()
        var shutdown = uv_shutdown_t()
    }

    /// An outgoing connection.
    init(transport: SocketTransport, id: UInt64, delegate: any ConnectionDelegate) {
        self.transport = transport
        self.id = id
        self.delegate = delegate
        wasAccepted = false
        peerDescription = ""
        state = .opening
    }

    /// An accepted connection; it owns `handle` from here on.
    init(transport: SocketTransport, id: UInt64, accepted handle: StreamHandle.Pointer, isPath: Bool) {
        self.transport = transport
        self.id = id
        self.handle = handle
        self.isPath = isPath
        wasAccepted = true
        state = .open
        peerDescription = isPath ? "unix socket" : StreamHandle.peerAddress(handle)?.description ?? "unknown"
        StreamHandle.hold(handle, self)
        StreamHandle.tune(handle, isPath: isPath)
    }

    deinit { requests?.deallocate() }

    static func of(_ data: UnsafeMutableRawPointer) -> SocketConnection {
        Unmanaged<SocketConnection>.fromOpaque(data).takeUnretainedValue()
    }

    /// Asks the node who takes the messages of this accepted connection, and begins to read.
    func accepted(by accept: (any Connection) -> (any ConnectionDelegate)?) {
        isInsideDelegate = true
        delegate = accept(self)
        isInsideDelegate = false
        guard delegate != nil else { return abort(.local) }
        if isReadingWanted { startReading() }
        if flushed > 0 { writeOut() }
    }

    /// The socket is connected.
    func opened() {
        guard let handle else { return }
        state = .open
        StreamHandle.tune(handle, isPath: isPath)
        isInsideDelegate = true
        delegate?.connectionDidOpen(self)
        isInsideDelegate = false
        if isReadingWanted { startReading() }
        if flushed > 0 { writeOut() }
    }

    // MARK: Reading

    func setReading(_ enabled: Bool) {
        guard enabled != isReadingWanted else { return }
        isReadingWanted = enabled
        guard state == .open, delegate != nil, let handle else { return }
        if enabled { startReading() } else { uv_read_stop(handle) }
    }

    private func startReading() {
        guard state == .open, let handle else { return }
        uv_read_start(
            handle,
            { handle, _, buffer in
                let connection = SocketConnection.of(handle!.pointee.data)
                let space = connection.framer.readSpace(otherwise: connection.transport.readBuffer)
                buffer!.pointee.base = space.baseAddress!.assumingMemoryBound(to: CChar.self)
                buffer!.pointee.len = space.count
            },
            { handle, count, buffer in
                // 0 means that the system had nothing after all.
                guard count != 0 else { return }
                let connection = SocketConnection.of(handle!.pointee.data)
                let loop = connection.transport.runtime.loop
                loop.callbackBegan()
                if count > 0 {
                    connection.received(UnsafeRawBufferPointer(start: buffer!.pointee.base, count: count))
                } else {
                    connection.abort(SocketConnection.reason(of: Int32(count)))
                }
                loop.callbackEnded()
            })
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        guard state == .open, let delegate else { return }
        let batch = framer.receive(bytes)
        if !batch.messages.isEmpty {
            isInsideDelegate = true
            delegate.connection(self, didReceive: batch.messages)
            isInsideDelegate = false
            framer.finish()
            if flushed > 0 { writeOut() }
        }
        if let length = batch.malformedLength, state == .open {
            abort(.malformed("a message claims a length of \(length) bytes"))
        }
    }

    // MARK: Writing

    var pendingOutputBytes: Int {
        guard isWriting, let handle else { return output.count }
        return output.count + handle.pointee.write_queue_size
    }

    func flush() {
        guard state == .open || state == .opening else { return }
        flushed = output.count
        guard state == .open else { return checkBacklog() }
        // Replies to one batch go out together, unless they are many.
        if !isInsideDelegate || flushed >= Limits.connectionOutputBytesKept { writeOut() }
    }

    private func checkBacklog() {
        if pendingOutputBytes > transport.bounds.connectionOutputBytesMax { abort(.tooSlow) }
    }

    /// Sends what was flushed: straight to the system, and what it does not take when it is ready again.
    private func writeOut() {
        guard state == .open || state == .draining, let handle else { return }
        guard !isWriting else { return checkBacklog() }
        guard flushed > 0 else { return finishDraining() }
        var buffer = uv_buf_t(base: output.base.assumingMemoryBound(to: CChar.self), len: flushed)
        let taken = Int(uv_try_write(handle, &buffer, 1))
        if taken == flushed {
            if output.count == flushed {
                output.removeAll(keeping: Limits.connectionOutputBytesKept)
            } else {
                output.removeFirst(flushed)
            }
            flushed = 0
            finishDraining()
        } else if taken >= 0 || taken == Int(UV_EAGAIN.rawValue) {
            writeLater(behind: max(taken, 0))
            checkBacklog()
        } else {
            abort(Self.reason(of: Int32(taken)))
        }
    }

    private func writeLater(behind taken: Int) {
        guard let handle else { return }
        if output.count == flushed {
            inFlight.exchange(with: output)
        } else {
            // Somebody is still appending: what is not flushed stays where it is.
            inFlight.append(output.base, count: flushed)
            output.removeFirst(flushed)
        }
        flushed = 0
        isWriting = true
        var buffer = uv_buf_t(
            base: (inFlight.base + taken).assumingMemoryBound(to: CChar.self), len: inFlight.count - taken)
        let status = uv_write(writeRequest, handle, &buffer, 1) { request, status in
            let connection = SocketConnection.of(request!.pointee.handle.pointee.data)
            let loop = connection.transport.runtime.loop
            loop.callbackBegan()
            connection.wrote(status)
            loop.callbackEnded()
        }
        if status != 0 {
            isWriting = false
            abort(Self.reason(of: status))
        }
    }

    private func wrote(_ status: Int32) {
        isWriting = false
        inFlight.removeAll(keeping: 16)
        guard state == .open || state == .draining else { return }
        if status == 0 { writeOut() } else { abort(Self.reason(of: status)) }
    }

    private var writeRequest: UnsafeMutablePointer<uv_write_t> {
        UnsafeMutableRawPointer(madeRequests).advanced(by: MemoryLayout<Requests>.offset(of: \.write)!)
            .assumingMemoryBound(to: uv_write_t.self)
    }
    private var shutdownRequest: UnsafeMutablePointer<uv_shutdown_t> {
        UnsafeMutableRawPointer(madeRequests).advanced(by: MemoryLayout<Requests>.offset(of: \.shutdown)!)
            .assumingMemoryBound(to: uv_shutdown_t.self)
    }
    private var madeRequests: UnsafeMutablePointer<Requests> {
        if let requests { return requests }
        let made = UnsafeMutablePointer<Requests>.allocate(capacity: 1)
        made.initialize(to: Requests())
        requests = made
        return made
    }

    // MARK: Closing

    func close(graceful: Bool) {
        guard state == .opening || state == .open || (state == .draining && !graceful) else { return }
        guard graceful else { return abort(.local) }
        if state == .opening {
            opening?.closesWhenOpen = true
            if flushed == 0 { abort(.local) }
            return
        }
        drain()
    }

    /// Sends what was flushed and closes behind it.
    func drain() {
        guard state == .open, let handle else { return }
        state = .draining
        // Reading goes on, into nothing, so that the peer's end is seen and unread bytes do not make a reset of the
        // close.
        if !isReadingWanted || delegate == nil { uv_read_stop(handle) }
        drainTimer = transport.runtime.schedule(after: Limits.gracefulCloseMax) { [self] in abort(.local) }
        if !isInsideDelegate { writeOut() } else { transport.runtime.enqueue { [self] in writeOut() } }
    }

    /// Behind the last byte: says so to the peer and closes.
    private func finishDraining() {
        guard state == .draining, !isShuttingDown, let handle else { return }
        isShuttingDown = true
        let status = uv_shutdown(shutdownRequest, handle) { request, _ in
            SocketConnection.of(request!.pointee.handle.pointee.data).abort(.local)
        }
        if status != 0 { abort(.local) }
    }

    /// Closes at once. The report comes from the loop, never from in here.
    func abort(_ reason: CloseReason) {
        guard state != .closing, state != .closed else { return }
        closeReason = state == .draining ? .local : reason
        state = .closing
        if let drainTimer { transport.runtime.cancel(drainTimer) }
        opening?.end(transport.runtime)
        guard let handle else { return transport.runtime.enqueue { [self] in closed() } }
        self.handle = nil
        uv_close(StreamHandle.asHandle(handle)) { handle in
            let connection = SocketConnection.of(handle!.pointee.data)
            let loop = connection.transport.runtime.loop
            StreamHandle.free(handle!)
            loop.callbackBegan()
            connection.closed()
            loop.callbackEnded()
        }
    }

    private func closed() {
        state = .closed
        opening = nil
        transport.forget(self)
        let delegate = delegate.take()
        delegate?.connectionDidClose(self, reason: closeReason)
    }

    static func reason(of status: Int32) -> CloseReason {
        switch status {
        case UV_EOF.rawValue, UV_ECONNRESET.rawValue, UV_EPIPE.rawValue: .remote
        case UV_ETIMEDOUT.rawValue: .timedOut
        default: .failed(uvMessage(status))
        }
    }
}
