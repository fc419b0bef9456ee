public import BSON
public import Core
internal import LiveRuntime
internal import Router
internal import Synchronization

/// One router of a running cluster. Lives on through kills and restarts: the place, not the process.
public final class ClusterRouter: ClusterNode {
    /// Counted from 0.
    public let id: Int
    /// The name that faults of the network know it by.
    public let nodeName: String
    private let cluster: ShardedCluster
    private let parts: NodeParts
    private let configSeeds: [Endpoint]
    private struct State {
        var router: RunningRouter?
        var endpoint = Endpoint(host: "127.0.0.1", port: 0)
    }
    private let state = Mutex(State())

    init(id: Int, _ cluster: ShardedCluster, _ parts: NodeParts, configSeeds: [Endpoint]) {
        self.id = id
        nodeName = "router-\(id)"
        self.cluster = cluster
        self.parts = parts
        self.configSeeds = configSeeds
    }

    /// Where it listens; the same after a restart.
    public var endpoint: Endpoint { state.withLock { $0.endpoint } }
    /// Whether it is running.
    public var isRunning: Bool { router != nil }
    private var router: RunningRouter? { state.withLock { $0.router } }

    func start(port: Int) async throws {
        var options = RouterOptions(
            endpoint: Endpoint(host: "127.0.0.1", port: port), configSetName: "config", configSeeds: configSeeds)
        cluster.describeRouter(&options)
        let log = MemberLog(name: nodeName, sink: cluster.log)
        let started = try await RunningRouter.start(name: nodeName, log: log) { [parts, nodeName, options] runtime in
            let router = try parts.makeRouter(runtime, name: nodeName, options: options)
            // Who waits for a change lives on no loop.
            router.onStopRequest = { [weak self, loop = runtime.loop] in
                loop.outsideLeakGuard { _ = Task.detached { await self?.stop() } }
            }
            return router
        }
        state.withLock {
            $0.router = started
            $0.endpoint = started.endpoint
        }
    }

    /// Runs a command on this router and returns its reply.
    /// - Throws: `ReplicaSetError` when it is not running.
    @discardableResult
    public func run(_ command: Document, database: String = "admin") async throws -> Document {
        guard let router else { throw ReplicaSetError("router \(id) is not running") }
        return try await router.run(command, database: database)
    }

    /// Starts it again at its address, after killing it if it runs.
    public func restart() async throws {
        await kill()
        try await start(port: endpoint.port)
    }

    /// Ends it as `kill -9` would.
    public func kill() async { await take()?.kill() }

    /// Ends it in good order.
    public func stop() async { await take()?.stop() }

    private func take() -> RunningRouter? {
        state.withLock { state in
            defer { state.router = nil }
            return state.router
        }
    }
}

/// A node of a cluster that can be cut off from others: a router, or a member of a set. Not a plug point.
public protocol ClusterNode: AnyObject, Sendable {
    /// The name that faults of the network know it by.
    var nodeName: String { get }
}

extension SetMember: ClusterNode {}
