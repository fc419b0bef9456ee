import Core

/// What lies between the two sides of a connection: two directions, each in order.
final class SimulatedPipe {
    private enum Segment {
        case open
        case bytes([UInt8])
        case end(CloseReason)
    }

    private final class Direction {
        let from: SimulatedConnection
        let to: SimulatedConnection
        /// No segment arrives before the one in front of it.
        var lastArrival = Instant.zero
        /// Arrived, but the link is blocked or the peer does not read.
        var stalled: [Segment] = []
        var isStallTimerSet = false
        var pendingBytes = 0
        /// Segments so far, and those of them that are dropped on arrival: the sender broke the connection.
        var sent: UInt64 = 0
        var dropped: UInt64 = 0
        var hasEnded = false

        init(from: SimulatedConnection, to: SimulatedConnection) {
            self.from = from
            self.to = to
        }
    }

    let number: UInt64
    private unowned let network: SimulatedNetwork
    private let toServer: Direction
    private let toClient: Direction
    private var isBroken = false
    /// What follows the first half of the next message.
    enum HalfMessage { case none, reset, silence }
    var breaksNextMessage = HalfMessage.none
    /// Half a message was sent; the rest, and all behind it, is lost.
    private(set) var isSilent = false

    init(network: SimulatedNetwork, number: UInt64, client: SimulatedConnection, server: SimulatedConnection) {
        self.network = network
        self.number = number
        toServer = Direction(from: client, to: server)
        toClient = Direction(from: server, to: client)
    }

    func touches(_ runtime: SimulatedRuntime) -> Bool {
        toServer.from.runtime === runtime || toServer.to.runtime === runtime
    }

    /// The node that connected, and the one that it connected to; nil when one of the two is gone.
    var livingEnds: (from: String, to: String)? {
        let (from, to) = (toServer.from.runtime, toServer.to.runtime)
        return from.isAlive && to.isAlive ? (from.name, to.name) : nil
    }
    var hasLivingEnd: Bool { toServer.from.runtime.isAlive || toServer.to.runtime.isAlive }

    func connects(_ a: String, _ b: String) -> Bool {
        let (x, y) = (toServer.from.runtime.name, toServer.to.runtime.name)
        return x == a && y == b || x == b && y == a
    }

    func pendingBytes(fromClient: Bool) -> Int { direction(fromClient).pendingBytes }

    private func direction(_ fromClient: Bool) -> Direction { fromClient ? toServer : toClient }

    // MARK: Sending

    func sendOpen() { send(.open, on: toClient, kind: .open, payload: number) }

    func send(_ bytes: UnsafeRawBufferPointer, fromClient: Bool) {
        let direction = direction(fromClient)
        if isSilent { return }
        if breaksNextMessage != .none { return sendHalf(bytes, on: direction) }
        let link = network.conditions(from: direction.from.runtime, to: direction.to.runtime)
        if network.generator.nextBool(probability: link.resetProbability) {
            return breakDown("connection reset by the network")
        }
        var start = 0
        if network.generator.nextBool(probability: link.splitProbability) {
            let end = MessageFramer.scan(bytes, messagesMax: 1).whole
            if end > 0, end < bytes.count {
                sendRun(UnsafeRawBufferPointer(rebasing: bytes[..<end]), on: direction)
                start = end
            }
        }
        sendRun(UnsafeRawBufferPointer(rebasing: bytes[start...]), on: direction)
        answerForTheDead(direction)
    }

    private func sendHalf(_ bytes: UnsafeRawBufferPointer, on direction: Direction) {
        let thenReset = breaksNextMessage == .reset
        breaksNextMessage = .none
        sendRun(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), on: direction)
        isSilent = !thenReset
        guard thenReset else { return }
        // Behind the first half, which arrives.
        for direction in [toServer, toClient] {
            send(.end(.failed("connection reset mid-message")), on: direction, kind: .close, payload: number)
        }
        isBroken = true
    }

    private func sendRun(_ bytes: UnsafeRawBufferPointer, on direction: Direction) {
        direction.pendingBytes += bytes.count
        send(.bytes(Array(bytes)), on: direction, kind: .message, payload: Trace.hash(bytes) ^ number)
    }

    private func send(_ segment: Segment, on direction: Direction, kind: TraceEvent.Kind, payload: UInt64) {
        let world = network.world
        let delay = network.delay(from: direction.from.runtime, to: direction.to.runtime)
        direction.lastArrival = max(direction.lastArrival, world.now + delay)
        direction.sent += 1
        let order = direction.sent
        world.schedule(
            at: direction.lastArrival, runtime: direction.to.runtime.index, kind: kind, payload: payload
        ) { self.arrived(segment, order: order, on: direction) }
    }

    /// A host that has come back knows nothing of its former run's connections, and resets them when it hears of them.
    private func answerForTheDead(_ direction: Direction) {
        let peer = direction.to.runtime
        guard !peer.isAlive, let next = network.world.node(peer.name), next.isAlive,
            !network.isBlocked(from: direction.from.runtime, to: peer),
            !network.isBlocked(from: peer, to: direction.from.runtime)
        else { return }
        direction.from.reportLater(.failed("connection reset by peer"), from: peer)
    }

    // MARK: Arriving

    private func arrived(_ segment: Segment, order: UInt64, on direction: Direction) {
        guard order > direction.dropped, !direction.hasEnded else { return }
        if !direction.stalled.isEmpty || isHeldUp(direction, segment) {
            direction.stalled.append(segment)
            return watchStall(direction)
        }
        deliver(segment, on: direction)
    }

    private func isHeldUp(_ direction: Direction, _ segment: Segment) -> Bool {
        if network.isBlocked(from: direction.from.runtime, to: direction.to.runtime) { return true }
        if case .bytes = segment { return !direction.to.isReading }
        return false
    }

    private func deliver(_ segment: Segment, on direction: Direction) {
        switch segment {
        case .open: direction.to.opened(self)
        case .bytes(let bytes):
            direction.pendingBytes -= bytes.count
            direction.to.received(bytes)
        case .end(let reason):
            direction.hasEnded = true
            direction.to.closed(reason)
            // A broken connection owes both sides an end, and either may be held up by a partition.
            if !isBroken || toServer.hasEnded && toClient.hasEnded { network.forget(self) }
        }
    }

    /// Delivers what waited for a blocked link or a peer that did not read, in order, in an event of the receiver.
    func releaseStalled() {
        for direction in [toServer, toClient] {
            guard let first = direction.stalled.first, !isHeldUp(direction, first) else { continue }
            let receiver = direction.to.runtime
            receiver.schedule(after: network.delay(from: direction.from.runtime, to: receiver)) {
                self.drainStalled(direction)
            }
        }
    }

    private func drainStalled(_ direction: Direction) {
        while let first = direction.stalled.first, !direction.hasEnded, !isHeldUp(direction, first) {
            direction.stalled.removeFirst()
            deliver(first, on: direction)
        }
    }

    private func watchStall(_ direction: Direction) {
        guard let most = network.stallMax, !direction.isStallTimerSet else { return }
        direction.isStallTimerSet = true
        direction.from.runtime.schedule(after: most) { [self] in
            direction.isStallTimerSet = false
            guard let first = direction.stalled.first, isHeldUp(direction, first) else { return }
            direction.from.closed(.failed("no answer for \(most)"))
        }
    }

    // MARK: Ending

    /// One side closes. Gracefully, the end travels behind what was sent; otherwise that is lost half of the time, as
    /// the caller may not rely on either.
    func close(fromClient: Bool, graceful: Bool) {
        let direction = direction(fromClient)
        if !graceful, network.generator.nextBool(probability: 0.5) { direction.dropped = direction.sent }
        send(.end(.remote), on: direction, kind: .close, payload: number)
    }

    /// The network breaks the connection: both sides hear of it, what was under way is lost.
    func breakDown(_ why: String) {
        for direction in [toServer, toClient] {
            direction.dropped = direction.sent
            direction.stalled = []
            send(.end(.failed(why)), on: direction, kind: .close, payload: number)
        }
        isBroken = true
    }

    /// A side's process died: its host tells the peer, behind what it had sent.
    func endDied(_ runtime: SimulatedRuntime) {
        let direction = toServer.from.runtime === runtime ? toServer : toClient
        send(.end(.failed("connection reset by peer")), on: direction, kind: .close, payload: number)
    }
}
