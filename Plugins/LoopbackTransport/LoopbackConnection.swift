import BSON
import Core
import Synchronization

/// One end of a connection between two nodes of a process.
final class LoopbackConnection: Connection {
    private enum State {
        case opening
        case open
        /// Closed, the report is on its way.
        case closing
        case closed
    }

    let id: UInt64
    let peerDescription: String
    let output = ByteBuffer(capacity: 512)
    private let transport: LoopbackTransport
    private var delegate: (any ConnectionDelegate)?
    private var near: LoopbackEnd?
    private var far: LoopbackEnd?
    private var state = State.opening
    private var framer = MessageFramer()
    /// Bytes at the front of `output` that were flushed.
    private var flushed = 0
    private var isInsideDelegate = false
    private var isReadingWanted = true
    private var closesWhenOpen = false
    private var timer: TimerToken?
    /// What arrived while the node did not read.
    private var unread: [LoopbackEvent] = []
    /// What a blocked link kept back, in order.
    private var heldBack: [LoopbackEvent] = []
    /// When the last event sent arrives: none may overtake it when the latency of the link shrinks.
    private var lastArrival = Instant.zero

    init(transport: LoopbackTransport, id: UInt64, peer: String, delegate: (any ConnectionDelegate)?) {
        self.transport = transport
        self.id = id
        self.delegate = delegate
        peerDescription = "loopback:\(peer)"
    }

    // MARK: Opening

    func open(through door: LoopbackDoor, near: LoopbackEnd, far: LoopbackEnd, timeout: Duration) {
        join(near, far)
        timer = transport.runtime.schedule(after: timeout) { [self] in abort(.timedOut) }
        send(.connect(door, from: near))
    }

    func accepted(
        by accept: (any Connection) -> (any ConnectionDelegate)?, near: LoopbackEnd, far: LoopbackEnd
    ) {
        join(near, far)
        state = .open
        send(.opened)
        isInsideDelegate = true
        delegate = accept(self)
        isInsideDelegate = false
        guard delegate != nil else { return abort(.local) }
        if flushed > 0 { transmit() }
    }

    private func join(_ near: LoopbackEnd, _ far: LoopbackEnd) {
        self.near = near
        self.far = far
        near.connection = self
        transport.network.register(near)
    }

    private func opened() {
        guard state == .opening else { return }
        if let timer { transport.runtime.cancel(timer) }
        state = .open
        isInsideDelegate = true
        delegate?.connectionDidOpen(self)
        isInsideDelegate = false
        if flushed > 0 { transmit() }
        if closesWhenOpen { abort(.local) }
    }

    // MARK: Receiving

    func arrive(_ event: LoopbackEvent) {
        switch event {
        case .linkHealed: releaseHeldBack()
        case .reset: abort(.failed("connection reset"), tellPeer: false)
        case _ where state == .opening: take(event)
        case _ where state == .open: if isReadingWanted, unread.isEmpty { take(event) } else { unread.append(event) }
        default: break
        }
    }

    private func take(_ event: LoopbackEvent) {
        switch event {
        case .opened: opened()
        case .bytes(let bytes): received(bytes)
        case .closed(let reason): abort(reason, tellPeer: false)
        case .connect, .linkHealed, .reset: break
        }
    }

    private func received(_ bytes: ByteBuffer) {
        near?.untaken.subtract(bytes.count, ordering: .relaxed)
        guard let delegate else { return }
        let batch = framer.receive(bytes.bytes)
        if !batch.messages.isEmpty {
            isInsideDelegate = true
            delegate.connection(self, didReceive: batch.messages)
            isInsideDelegate = false
            framer.finish()
            if flushed > 0 { transmit() }
        }
        if let length = batch.malformedLength { abort(.malformed("a message claims a length of \(length) bytes")) }
    }

    func setReading(_ enabled: Bool) {
        isReadingWanted = enabled
        if enabled, !unread.isEmpty { transport.runtime.enqueue { [self] in takeUnread() } }
    }

    private func takeUnread() {
        let events = unread
        unread.removeAll()
        for (index, event) in events.enumerated() {
            guard state == .open else { return }
            guard isReadingWanted else {
                unread.append(contentsOf: events[index...])
                return
            }
            take(event)
        }
    }

    // MARK: Sending

    var pendingOutputBytes: Int { output.count + (far?.untaken.load(ordering: .relaxed) ?? 0) }

    func flush() {
        guard state == .opening || state == .open else { return }
        flushed = output.count
        if !isInsideDelegate, state == .open {
            transmit()
        } else if pendingOutputBytes > transport.connectionOutputBytesMax {
            abort(.tooSlow)
        }
    }

    private func transmit() {
        guard state == .open, flushed > 0, let far else { return }
        let handedOver = ByteBuffer(capacity: flushed)
        handedOver.append(output.base, count: flushed)
        if output.count == flushed {
            output.removeAll(keeping: Limits.connectionOutputBytesKept)
        } else {
            output.removeFirst(flushed)
        }
        far.untaken.add(flushed, ordering: .relaxed)
        flushed = 0
        send(.bytes(handedOver))
        if pendingOutputBytes > transport.connectionOutputBytesMax { abort(.tooSlow) }
    }

    private func send(_ event: LoopbackEvent) {
        guard let near, let far else { return }
        let fault = transport.network.fault(from: near.node, to: far.node)
        if fault.isBlocked || !heldBack.isEmpty {
            heldBack.append(event)
            return
        }
        let runtime = transport.runtime
        if fault.latency > .zero || lastArrival > .zero {
            let now = runtime.now
            let arrival = max(now + fault.latency, lastArrival)
            if arrival > now {
                lastArrival = arrival
                runtime.schedule(at: arrival) { Self.deliver(event, to: far, from: runtime) }
                return
            }
            lastArrival = .zero
        }
        Self.deliver(event, to: far, from: runtime)
    }

    private static func deliver(_ event: LoopbackEvent, to end: LoopbackEnd, from runtime: any NodeRuntime) {
        if end.mailbox === runtime.mailbox {
            runtime.enqueue { end.arrive(event) }
        } else {
            end.post(event)
        }
    }

    private func releaseHeldBack() {
        let events = heldBack
        heldBack.removeAll()
        for event in events { send(event) }
        letGoOfEnd()
    }

    // MARK: Closing

    func close(graceful: Bool) {
        guard state == .opening || state == .open else { return }
        if graceful, state == .opening, flushed > 0 {
            closesWhenOpen = true
            return
        }
        // What was flushed is on its way in front of the news of the close.
        if graceful, flushed > 0 { transmit() }
        abort(.local)
    }

    /// Closes at once. The report comes from the loop, never from in here.
    func abort(_ reason: CloseReason, tellPeer: Bool = true) {
        guard state == .opening || state == .open else { return }
        let wasOpening = state == .opening
        state = .closing
        if let timer { transport.runtime.cancel(timer) }
        if wasOpening, case .connect? = heldBack.first {
            // The listener never heard of this connection.
            heldBack.removeAll()
        } else if tellPeer {
            send(.closed(.remote))
        }
        unread.removeAll()
        transport.runtime.enqueue { [self] in
            state = .closed
            transport.forget(self)
            letGoOfEnd()
            let delegate = delegate.take()
            delegate?.connectionDidClose(self, reason: reason)
        }
    }

    /// The end stays registered as long as a blocked link keeps something of it back.
    private func letGoOfEnd() {
        guard state == .closed, heldBack.isEmpty, let near else { return }
        transport.network.unregister(near)
        near.connection = nil
    }
}
