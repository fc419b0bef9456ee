import BSON
import Core

/// The network of a world: who listens where, how each link behaves, who cannot reach whom.
///
/// Connections are as TCP's: bytes of one connection arrive in order or it breaks; a partition stalls it; a lost packet
/// delays what is behind it. Order between connections is nobody's promise, and delays make it vary.
public final class SimulatedNetwork {
    unowned let world: SimulatedWorld
    /// How links behave that were not given conditions of their own.
    public var defaultLink = LinkConditions.local
    /// Resets a connection that could not deliver for this long; nil lets it wait for ever, as TCP nearly does.
    public var stallMax: Duration? = nil

    private var links: [Link: LinkConditions] = [:]
    private var blocked: Set<Link> = []
    private var listeners: [Endpoint: SimulatedListener] = [:]
    /// Who listened at an endpoint last: a dead host answers nothing, a dead process refuses.
    private var owners: [Endpoint: Int32] = [:]
    /// Lives that ended without a word from their hosts.
    private var silent: Set<Int32> = []
    /// Further names of addresses that are listened on.
    private var aliases: [Endpoint: Endpoint] = [:]
    private var nextPort = 50_000
    private var nextPipe: UInt64 = 1
    /// All open pipes by number: in order of creation, so that what happens to many happens in one order.
    private var pipes: [UInt64: SimulatedPipe] = [:]
    var generator: SeededGenerator

    struct Link: Hashable {
        let from: String
        let to: String
    }

    init(world: SimulatedWorld) {
        self.world = world
        generator = SeededGenerator(seed: world.seed, purpose: "network")
    }

    /// The transport of one node.
    public func transport(for runtime: SimulatedRuntime) -> SimulatedTransport {
        SimulatedTransport(network: self, runtime: runtime)
    }

    // MARK: Conditions

    /// Sets how messages travel between two nodes, both ways.
    public func setLink(between a: String, and b: String, _ conditions: LinkConditions) {
        setLink(from: a, to: b, conditions)
        setLink(from: b, to: a, conditions)
    }

    /// Sets how messages travel one way.
    public func setLink(from: String, to: String, _ conditions: LinkConditions) {
        links[Link(from: from, to: to)] = conditions
    }

    /// Stops messages one way. What is under way waits; the connections stay open.
    public func block(from: String, to: String) { blocked.insert(Link(from: from, to: to)) }

    /// Stops messages both ways between each node of one group and each of another.
    public func partition(_ groups: [[String]]) {
        for (index, group) in groups.enumerated() {
            for other in groups.dropFirst(index + 1) {
                for a in group {
                    for b in other {
                        block(from: a, to: b)
                        block(from: b, to: a)
                    }
                }
            }
        }
    }

    /// Lets messages pass again one way.
    public func unblock(from: String, to: String) {
        if blocked.remove(Link(from: from, to: to)) != nil { releaseStalled() }
    }

    /// Lets all messages pass again.
    public func heal() {
        blocked.removeAll()
        releaseStalled()
    }

    /// Breaks all open connections between two nodes, as a firewall's restart does.
    public func resetConnections(between a: String, and b: String) {
        for pipe in openPipes() where pipe.connects(a, b) { pipe.breakDown("connection reset by the network") }
    }

    /// The next message of each open connection between two nodes ends in the middle; then the connection breaks, or
    /// nothing more comes.
    public func breakNextMessages(between a: String, and b: String, thenReset: Bool) {
        for pipe in openPipes() where pipe.connects(a, b) { pipe.breaksNextMessage = thenReset ? .reset : .silence }
    }

    /// Breaks the connections that have fallen silent in the middle of a message.
    public func resetHalfMessages() {
        for pipe in openPipes() where pipe.isSilent { pipe.breakDown("connection reset by the network") }
    }

    func conditions(from: SimulatedRuntime, to: SimulatedRuntime) -> LinkConditions {
        links[Link(from: from.name, to: to.name)] ?? defaultLink
    }

    func isBlocked(from: SimulatedRuntime, to: SimulatedRuntime) -> Bool {
        !blocked.isEmpty && blocked.contains(Link(from: from.name, to: to.name))
    }

    func isSilent(_ runtime: SimulatedRuntime) -> Bool { silent.contains(runtime.index) }

    func delay(from: SimulatedRuntime, to: SimulatedRuntime) -> Duration {
        conditions(from: from, to: to).drawDelay(&generator)
    }

    // MARK: Who is there

    func listen(
        on endpoint: Endpoint, runtime: SimulatedRuntime,
        accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws(TransportError) -> SimulatedListener {
        var endpoint = endpoint
        if endpoint.port == 0 {
            endpoint.port = nextPort
            nextPort += 1
        }
        guard listeners[endpoint] == nil else { throw .addressInUse(endpoint) }
        let listener = SimulatedListener(network: self, runtime: runtime, endpoint: endpoint, accept: accept)
        listeners[endpoint] = listener
        owners[endpoint] = runtime.index
        return listener
    }

    func stopListening(_ listener: SimulatedListener) {
        if listeners[listener.endpoint] === listener { listeners[listener.endpoint] = nil }
    }

    /// Lets connections to another host name lead to `endpoint`.
    func addAlias(_ host: String, of endpoint: Endpoint) {
        aliases[Endpoint(host: host, port: endpoint.port)] = endpoint
    }

    func listener(at endpoint: Endpoint) -> SimulatedListener? { listeners[aliases[endpoint] ?? endpoint] }

    /// The present run of the node that listened at the endpoint last; nil for an address that nobody ever had.
    func owner(of endpoint: Endpoint) -> SimulatedRuntime? {
        owners[aliases[endpoint] ?? endpoint].flatMap { world.node(world.nodeName($0)) }
    }

    // MARK: Pipes

    func makePipe(client: SimulatedConnection, server: SimulatedConnection) -> SimulatedPipe {
        let pipe = SimulatedPipe(network: self, number: nextPipe, client: client, server: server)
        nextPipe += 1
        pipes[pipe.number] = pipe
        return pipe
    }

    /// The connections between living nodes, counted by who made them to whom, in the order of the names.
    var connectionCounts: [(from: String, to: String, count: Int)] {
        var counts: [Link: Int] = [:]
        for pipe in openPipes() {
            if let (from, to) = pipe.livingEnds { counts[Link(from: from, to: to), default: 0] += 1 }
        }
        return counts.map { ($0.key.from, $0.key.to, $0.value) }.sorted { ($0.from, $0.to) < ($1.from, $1.to) }
    }

    func forget(_ pipe: SimulatedPipe) { pipes[pipe.number] = nil }

    private func openPipes() -> [SimulatedPipe] { pipes.keys.sorted().compactMap { pipes[$0] } }

    private func releaseStalled() { for pipe in openPipes() { pipe.releaseStalled() } }

    func nodeDied(_ runtime: SimulatedRuntime, connections: DeadConnections) {
        listeners = listeners.filter { $0.value.runtime !== runtime }
        if connections == .halfOpen { silent.insert(runtime.index) }
        for pipe in openPipes() where pipe.touches(runtime) {
            if connections == .reset { pipe.endDied(runtime) }
            if !pipe.hasLivingEnd { forget(pipe) }
        }
    }
}
