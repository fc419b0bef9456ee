public import Client
import Core
import ReadSelectors

/// A client of a simulated replica set, on a node of its own.
public final class SimulatedClient {
    public let name: String
    public let runtime: SimulatedRuntime
    public let client: MongoClient
    private let world: SimulatedWorld

    /// - Parameter name: the node's name in the world.
    public init(_ set: SimulatedReplicaSet, name: String = "client", options: ClientOptions = SimulatedClient.options) {
        self.name = name
        world = set.world
        runtime = set.world.addNode(name, log: set.timeline.sink(for: name))
        client = MongoClient(
            runtime: runtime, transport: set.world.network.transport(for: runtime),
            seeds: set.members.map(\.endpoint), setName: set.name, selector: MongoDBReadSelector(), options: options)
    }

    /// A driver's defaults, but impatient: servers are looked at often, and silence is an error.
    public static var options: ClientOptions {
        var options = ClientOptions()
        options.heartbeatInterval = .milliseconds(500)
        options.minimumHeartbeatInterval = .milliseconds(50)
        options.serverSelectionTimeout = .seconds(20)
        options.connectTimeout = .seconds(2)
        options.socketTimeout = .seconds(5)
        return options
    }

    /// Runs `body` on the client's node, and the world until it is done.
    public func run<Answer>(
        within limit: Duration = .seconds(60), _ body: @escaping (MongoClient) async throws -> Answer
    ) throws -> Answer {
        var outcome: Result<Answer, any Error>?
        let client = client
        runtime.spawn("client") {
            do {
                outcome = .success(try await body(client))
            } catch {
                outcome = .failure(error)
            }
        }
        try world.run(until: { outcome != nil }, atMost: limit, "the client's operation")
        return try outcome!.get()
    }
}
