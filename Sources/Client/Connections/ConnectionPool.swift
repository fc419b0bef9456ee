import Core

/// The connections of a client to one server: bounded, used last-in first-out, with a bounded queue of who waits.
final class ConnectionPool {
    let address: Endpoint
    /// Goes up with each `clear`: connections of an older generation are closed instead of used again.
    private(set) var generation = 0
    private(set) var isClosed = false

    private let runtime: any NodeRuntime
    private let transport: any Transport
    private let options: ClientOptions
    private var idle: [ServerConnection] = []
    private var inUse: [ServerConnection] = []
    /// Connections in use, idle or opening.
    private(set) var total = 0
    private var opening = 0
    private var waiters: [OneShot<WakeUp>] = []

    private enum WakeUp { case tryAgain, cleared, late }

    init(address: Endpoint, runtime: any NodeRuntime, transport: any Transport, options: ClientOptions) {
        self.address = address
        self.runtime = runtime
        self.transport = transport
        self.options = options
    }

    /// Takes a connection that has said hello.
    func checkOut(until deadline: Instant) async throws(NetworkError) -> ServerConnection {
        var isFirstTry = true
        while true {
            if isClosed { throw failure(.closed, "the client is closed") }
            // Who comes later does not overtake those who wait.
            if !isFirstTry || waiters.isEmpty {
                if let connection = takeIdle() { return used(connection) }
                if total < options.connectionsMax, opening < Limits.clientPoolConnectingMax {
                    return used(try await openConnection())
                }
            }
            guard waiters.count < Limits.clientPoolWaitersMax else {
                throw failure(.timedOut, "too many operations wait for a connection")
            }
            let waiter = OneShot<WakeUp>()
            if isFirstTry { waiters.append(waiter) } else { waiters.insert(waiter, at: 0) }
            isFirstTry = false
            switch await waiter.wait(runtime, until: deadline, else: .late) {
            case .tryAgain: continue
            case .cleared: throw failure(.poolCleared, "the connections were closed after an error")
            case .late:
                waiters.removeAll { $0 === waiter }
                throw failure(.timedOut, "no connection became free in time (\(options.connectionsMax) in use)")
            }
        }
    }

    private func used(_ connection: ServerConnection) -> ServerConnection {
        inUse.append(connection)
        return connection
    }

    func checkIn(_ connection: ServerConnection) {
        inUse.removeAll { $0 === connection }
        connection.lastUse = runtime.now
        if connection.isUsable, connection.generation == generation, !isClosed {
            idle.append(connection)
        } else {
            discard(connection)
        }
        wakeOne()
    }

    /// Closes all idle connections, and those in use when they come back: the server is gone or another one.
    /// - Parameter interruptingOperations: closes those in use at once.
    func clear(interruptingOperations: Bool = false) {
        generation += 1
        if interruptingOperations { for connection in inUse { connection.close() } }
        let old = idle
        idle = []
        for connection in old { discard(connection) }
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resolve(.cleared) }
    }

    func close() {
        isClosed = true
        clear(interruptingOperations: true)
    }

    private func takeIdle() -> ServerConnection? {
        while let connection = idle.popLast() {
            let isStale = options.connectionIdleMax.map { runtime.now - connection.lastUse > $0 } ?? false
            if connection.isUsable, !isStale { return connection }
            discard(connection)
        }
        return nil
    }

    private func openConnection() async throws(NetworkError) -> ServerConnection {
        total += 1
        opening += 1
        let connection = ServerConnection(address: address, generation: generation, runtime: runtime)
        do throws(NetworkError) {
            try await connection.open(
                transport, timeout: options.connectTimeout, compressors: options.compressors)
            _ = try await connection.hello(application: options.applicationName, timeout: options.connectTimeout)
            opening -= 1
            wakeOne()
            return connection
        } catch {
            opening -= 1
            discard(connection)
            wakeOne()
            throw error
        }
    }

    private func discard(_ connection: ServerConnection) {
        connection.close()
        total -= 1
    }

    private func wakeOne() {
        while !waiters.isEmpty {
            let waiter = waiters.removeFirst()
            if waiter.isResolved { continue }
            return waiter.resolve(.tryAgain)
        }
    }

    private func failure(_ kind: NetworkError.Kind, _ message: String) -> NetworkError {
        NetworkError(address: address, kind: kind, message: message)
    }
}
