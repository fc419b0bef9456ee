import BSON
import Core

/// Watches one server: streams its `hello` when it can, and otherwise asks every heartbeat interval.
final class ServerMonitor {
    let address: Endpoint
    private let runtime: any NodeRuntime
    private let transport: any Transport
    private let options: ClientOptions
    /// Takes each description; an unknown one, with the reason, when the check failed.
    private let report: (ServerDescription, NetworkError?) -> Void
    /// Takes the moving average of round trips.
    private let reportRoundTrip: (Duration) -> Void

    private var connection: ServerConnection?
    private var measuring: ServerConnection?
    private var roundTrips = RoundTripAverage()
    private var isStopped = false
    private var isCheckWanted = false
    private var sleeper: OneShot<Void>?
    private var lastCheck: Instant?

    init(
        address: Endpoint, runtime: any NodeRuntime, transport: any Transport, options: ClientOptions,
        report: @escaping (ServerDescription, NetworkError?) -> Void, reportRoundTrip: @escaping (Duration) -> Void
    ) {
        self.address = address
        self.runtime = runtime
        self.transport = transport
        self.options = options
        self.report = report
        self.reportRoundTrip = reportRoundTrip
    }

    func start() {
        runtime.spawn("watch a server") { await self.watch() }
        runtime.spawn("measure round trips") { await self.measure() }
    }

    func stop() {
        isStopped = true
        connection?.close()
        measuring?.close()
        sleeper?.resolve(())
    }

    /// Looks at the server soon: an operation waits for it, or found it changed.
    func requestCheck() {
        isCheckWanted = true
        // Not more often than the least interval, whoever asks.
        let earliest = lastCheck.map { $0 + options.minimumHeartbeatInterval } ?? runtime.now
        if runtime.now >= earliest {
            sleeper?.resolve(())
        } else if let sleeper {
            runtime.schedule(at: earliest) { sleeper.resolve(()) }
        }
    }

    /// Ends the check that is under way: an operation's connection broke, and the server's answer may never come.
    func cancelCheck() { connection?.close() }

    private func watch() async {
        var wasKnown = false
        var last: ReceivedReply?
        while !isStopped {
            isCheckWanted = false
            do throws(NetworkError) {
                let reply = try await check(after: last)
                lastCheck = runtime.now
                if isStopped { return }
                last = reply
                wasKnown = true
                let description = takeDescription(reply)
                report(description, nil)
                // Streaming waits at the server, not here.
                if reply.moreToCome || description.topologyVersion != nil { continue }
            } catch {
                lastCheck = runtime.now
                connection?.close()
                connection = nil
                last = nil
                if isStopped { return }
                var unknown = ServerDescription(address: address)
                unknown.error = error.message
                unknown.lastUpdate = runtime.now
                report(unknown, error)
                // A server that was there is tried once more at once: its connection may just have been closed.
                if wasKnown {
                    wasKnown = false
                    continue
                }
            }
            await pause()
        }
    }

    private func takeDescription(_ reply: ReceivedReply) -> ServerDescription {
        var description = ServerDescription(hello: reply.document, address: address, now: runtime.now)
        description.roundTripTime = roundTrips.average
        return description
    }

    /// One check: a new connection's first hello, the next reply of a stream, the start of one, or a plain hello.
    private func check(after last: ReceivedReply?) async throws(NetworkError) -> ReceivedReply {
        guard let connection, connection.isUsable else { return try await checkAnew() }
        let patience = options.connectTimeout + options.heartbeatInterval
        if let last, last.moreToCome { return try await connection.nextReply() }
        if let last, let version = last.document.withView({ TopologyVersion($0["topologyVersion"]) }) {
            return try await connection.hello(
                application: nil, awaiting: version, maximum: options.heartbeatInterval,
                timeout: patience)
        }
        let start = runtime.now
        let reply = try await connection.hello(
            application: options.applicationName, timeout: options.connectTimeout)
        addRoundTrip(runtime.now - start)
        return reply
    }

    private func checkAnew() async throws(NetworkError) -> ReceivedReply {
        let fresh = ServerConnection(address: address, generation: 0, runtime: runtime)
        connection = fresh
        try await fresh.open(transport, timeout: options.connectTimeout)
        let start = runtime.now
        let reply = try await fresh.hello(application: options.applicationName, timeout: options.connectTimeout)
        addRoundTrip(runtime.now - start)
        return reply
    }

    private func addRoundTrip(_ sample: Duration) {
        roundTrips.add(sample)
        if let average = roundTrips.average { reportRoundTrip(average) }
    }

    private func pause() async {
        let sleeper = OneShot<Void>()
        self.sleeper = sleeper
        let interval = isCheckWanted ? options.minimumHeartbeatInterval : options.heartbeatInterval
        await sleeper.wait(runtime, until: runtime.now + interval, else: ())
        self.sleeper = nil
    }

    /// While `watch` streams, its replies say nothing about distance: a second connection measures it.
    private func measure() async {
        while !isStopped {
            await runtime.sleep(for: options.heartbeatInterval)
            guard !isStopped, let connection, connection.isUsable else { continue }
            do throws(NetworkError) {
                if measuring?.isUsable != true {
                    let fresh = ServerConnection(address: address, generation: 0, runtime: runtime)
                    measuring = fresh
                    try await fresh.open(transport, timeout: options.connectTimeout)
                }
                guard let measuring, !isStopped else { continue }
                let start = runtime.now
                _ = try await measuring.hello(application: nil, timeout: options.connectTimeout)
                addRoundTrip(runtime.now - start)
            } catch {
                // What is wrong with the server is for `watch` to find.
                measuring?.close()
                measuring = nil
            }
        }
    }
}
