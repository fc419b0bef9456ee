internal import BSON
internal import Client
internal import Core
internal import LiveRuntime

/// Finds the members that the connections of a benchmark read from, where that is not the primary.
struct BenchReads {
    /// How long members are waited for that do not answer: the others do without them.
    private static let discoveryMax: Duration = .seconds(2)

    let transport: any Transport
    let runtime: any NodeRuntime
    let settings: BenchSettings

    /// One member for each connection, picked by the selector among those that the read preference allows; each has
    /// what was loaded.
    /// - Parameter loaded: the reply to the write that loaded it.
    func sources(
        _ target: ConnectionString, _ selector: any ReadSelector, loaded: Document
    ) async throws -> [Endpoint] {
        let client = MongoClient(
            runtime: runtime, transport: transport, seeds: target.seeds, setName: target.setName, selector: selector)
        do {
            let sources = try await pick(client)
            await client.close()
            var served: [Endpoint] = []
            for source in sources where !served.contains(source) {
                served.append(source)
                try await awaitData(at: source, loaded)
            }
            return sources
        } catch {
            await client.close()
            throw error
        }
    }

    private func pick(_ client: MongoClient) async throws -> [Endpoint] {
        let deadline = runtime.now + Self.discoveryMax
        while client.topologyDescription.servers.contains(where: { $0.type == .unknown }), runtime.now < deadline {
            await runtime.sleep(for: .milliseconds(20))
        }
        var sources: [Endpoint] = []
        for _ in 0..<settings.connections {
            sources.append(try await client.selectServer(ReadPreference(settings.readPreference)))
        }
        return sources
    }

    /// Waits until a member has the documents: a majority that has them may be the others.
    private func awaitData(at source: Endpoint, _ loaded: Document) async throws {
        guard let time = loaded["operationTime"] else { return }
        let link = ServerLink(to: source, over: transport, runtime)
        defer { link.close() }
        _ = try await link.succeed(
            [
                "find": .string(BenchSettings.collection), "limit": 1, "singleBatch": true,
                "readConcern": ["afterClusterTime": time],
                "$readPreference": ["mode": .string(settings.readPreference.rawValue)],
            ], database: BenchSettings.database)
    }
}
