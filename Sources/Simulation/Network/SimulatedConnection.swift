import BSON
import Core

/// One side of a simulated connection.
final class SimulatedConnection: Connection {
    enum State { case opening, open, closed }

    let id: UInt64
    let runtime: SimulatedRuntime
    let peerDescription: String
    let output = ByteBuffer()
    var delegate: (any ConnectionDelegate)?
    var state = State.opening
    /// Fires when the connection is not open in time.
    var timeout: TimerToken?
    private(set) var isReading = true

    private var pipe: SimulatedPipe?
    private var isClient = true
    /// What was flushed before the connection was open.
    private var early: [[UInt8]] = []
    private var closesWhenOpen = false
    private var framer = MessageFramer()

    init(id: UInt64, runtime: SimulatedRuntime, peerDescription: String, delegate: (any ConnectionDelegate)?) {
        self.id = id
        self.runtime = runtime
        self.peerDescription = peerDescription
        self.delegate = delegate
    }

    func attach(_ pipe: SimulatedPipe, isClient: Bool) {
        self.pipe = pipe
        self.isClient = isClient
    }

    var pendingOutputBytes: Int {
        early.reduce(0) { $0 + $1.count } + (pipe?.pendingBytes(fromClient: isClient) ?? 0)
    }

    func flush() {
        defer { output.removeAll(keeping: 64 * 1024) }
        guard state != .closed, !closesWhenOpen, output.count > 0, runtime.isAlive else { return }
        guard state == .open, let pipe else { return early.append(output.toArray()) }
        pipe.send(output.bytes, fromClient: isClient)
        if pipe.pendingBytes(fromClient: isClient) > Limits.connectionOutputBytesMax { shut(.tooSlow, graceful: false) }
    }

    func close(graceful: Bool) {
        guard state != .closed, runtime.isAlive else { return }
        if state == .opening, graceful, !early.isEmpty {
            closesWhenOpen = true
            return
        }
        shut(.local, graceful: graceful)
    }

    func setReading(_ enabled: Bool) {
        isReading = enabled
        if enabled, runtime.isAlive { pipe?.releaseStalled() }
    }

    // MARK: From the network

    /// The peer has accepted.
    func opened(_ pipe: SimulatedPipe) {
        guard state == .opening else { return pipe.close(fromClient: true, graceful: false) }
        attach(pipe, isClient: true)
        state = .open
        cancelTimeout()
        delegate?.connectionDidOpen(self)
        let waiting = early
        early = []
        for bytes in waiting where state == .open { bytes.withUnsafeBytes { pipe.send($0, fromClient: true) } }
        if closesWhenOpen { shut(.local, graceful: true) }
    }

    /// Bytes from the peer: hands on the whole messages among them.
    func received(_ bytes: [UInt8]) {
        guard state == .open else { return }
        bytes.withUnsafeBytes { raw in
            let batch = framer.receive(raw)
            if !batch.messages.isEmpty {
                delegate?.connection(self, didReceive: batch.messages)
                framer.finish()
            }
            guard state == .open, let length = batch.malformedLength else { return }
            shut(.malformed("a message claims a length of \(length) bytes"), graceful: false)
        }
    }

    /// The connection is gone. Called on the node's own loop.
    func closed(_ reason: CloseReason) {
        guard state != .closed else { return }
        state = .closed
        cancelTimeout()
        let delegate = delegate
        self.delegate = nil
        delegate?.connectionDidClose(self, reason: reason)
    }

    /// Reports a refusal after the way back from `host`.
    func reportLater(_ reason: CloseReason, from host: SimulatedRuntime) {
        let network = runtime.world.network!
        runtime.schedule(after: network.delay(from: host, to: runtime)) { self.closed(reason) }
    }

    /// Closes from this side; the delegate hears of it in an event of its own.
    private func shut(_ reason: CloseReason, graceful: Bool) {
        state = .closed
        cancelTimeout()
        pipe?.close(fromClient: isClient, graceful: graceful)
        let delegate = delegate
        self.delegate = nil
        runtime.enqueue { delegate?.connectionDidClose(self, reason: reason) }
    }

    private func cancelTimeout() {
        if let timeout { runtime.cancel(timeout) }
        timeout = nil
    }
}
