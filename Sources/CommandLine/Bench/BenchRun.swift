internal import BSON
internal import Core
internal import LiveRuntime
internal import SocketTransport
internal import Wire

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

    /// - Parameter selector: picks the member that a connection reads from, if it need not be the primary.
    func run(_ target: ConnectionString, _ selector: any ReadSelector) async throws -> BenchReport {
        let primary = try await PrimarySearch(transport: transport, runtime: runtime).primary(of: target)
        let link = ServerLink(to: primary, over: transport, runtime)
        let loaded = try await prepare(link)
        var sources = Array(repeating: primary, count: settings.connections)
        if settings.readPreference != .primary {
            sources = try await BenchReads(transport: transport, runtime: runtime, settings: settings)
                .sources(target, selector, loaded: loaded)
        }
        for source in sources {
            connections.append(BenchConnection(self, over: transport, writes: primary, reads: source))
            openConnections += 1
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
    /// - Returns: the reply to the last write.
    private func prepare(_ link: ServerLink) async throws -> Document {
        _ = try await link.run(Self.drop, database: BenchSettings.database)
        var last = try await link.succeed(
            ["create": .string(BenchSettings.collection)], database: BenchSettings.database)
        guard settings.workload != .insert else { return last }
        let batchSize = max(1, min(1000, 1_000_000 / settings.documentBytes))
        for first in stride(from: 0, to: settings.keys, by: batchSize) {
            let ids = first..<min(first + batchSize, settings.keys)
            last = try await link.succeed(
                [
                    "insert": .string(BenchSettings.collection),
                    "documents": .array(ids.map { .document(settings.document(id: Int64($0))) }),
                    "writeConcern": ["w": "majority", "wtimeout": 30_000],
                ], database: BenchSettings.database)
            if let error = last["writeErrors"] ?? last["writeConcernError"] {
                throw CommandFailure("the documents could not be loaded: \(error)")
            }
        }
        return last
    }

    // MARK: For connections

    /// What a connection sends next, about which document, and whether it reads.
    func nextRequest() -> (bytes: BenchRequest, key: Int64, isRead: Bool) {
        if settings.workload == .insert {
            lastInserted += 1
            return (requests.insert, lastInserted, false)
        }
        let key = Int64(truncatingIfNeeded: random.next(below: UInt64(settings.keys)))
        let isRead = random.next(below: 100) < settings.workload.readPercent
        return (isRead ? requests.read : requests.update, key, isRead)
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

    func connectionLost(_ reason: ChannelError) {
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
