public import BSON
public import Core

/// A collection of a client, with the concerns and the read preference that its operations use.
public struct MongoCollection {
    /// Where it is.
    public let database: MongoDatabase
    /// Its name within the database.
    public let name: String
    /// Where its reads go.
    public var readPreference: ReadPreference
    /// What its reads may see.
    public var readConcern: ReadConcern?
    /// When its writes count as done.
    public var writeConcern: WriteConcern?

    init(database: MongoDatabase, name: String) {
        self.database = database
        self.name = name
        let options = database.client.options
        readPreference = options.readPreference
        readConcern = options.readConcern
        writeConcern = options.writeConcern
    }

    var client: MongoClient { database.client }

    /// The same collection with another read preference.
    public func with(readPreference: ReadPreference) -> MongoCollection {
        var other = self
        other.readPreference = readPreference
        return other
    }

    /// The same collection with other concerns.
    public func with(readConcern: ReadConcern? = nil, writeConcern: WriteConcern? = nil) -> MongoCollection {
        var other = self
        if let readConcern { other.readConcern = readConcern }
        if let writeConcern { other.writeConcern = writeConcern }
        return other
    }

    func writeRequest(_ command: Document, isRetryable: Bool) -> CommandRequest {
        var request = CommandRequest(database: database.name, command: command, access: .write)
        request.isRetryable = isRetryable
        request.writeConcern = writeConcern
        return request
    }

    func readRequest(_ command: Document) -> CommandRequest {
        var request = CommandRequest(database: database.name, command: command, access: .read)
        request.isRetryable = true
        request.preference = readPreference
        request.readConcern = readConcern
        return request
    }

    /// Removes the collection.
    public func drop(session: ClientSession? = nil) async throws {
        try await client.withSession(session) { session in
            _ = try await client.execute(writeRequest(["drop": .string(name)], isRetryable: false), session: session)
        }
    }

    /// Makes an index and returns its name.
    @discardableResult
    public func createIndex(
        _ keys: Document, unique: Bool = false, name indexName: String? = nil, session: ClientSession? = nil
    ) async throws -> String {
        let parts = keys.fields.map { field in
            "\(field.key)_\(field.value.asString ?? field.value.asInteger.map { "\($0)" } ?? "")"
        }
        let indexName = indexName ?? parts.joined(separator: "_")
        var index: Document = ["key": .document(keys), "name": .string(indexName)]
        if unique { index.append("unique", true) }
        let command: Document = ["createIndexes": .string(name), "indexes": [.document(index)]]
        return try await client.withSession(session) { session in
            let reply = try await client.execute(writeRequest(command, isRetryable: false), session: session).reply
            if let error = OperationReply.writeConcernError(reply) { throw error }
            return indexName
        }
    }
}
