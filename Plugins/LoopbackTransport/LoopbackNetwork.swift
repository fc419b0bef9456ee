import Core
import Synchronization

/// What a link of a `LoopbackNetwork` does to what is sent over it.
public struct LoopbackFault: Sendable, Equatable {
    /// How long everything is under way.
    public var latency: Duration
    /// Nothing arrives any more, and nobody is told, as when packets are lost: it is kept, and delivered once the link
    /// heals.
    public var isBlocked: Bool

    public init(latency: Duration = .zero, isBlocked: Bool = false) {
        self.latency = latency
        self.isBlocked = isBlocked
    }

    public static let none = LoopbackFault()
}

/// What the loopback transports of one process share: who listens where, and what is wrong between whom.
///
/// Sendable: nodes on different loops register here, and tests change faults from any thread. Under a simulated runtime
/// all of it happens on one thread, in one order.
public final class LoopbackNetwork: Sendable {
    private struct Link: Hashable {
        var from: String
        var to: String
    }

    private struct State {
        var doors: [Endpoint: LoopbackDoor] = [:]
        var ends: [UInt64: LoopbackEnd] = [:]
        var faults: [Link: LoopbackFault] = [:]
        var lastEnd: UInt64 = 0
        var lastPort = 40_000
    }

    private let state = Mutex(State())
    /// Spares the senders the lock as long as there are no faults, which is nearly always.
    private let faultCount = Atomic<Int>(0)

    public init() {}

    // MARK: Faults, from any thread

    /// Sets what happens to everything that node `from` sends to node `to`, in this direction only. What was kept back
    /// on a blocked link is delivered when the block ends.
    public func setFault(_ fault: LoopbackFault, from: String, to: String) {
        let senders = state.withLock { state in
            state.faults[Link(from: from, to: to)] = fault == .none ? nil : fault
            faultCount.store(state.faults.count, ordering: .relaxed)
            guard !fault.isBlocked else { return [LoopbackEnd]() }
            return Self.sorted(state.ends.values.filter { $0.node == from && $0.peerNode == to })
        }
        for end in senders { end.post(.linkHealed) }
    }

    /// Cuts (or joins) `one` and `other` in both directions.
    public func setPartitioned(_ isPartitioned: Bool, between one: String, and other: String) {
        let fault = LoopbackFault(isBlocked: isPartitioned)
        setFault(fault, from: one, to: other)
        setFault(fault, from: other, to: one)
    }

    /// Breaks all connections between two nodes: both sides are told at once.
    public func dropConnections(between one: String, and other: String) {
        let ends = state.withLock { state in
            Self.sorted(
                state.ends.values.filter {
                    ($0.node == one && $0.peerNode == other) || ($0.node == other && $0.peerNode == one)
                })
        }
        for end in ends { end.post(.reset) }
    }

    // MARK: For transports

    func fault(from: String, to: String) -> LoopbackFault {
        guard faultCount.load(ordering: .relaxed) > 0 else { return .none }
        return state.withLock { $0.faults[Link(from: from, to: to)] ?? .none }
    }

    /// Registers a listener; port 0 becomes a free one.
    func open(_ door: LoopbackDoor, at wanted: Endpoint) throws(TransportError) -> Endpoint {
        let endpoint: Endpoint? = state.withLock { state in
            var endpoint = wanted
            if wanted.port == 0 {
                repeat {
                    state.lastPort += 1
                    endpoint.port = state.lastPort
                } while state.doors[endpoint] != nil
            }
            guard state.doors[endpoint] == nil else { return nil }
            state.doors[endpoint] = door
            return endpoint
        }
        guard let endpoint else { throw .addressInUse(wanted) }
        return endpoint
    }

    func closeDoor(at endpoint: Endpoint) { state.withLock { $0.doors[endpoint] = nil } }

    func door(at endpoint: Endpoint) -> LoopbackDoor? { state.withLock { $0.doors[endpoint] } }

    /// The two ends of a new connection.
    func makeEnds(
        from node: String, _ mailbox: any LoopMailbox, to door: LoopbackDoor
    ) -> (near: LoopbackEnd, far: LoopbackEnd) {
        state.withLock { state in
            state.lastEnd += 2
            return (
                LoopbackEnd(id: state.lastEnd - 1, node: node, peerNode: door.node, mailbox: mailbox),
                LoopbackEnd(id: state.lastEnd, node: door.node, peerNode: node, mailbox: door.mailbox)
            )
        }
    }

    func register(_ end: LoopbackEnd) { state.withLock { $0.ends[end.id] = end } }

    func unregister(_ end: LoopbackEnd) { state.withLock { $0.ends[end.id] = nil } }

    /// In the order in which they were made, so that a simulated run repeats.
    private static func sorted(_ ends: [LoopbackEnd]) -> [LoopbackEnd] { ends.sorted { $0.id < $1.id } }
}
