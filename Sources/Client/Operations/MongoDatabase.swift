public import BSON
public import Core

/// A database of a client.
public struct MongoDatabase {
    /// Whose database it is.
    public let client: MongoClient
    /// Its name.
    public let name: String

    /// A collection by name; it need not exist yet.
    public func collection(_ name: String) -> MongoCollection { MongoCollection(database: self, name: name) }
    /// The same.
    public subscript(name: String) -> MongoCollection { collection(name) }

    /// Runs a command as it is given, on a server that fits `preference`, and returns its reply. Not retried.
    /// - Throws: `CommandError` for `ok: 0`.
    @discardableResult
    public func runCommand(
        _ command: Document, preference: ReadPreference = .primary, session: ClientSession? = nil
    ) async throws -> Document {
        try await client.withSession(session) { session in
            var request = CommandRequest(database: name, command: command, access: .read)
            request.preference = preference
            return try await client.execute(request, session: session).reply
        }
    }

    /// Removes the database.
    public func drop(session: ClientSession? = nil) async throws {
        try await client.withSession(session) { session in
            var request = CommandRequest(database: name, command: ["dropDatabase": 1], access: .write)
            request.writeConcern = client.options.writeConcern
            _ = try await client.execute(request, session: session)
        }
    }

    /// The names of the collections, in the server's order.
    public func listCollectionNames(session: ClientSession? = nil) async throws -> [String] {
        let cursor = try await client.openCursor(session: session) {
            var request = CommandRequest(
                database: name, command: ["listCollections": 1, "nameOnly": true, "cursor": [:]], access: .read)
            request.isRetryable = true
            return request
        }
        return try await cursor.toArray().compactMap { $0["name"]?.asString }
    }
}
