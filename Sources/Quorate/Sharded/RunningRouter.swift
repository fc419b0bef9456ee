public import BSON
public import Core
public import LiveRuntime
public import Router

/// A router on a thread of its own. May be held and called from anywhere: every call is handed to the router's loop.
public final class RunningRouter: Sendable {
    /// The loop that the router is confined to.
    public let loop: EventLoop
    /// Touched on the loop only.
    private let confined: Confined<Router>
    /// Where it listens.
    public let endpoint: Endpoint

    private init(loop: EventLoop, router: Confined<Router>, endpoint: Endpoint) {
        self.loop = loop
        confined = router
        self.endpoint = endpoint
    }

    /// Starts a router on a new loop.
    /// - Parameters:
    ///   - name: what the loop's thread is called.
    ///   - log: where lines for people go.
    ///   - make: makes the router, on its loop.
    /// - Throws: what `make` and `Router.start` throw, such as `TransportError.addressInUse`.
    public static func start(
        name: String, log: any LogSink & Sendable, _ make: @escaping @Sendable (LiveRuntime) throws -> Router
    ) async throws -> RunningRouter {
        let loop = try EventLoop.start(name: name, log: log)
        do {
            let (router, endpoint) = try await loop.call {
                let router = try make(LiveRuntime(loop: loop, log: log))
                try router.start()
                return (Confined(router), router.endpoint)
            }
            return RunningRouter(loop: loop, router: router, endpoint: endpoint)
        } catch {
            await loop.shutdown()
            throw error
        }
    }

    /// Runs a command on the router and returns its reply.
    @discardableResult
    public func run(_ command: Document, database: String = "admin") async throws -> Document {
        try await loop.callAsync { [confined] in await confined.value.run(command, database: database) }
    }

    /// Ends it in good order.
    public func stop() async {
        try? await loop.call { [confined] in confined.value.stop() }
        await loop.shutdown()
    }

    /// Ends it as `kill -9` would: connections break.
    public func kill() async { await loop.shutdown() }
}
