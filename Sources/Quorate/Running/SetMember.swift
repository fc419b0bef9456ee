public import BSON
public import Core
internal import LiveRuntime
internal import DataNode
internal import Synchronization

/// One member of a running set. Lives on through kills and restarts: the place, not the process.
public final class SetMember: Sendable {
    /// `_id` in the configuration.
    public let id: Int
    private let set: ReplicaSet
    private let parts: NodeParts
    private struct State {
        var node: RunningNode?
        var endpoint = Endpoint(host: "127.0.0.1", port: 0)
    }
    private let state = Mutex(State())
    private let changes = ChangeSignal()

    init(id: Int, set: ReplicaSet, parts: NodeParts) {
        self.id = id
        self.set = set
        self.parts = parts
    }

    /// Where it listens; the same after a restart.
    public var endpoint: Endpoint { state.withLock { $0.endpoint } }
    /// Whether it is running.
    public var isRunning: Bool { node != nil }
    private var node: RunningNode? { state.withLock { $0.node } }
    /// The name that faults of the network know it by.
    public var nodeName: String { "\(set.name)-\(id)" }
    /// Whether clients are told of it.
    var isKnownToClients: Bool { self.set.members[id].holdsData && !self.set.members[id].isHidden }
    private var directory: String? { self.set.parts.directory.map { "\($0)/\(nodeName)" } }

    func start(port: Int) async throws {
        var options = NodeOptions(endpoint: Endpoint(host: "127.0.0.1", port: port))
        options.replicaSetName = set.name
        set.describe(&options)
        let changes = changes
        let started = try await RunningNode.start(name: nodeName, log: MemberLog(name: nodeName, sink: set.log)) {
            [parts, nodeName, directory, options] runtime in
            let node = try parts.makeNode(runtime, name: nodeName, directory: directory, options: options)
            // Who waits for a change lives on no loop.
            node.onStopRequest = { [weak self, loop = runtime.loop] in
                loop.outsideLeakGuard { _ = Task.detached { await self?.stop() } }
            }
            node.onTopologyChange = { [loop = runtime.loop] in loop.outsideLeakGuard { changes.fire() } }
            return node
        }
        state.withLock {
            $0.node = started
            $0.endpoint = started.endpoint
        }
        changes.fire()
    }

    /// Runs a command on this member and returns its reply.
    /// - Throws: `ReplicaSetError` when it is not running.
    @discardableResult
    public func run(_ command: Document, database: String = "admin") async throws -> Document {
        guard let node else { throw ReplicaSetError("member \(id) is not running") }
        return try await node.withAsync { await $0.run(command, database: database) }
    }

    /// Whether it takes writes.
    public var isWritablePrimary: Bool {
        get async { (try? await run(["hello": 1]))?["isWritablePrimary"]?.asBool ?? false }
    }

    /// Whether it follows a primary and can be read from.
    public var isSecondary: Bool {
        get async { (try? await run(["hello": 1]))?["secondary"]?.asBool ?? false }
    }

    /// Starts it again at its address, after killing it if it runs. With volatile storage it comes back empty and
    /// copies the others.
    public func restart() async throws {
        await kill()
        try await start(port: endpoint.port)
    }

    /// Ends it as `kill -9` would.
    public func kill() async {
        let taken = take()
        await taken?.kill()
        changes.fire()
    }

    /// Ends it in good order.
    /// - Parameter handingOver: a primary first lets another member take its place.
    public func stop(handingOver: Bool = true) async {
        let taken = take()
        await taken?.stop(handingOver: handingOver)
        changes.fire()
    }

    private func take() -> RunningNode? {
        state.withLock { state in
            defer { state.node = nil }
            return state.node
        }
    }

    /// Returns when something about one of the members has changed, or the time is over.
    static func nextChange(of members: [SetMember], within limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            for member in members { group.addTask { await member.changes.next() } }
            group.addTask { await LiveTime.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }
}

/// A change that tasks wait for, from any thread. A change between two waits is not lost: it ends the next wait.
final class ChangeSignal: Sendable {
    private struct State {
        var hasChanged = false
        var waiters: [UInt64: UnsafeContinuation<Void, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }
    private let state = Mutex(State())

    func fire() {
        let woken = state.withLock { state in
            defer { state.waiters = [:] }
            if state.waiters.isEmpty { state.hasChanged = true }
            return Array(state.waiters.values)
        }
        for waiter in woken { waiter.resume() }
    }

    func next() async {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let isOver = state.withLock { state in
                    if state.hasChanged || Task.isCancelled {
                        state.hasChanged = false
                        return true
                    }
                    state.waiters[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }
}
