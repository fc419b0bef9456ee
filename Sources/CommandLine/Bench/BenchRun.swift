internal import BSON
internal import Core
internal import LiveRuntime
internal import SocketTransport

/// One benchmark: loads the documents, keeps the connections busy, counts. Confined to its loop.
final class BenchRun {
    let runtime: LiveRuntime
    private let settings: BenchSettings
    private let transport: SocketTransport
    private let requests: BenchRequests
    private var connections: [BenchConnection] = []
    private var openConnections = 0
    private(set) var isOver = false
    private var histogram = LatencyHistogram()
    private var errors: UInt64 = 0
    private var firstError: String?
    private var measuredFrom = Instant.distantFuture
    private var lastInserted: Int64 = 0
    /// The same requests in every run.
    private var random = SplitMix64(seed: 0)
    private var ending: UnsafeContinuation<Void, Never>?

    init(runtime: LiveRuntime, settings: BenchSettings) {
        self.runtime = runtime
        self.settings = settings
        transport = SocketTransport(runtime: runtime)
        requests = BenchRequests(settings)
    }

    func run(_ target: ConnectionString) async throws -> BenchReport {
        let primary = try await PrimarySearch(transport: transport, runtime: runtime).primary(of: target)
        let link = ServerLink(to: primary, over: transport, runtime)
        try await prepare(link)
        for _ in 0..<settings.connections {
            let connection = BenchConnection(self)
            connections.append(connection)
            openConnections += 1
            connection.open(transport, primary)
        }
        let start = runtime.now
        measuredFrom = start + settings.warmup
        let deadline = measuredFrom + settings.duration
        let timer = runtime.schedule(at: deadline) { [self] in end() }
        await withUnsafeContinuation { ending = $0 }
        runtime.cancel(timer)
        let elapsed = min(runtime.now, deadline) - measuredFrom
        for connection in connections { connection.close() }
        // What is left behind is small; a server that has gone away has dropped it already.
        _ = try? await link.run(Self.drop, database: BenchSettings.database)
        link.close()
        return BenchReport(
            settings: settings, server: primary, elapsed: max(elapsed, .zero), histogram: histogram, errors: errors,
            firstError: firstError)
    }

    private static let drop: Document = ["drop": .string(BenchSettings.collection)]

    /// An empty collection, with the documents that the workload asks for.
    private func prepare(_ link: ServerLink) async throws {
        _ = try await link.run(Self.drop, database: BenchSettings.database)
        _ = try await link.succeed(
            ["create": .string(BenchSettings.collection)], database: BenchSettings.database)
        guard settings.workload != .insert else { return }
        let batchSize = max(1, min(1000, 1_000_000 / settings.documentBytes))
        for first in stride(from: 0, to: settings.keys, by: batchSize) {
            let ids = first..<min(first + batchSize, settings.keys)
            let reply = try await link.succeed(
                [
                    "insert": .string(BenchSettings.collection),
                    "documents": .array(ids.map { .document(settings.document(id: Int64($0))) }),
                    "writeConcern": ["w": "majority", "wtimeout": 30_000],
                ], database: BenchSettings.database)
            if let error = reply["writeErrors"] ?? reply["writeConcernError"] {
                throw CommandFailure("the documents could not be loaded: \(error)")
            }
        }
    }

    // MARK: For connections

    /// Appends the next request; returns whether it reads.
    func appendRequest(to output: ByteBuffer, requestID: Int32) -> Bool {
        if settings.workload == .insert {
            lastInserted += 1
            requests.insert.append(to: output, requestID: requestID, key: lastInserted)
            return false
        }
        let key = Int64(truncatingIfNeeded: random.next(below: UInt64(settings.keys)))
        let isRead = random.next(below: 100) < settings.workload.readPercent
        (isRead ? requests.read : requests.update).append(to: output, requestID: requestID, key: key)
        return isRead
    }

    func completed(failure: String?, sentAt: Instant, now: Instant) {
        guard now >= measuredFrom, !isOver else { return }
        if let failure {
            errors += 1
            firstError = firstError ?? failure
        } else {
            histogram.record(nanoseconds: (now - sentAt).nanoseconds)
        }
    }

    func connectionLost(_ reason: CloseReason) {
        openConnections -= 1
        guard !isOver else { return }
        errors += 1
        firstError = firstError ?? "a connection was lost: \(reason)"
        if openConnections == 0 { end() }
    }

    private func end() {
        isOver = true
        ending.take()?.resume()
    }
}
