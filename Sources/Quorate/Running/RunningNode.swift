public import Core
public import LiveRuntime
public import DataNode

/// A node on a thread of its own. May be held and called from anywhere: every call is handed to the node's loop.
public final class RunningNode: Sendable {
    /// The loop that the node is confined to.
    public let loop: EventLoop
    /// Touched on the loop only.
    private let confined: Confined<Node>
    /// Where it listens.
    public let endpoint: Endpoint

    private init(loop: EventLoop, node: Confined<Node>, endpoint: Endpoint) {
        self.loop = loop
        confined = node
        self.endpoint = endpoint
    }

    /// Starts a node on a new loop.
    /// - Parameters:
    ///   - name: what the loop's thread is called.
    ///   - log: where lines for people go.
    ///   - make: makes the node, on its loop.
    /// - Throws: what `make` and `Node.start` throw, such as `TransportError.addressInUse`.
    public static func start(
        name: String, log: any LogSink & Sendable, _ make: @escaping @Sendable (LiveRuntime) throws -> Node
    ) async throws -> RunningNode {
        let loop = try EventLoop.start(name: name, log: log)
        do {
            let (node, endpoint) = try await loop.callAsync {
                let node = try make(LiveRuntime(loop: loop, log: log))
                try await node.start()
                return (Confined(node), node.endpoint)
            }
            return RunningNode(loop: loop, node: node, endpoint: endpoint)
        } catch {
            await loop.shutdown()
            throw error
        }
    }

    /// Runs `body` on the node's loop.
    public func with<Answer: Sendable>(_ body: @escaping @Sendable (Node) throws -> Answer) async throws -> Answer {
        try await loop.call { [confined] in try body(confined.value) }
    }

    /// Runs an async `body` on the node's loop.
    public func withAsync<Answer: Sendable>(
        _ body: @escaping @Sendable (Node) async throws -> Answer
    ) async throws -> Answer {
        try await loop.callAsync { [confined] in try await body(confined.value) }
    }

    /// Ends it in good order: requests in flight are answered, connections closed, storage flushed.
    /// - Parameter handingOver: a primary first lets another member take its place.
    public func stop(handingOver: Bool = true) async {
        try? await loop.callAsync { [confined] in await confined.value.stop(handingOver: handingOver) }
        await loop.shutdown()
    }

    /// Ends it as `kill -9` would: connections break, nothing is handed over or flushed.
    public func kill() async { await loop.shutdown() }
}
