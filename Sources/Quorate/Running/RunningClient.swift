public import BSON
public import Client
public import Core
internal import LiveRuntime

/// A client on a thread of its own, for use from anywhere: `client["shop"]["orders"].insert(…)`.
public final class RunningClient: Sendable {
    private let loop: EventLoop
    /// Touched on the loop only; made there with the first call.
    private let confined: Confined<ClientBox>

    private final class ClientBox {
        var client: MongoClient?
        let make: () -> MongoClient
        init(_ make: @escaping () -> MongoClient) { self.make = make }
        func get() -> MongoClient {
            if let client { return client }
            let made = make()
            client = made
            return made
        }
    }

    init(
        seeds: [Endpoint], setName: String?, parts: NodeParts, log: any LogSink & Sendable
    ) throws {
        // Made here, where it may fail; used on the loop only.
        let selector = try parts.makeReadSelector()
        let loop = try EventLoop.start(name: "\(setName ?? "cluster")-client", log: log)
        self.loop = loop
        confined = Confined(
            ClientBox {
                let runtime = LiveRuntime(loop: loop, log: log)
                return MongoClient(
                    runtime: runtime, transport: parts.network.makeTransport(runtime, node: "client"), seeds: seeds,
                    setName: setName, selector: selector)
            })
    }

    /// Runs `body` with the client, on its loop: everything the client can do.
    public func with<Answer: Sendable>(
        _ body: @escaping @Sendable (MongoClient) async throws -> Answer
    ) async throws -> Answer {
        try await loop.callAsync { [confined] in try await body(confined.value.get()) }
    }

    /// A database by name; it need not exist yet.
    public subscript(database: String) -> RunningDatabase { RunningDatabase(client: self, name: database) }

    /// Ends sessions and connections.
    public func close() async {
        try? await loop.callAsync { [confined] in await confined.value.client?.close() }
        await loop.shutdown()
    }
}

/// A database of a running client.
public struct RunningDatabase: Sendable {
    let client: RunningClient
    /// The database's name.
    public let name: String

    /// A collection by name; it need not exist yet.
    public subscript(collection: String) -> RunningCollection { RunningCollection(database: self, name: collection) }

    /// Runs a command on the primary.
    @discardableResult
    public func run(_ command: Document) async throws -> Document {
        // A closure here would be inferred to leave the client's loop; a function stays on its caller's.
        let name = name
        @Sendable func body(_ client: MongoClient) async throws -> Document {
            try await client[name].runCommand(command)
        }
        return try await client.with(body)
    }
}

/// A collection of a running client. Errors are those of the client: `WriteError`, `CommandError`, `NetworkError`, …
public struct RunningCollection: Sendable {
    let database: RunningDatabase
    /// The collection's name.
    public let name: String

    private func with<Answer: Sendable>(
        _ body: @escaping @Sendable (MongoCollection) async throws -> Answer
    ) async throws -> Answer {
        let database = database.name
        let name = name
        @Sendable func call(_ client: MongoClient) async throws -> Answer { try await body(client[database][name]) }
        return try await self.database.client.with(call)
    }

    /// Inserts a document and returns its `_id`.
    @discardableResult
    public func insert(_ document: Document, writeConcern: WriteConcern? = nil) async throws -> Value {
        try await with { try await $0.with(writeConcern: writeConcern).insertOne(document) }
    }

    /// Inserts documents in order and returns their `_id`s.
    @discardableResult
    public func insert(_ documents: [Document], writeConcern: WriteConcern? = nil) async throws -> [Value] {
        try await with { try await $0.with(writeConcern: writeConcern).insertMany(documents) }
    }

    /// All documents that match.
    public func find(
        _ filter: Document = [:], options: FindOptions = FindOptions(), readPreference: ReadPreference = .primary,
        readConcern: ReadConcern? = nil
    ) async throws -> [Document] {
        try await with {
            try await $0.with(readPreference: readPreference).with(readConcern: readConcern)
                .find(filter, options: options).toArray()
        }
    }

    /// The first document that matches, or nil.
    public func findOne(_ filter: Document = [:], readPreference: ReadPreference = .primary) async throws -> Document? {
        try await with { try await $0.with(readPreference: readPreference).findOne(filter) }
    }

    /// Changes the first document that matches.
    @discardableResult
    public func update(
        _ filter: Document, _ update: Update, upsert: Bool = false, writeConcern: WriteConcern? = nil
    ) async throws -> UpdateResult {
        try await with { try await $0.with(writeConcern: writeConcern).updateOne(filter, update, upsert: upsert) }
    }

    /// Removes all documents that match; returns how many.
    @discardableResult
    public func delete(_ filter: Document, writeConcern: WriteConcern? = nil) async throws -> Int {
        try await with { try await $0.with(writeConcern: writeConcern).deleteMany(filter) }
    }

    /// How many documents match.
    public func count(_ filter: Document = [:]) async throws -> Int {
        try await with { try await $0.countDocuments(filter) }
    }
}
