import BSON
import Core
import ReadSelectors
import Simulation

@testable import Client

/// A client and a fake set in one world.
final class ClientHarness {
    let world: SimulatedWorld
    let set: FakeSet
    let client: MongoClient

    init(
        seed: UInt64 = 1, setName: String? = "rs0", names: [String] = ["a", "b", "c"], primary: String? = "a",
        seeds: [String]? = nil, selector: any ReadSelector = MongoDBReadSelector(),
        configureSet: (FakeSet) -> Void = { _ in }, configure: (inout ClientOptions) -> Void = { _ in }
    ) {
        world = SimulatedWorld(seed: seed)
        set = FakeSet(world: world, setName: setName, names: names, primary: primary)
        configureSet(set)
        let runtime = world.addNode("client")
        var options = ClientOptions()
        options.serverSelectionTimeout = .seconds(5)
        configure(&options)
        client = MongoClient(
            runtime: runtime, transport: world.network.transport(for: runtime),
            seeds: (seeds ?? names).map { Endpoint(host: $0, port: 27017) }, setName: setName, selector: selector,
            options: options)
    }

    var orders: MongoCollection { client["shop"]["orders"] }

    /// Runs `body` as a task of the client's node until it ends.
    @discardableResult
    func run<R>(atMost limit: Duration = .seconds(60), _ body: @escaping () async throws -> R) throws -> R {
        var result: Result<R, any Error>?
        client.runtime.spawn("test body") {
            do { result = .success(try await body()) } catch { result = .failure(error) }
        }
        try world.run(until: { result != nil }, atMost: limit, "the test's body")
        guard let result else { throw ClientUsageError(message: "the body did not end") }
        return try result.get()
    }

    /// The same, for a body that must fail with an `E`.
    func failure<E: Error>(
        _ type: E.Type, atMost limit: Duration = .seconds(60), _ body: @escaping () async throws -> Void
    )
        throws -> E?
    {
        do {
            try run(atMost: limit, body)
            return nil
        } catch let error as E {
            return error
        }
    }
}
