import BSON
package import Core

/// Watches the servers of one topology, and selects among them: what a client has in common with a router, which
/// watches the config servers and every shard so.
///
/// Confined to its runtime's loop.
package final class TopologyWatch {
    /// Called after each change of what is known.
    package var onChange: (() -> Void)?
    /// A server is not part of the topology any more.
    package var onForget: ((Endpoint) -> Void)?
    /// A look at a server has failed.
    package var onFailure: ((Endpoint, NetworkError) -> Void)?
    /// Whether `close` was called.
    package private(set) var isClosed = false

    private let runtime: any NodeRuntime
    private let transport: any Transport
    private let options: ClientOptions
    private var selector: any ReadSelector
    private var topology: Topology
    private var monitors: [Endpoint: ServerMonitor] = [:]
    private var statistics: [Endpoint: MemberStatistics] = [:]
    private var waiters: [OneShot<Void>] = []

    /// - Parameters:
    ///   - seeds: some members' addresses; the others are found through them.
    ///   - setName: the set's name; nil takes whatever the seeds turn out to be.
    ///   - selector: picks among the servers that an operation may go to.
    package init(
        runtime: any NodeRuntime, transport: any Transport, seeds: [Endpoint], setName: String?,
        selector: any ReadSelector, options: ClientOptions
    ) {
        self.runtime = runtime
        self.transport = transport
        self.options = options
        self.selector = selector
        topology = Topology(
            seeds: seeds, setName: setName, isDirect: options.directConnection,
            heartbeatInterval: options.heartbeatInterval)
    }

    /// Begins to watch the seeds.
    package func start() { for server in topology.description.servers { watch(server.address) } }

    /// What is known of the servers.
    package var description: TopologyDescription { topology.description }
    /// The least session timeout of all data-bearing servers; nil when one has none.
    package var logicalSessionTimeoutMinutes: Int? { topology.logicalSessionTimeoutMinutes }

    /// Ends watching; who waits for a server learns of it.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        // In the topology's order: what is closed first is seen first by the servers.
        for server in topology.description.servers { monitors[server.address]?.stop() }
        monitors = [:]
        wakeWaiters()
    }

    // MARK: Watching

    private func watch(_ address: Endpoint) {
        guard monitors[address] == nil, !isClosed else { return }
        let monitor = ServerMonitor(
            address: address, runtime: runtime, transport: transport, options: options,
            report: { [weak self] in self?.take($0, failure: $1) },
            reportRoundTrip: { [weak self] in self?.topology.setRoundTripTime($0, of: address) })
        monitors[address] = monitor
        monitor.start()
    }

    private func take(_ description: ServerDescription, failure: NetworkError?) {
        guard !isClosed else { return }
        let directives = topology.take(description)
        if let failure { onFailure?(description.address, failure) }
        for directive in directives {
            switch directive {
            case .watch(let address): watch(address)
            case .forget(let address):
                statistics[address] = nil
                monitors.removeValue(forKey: address)?.stop()
                onForget?(address)
            case .ignored: return
            case .stalePrimary(let address): monitors[address]?.requestCheck()
            }
        }
        changed()
    }

    private func changed() {
        onChange?()
        wakeWaiters()
    }

    private func wakeWaiters() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resolve(()) }
    }

    // MARK: Selection

    /// A server that may take the operation now, as the selector says; nil when there is none.
    /// - Throws: `InvalidReadPreference`.
    package func pick(
        _ access: ServerSelection.Operation, _ preference: ReadPreference, avoiding: [Endpoint]
    ) throws(InvalidReadPreference) -> Endpoint? {
        let description = topology.description
        let suitable = try ServerSelection.suitable(description, access, preference, avoiding: avoiding)
        guard !suitable.isEmpty else { return nil }
        let request = ReadSelectionRequest(
            topology: description, preference: preference, suitable: suitable,
            localThreshold: options.localThreshold, statistics: statistics)
        guard let address = selector.select(request, random: { self.runtime.random(below: $0) }) else { return nil }
        // A selector may choose badly, but not what the read preference forbids.
        return suitable.contains { $0.address == address } ? address : nil
    }

    /// Waits for a change of what is known, until `deadline` at most; the servers are looked at soon.
    /// - Returns: false when too many wait already.
    package func waitForChange(until deadline: Instant) async -> Bool {
        guard waiters.count < Limits.clientSelectionWaitersMax else { return false }
        for server in topology.description.servers { monitors[server.address]?.requestCheck() }
        let waiter = OneShot<Void>()
        waiters.append(waiter)
        await waiter.wait(runtime, until: deadline, else: ())
        waiters.removeAll { $0 === waiter }
        return true
    }

    // MARK: What operations tell

    package func began(on address: Endpoint) {
        statistics[address, default: MemberStatistics()].operationsInFlight += 1
    }
    package func ended(on address: Endpoint) { statistics[address]?.operationsInFlight -= 1 }

    /// An operation's connection to a server failed.
    package func connectionFailed(_ address: Endpoint, _ message: String) {
        _ = topology.markUnknown(address, version: nil, error: message)
        monitors[address]?.cancelCheck()
        changed()
    }

    /// A server answered that it is not, or no longer, what it was taken for.
    /// - Returns: false when that was known already.
    package func stateChanged(_ address: Endpoint, version: TopologyVersion?, _ message: String) -> Bool {
        guard topology.markUnknown(address, version: version, error: message) else { return false }
        monitors[address]?.requestCheck()
        changed()
        return true
    }
}
