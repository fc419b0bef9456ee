public import BSON
import Core

/// The documents of a query, fetched in batches. Belongs to the server it was opened on.
public final class MongoCursor {
    /// Documents a batch; nil leaves it to the server.
    public var batchSize: Int?
    /// Whether the server has no more than what was fetched.
    public var isExhausted: Bool { id == 0 }

    private let client: MongoClient
    private let session: ClientSession
    private let address: Endpoint
    private let database: String
    private let collection: String
    private var id: Int64
    private var batch: [Document]
    private var position = 0

    init(client: MongoClient, session: ClientSession, result: CommandResult) throws {
        guard let cursor = result.reply["cursor"]?.asDocument, let id = cursor["id"]?.asInteger,
            let namespace = cursor["ns"]?.asString, let dot = namespace.firstIndex(of: ".")
        else { throw ClientUsageError(message: "\(result.address) answered without a cursor") }
        self.client = client
        self.session = session
        self.id = id
        address = result.address
        database = String(namespace[..<dot])
        collection = String(namespace[namespace.index(after: dot)...])
        batch = cursor["firstBatch"]?.asArray?.compactMap(\.asDocument) ?? []
        if id == 0 { release() }
    }

    /// The next document, or nil at the end.
    public func next() async throws -> Document? {
        while position >= batch.count {
            if isExhausted { return nil }
            try await getMore()
        }
        defer { position += 1 }
        return batch[position]
    }

    /// All documents that are left.
    public func toArray() async throws -> [Document] {
        var all: [Document] = []
        while let document = try await next() { all.append(document) }
        return all
    }

    /// Lets the server forget the cursor. Not needed at the end of the documents.
    public func close() async {
        guard id != 0 else { return }
        let kill: Document = ["killCursors": .string(collection), "cursors": [.int64(id)]]
        id = 0
        var request = CommandRequest(database: database, command: kill, access: .read)
        request.pinned = address
        // What fails here the server's own timeout puts right.
        _ = try? await client.execute(request, session: session)
        release()
    }

    private func getMore() async throws {
        var command: Document = ["getMore": .int64(id), "collection": .string(collection)]
        if let batchSize { command.append("batchSize", .int64(Int64(batchSize))) }
        var request = CommandRequest(database: database, command: command, access: .read)
        request.pinned = address
        do {
            let reply = try await client.execute(request, session: session).reply
            guard let cursor = reply["cursor"]?.asDocument, let id = cursor["id"]?.asInteger else {
                throw ClientUsageError(message: "\(address) answered without a cursor")
            }
            self.id = id
            batch = cursor["nextBatch"]?.asArray?.compactMap(\.asDocument) ?? []
            position = 0
            if id == 0 { release() }
        } catch {
            // Broken once, broken for good: what was missed cannot be told.
            id = 0
            release()
            throw error
        }
    }

    private func release() { if session.isImplicit { session.end() } }
}

extension MongoCursor: AsyncSequence {
    /// Takes the cursor's documents; iterating twice goes on where the first stopped.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let cursor: MongoCursor
        /// The next document, or nil at the end.
        public func next() async throws -> Document? { try await cursor.next() }
        /// The same, on the caller's loop.
        public func next(isolation: isolated (any Actor)?) async throws -> Document? { try await cursor.next() }
    }

    /// Goes on where the cursor is.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(cursor: self) }
}

extension MongoClient {
    /// Runs a command that opens a cursor.
    func openCursor(session given: ClientSession?, _ request: () -> CommandRequest) async throws -> MongoCursor {
        if given?.hasEnded == true { throw ClientUsageError(message: "the session has ended") }
        let session = given ?? implicitSession()
        do {
            return try MongoCursor(
                client: self, session: session, result: try await execute(request(), session: session))
        } catch {
            if session.isImplicit { session.end() }
            throw error
        }
    }
}
