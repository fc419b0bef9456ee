public import BSON
import Core

/// A change to documents: operators, or a pipeline.
public enum Update: Sendable, ExpressibleByDictionaryLiteral {
    case operators(Document)
    case pipeline([Document])

    /// Update operators: `["$set": ["a": 1]]`.
    public init(dictionaryLiteral elements: (String, Value)...) {
        self = .operators(Document { writer in for (key, value) in elements { writer.append(key, value) } })
    }

    var value: Value {
        switch self {
        case .operators(let document): .document(document)
        case .pipeline(let stages): .array(stages.map { .document($0) })
        }
    }
}

/// What an update did.
public struct UpdateResult: Sendable {
    /// How many documents matched.
    public let matchedCount: Int
    /// How many of them are different now.
    public let modifiedCount: Int
    /// The `_id` of the document that was inserted because none matched.
    public let upsertedID: Value?
}

extension MongoCollection {
    /// Inserts one document, giving it an `_id` when it has none, and returns its `_id`.
    /// - Throws: `DuplicateKeyError`, `WriteError`, `WriteConcernError`, `CommandError`, `NetworkError` …
    @discardableResult
    public func insertOne(_ document: Document, session: ClientSession? = nil) async throws -> Value {
        let (document, id) = try withID(document)
        try await client.withSession(session) { session in
            var request = writeRequest(["insert": .string(name), "ordered": true], isRetryable: true)
            request.sequence = ("documents", [document])
            try OperationReply.checkSingleWrite(try await client.execute(request, session: session).reply)
        }
        return id
    }

    /// Inserts documents, in as many commands as the server's limits ask for, and returns their `_id`s.
    /// - Throws: `BulkWriteError` when some were refused; ordered, none after the first refused one is inserted.
    @discardableResult
    public func insertMany(
        _ documents: [Document], ordered: Bool = true, session: ClientSession? = nil
    ) async throws -> [Value] {
        let prepared = try documents.map(withID)
        let all = prepared.map(\.0)
        try await client.withSession(session) { session in
            var done = 0
            var inserted = 0
            var errors: [WriteError] = []
            var concernError: WriteConcernError?
            while done < all.count {
                let batch = nextBatch(all, from: done)
                var request = writeRequest(["insert": .string(name), "ordered": .bool(ordered)], isRetryable: true)
                request.sequence = ("documents", batch)
                let reply = try await client.execute(request, session: session).reply
                inserted += reply["n"]?.asInteger.map { Int(clamping: $0) } ?? 0
                errors += OperationReply.writeErrors(reply, offset: done)
                concernError = OperationReply.writeConcernError(reply) ?? concernError
                if ordered, !errors.isEmpty { break }
                done += batch.count
            }
            if !errors.isEmpty || concernError != nil {
                throw BulkWriteError(completedCount: inserted, writeErrors: errors, writeConcernError: concernError)
            }
        }
        return prepared.map(\.1)
    }

    /// Changes the first document that matches.
    @discardableResult
    public func updateOne(
        _ filter: Document, _ update: Update, upsert: Bool = false, arrayFilters: [Document] = [],
        session: ClientSession? = nil
    ) async throws -> UpdateResult {
        try await runUpdate(filter, update.value, upsert, arrayFilters, isMulti: false, session)
    }

    /// Changes all documents that match. Not retried after a network error.
    @discardableResult
    public func updateMany(
        _ filter: Document, _ update: Update, upsert: Bool = false, arrayFilters: [Document] = [],
        session: ClientSession? = nil
    ) async throws -> UpdateResult {
        try await runUpdate(filter, update.value, upsert, arrayFilters, isMulti: true, session)
    }

    /// Puts another document in the place of the first that matches.
    @discardableResult
    public func replaceOne(
        _ filter: Document, _ replacement: Document, upsert: Bool = false, session: ClientSession? = nil
    ) async throws -> UpdateResult {
        try await runUpdate(filter, .document(replacement), upsert, [], isMulti: false, session)
    }

    /// Removes the first document that matches; returns how many were removed.
    @discardableResult
    public func deleteOne(_ filter: Document, session: ClientSession? = nil) async throws -> Int {
        try await runDelete(filter, limit: 1, session)
    }

    /// Removes all documents that match; returns how many were removed. Not retried after a network error.
    @discardableResult
    public func deleteMany(_ filter: Document, session: ClientSession? = nil) async throws -> Int {
        try await runDelete(filter, limit: 0, session)
    }

    /// Changes the first document that matches and returns it, as it was or as it is now.
    public func findOneAndUpdate(
        _ filter: Document, _ update: Update, sort: Document? = nil, projection: Document? = nil, upsert: Bool = false,
        returnsNew: Bool = false, session: ClientSession? = nil
    ) async throws -> Document? {
        try await findAndModify(
            filter, ["update": update.value, "new": .bool(returnsNew), "upsert": .bool(upsert)], sort, projection,
            session)
    }

    /// Puts another document in the place of the first that matches and returns the old or the new one.
    public func findOneAndReplace(
        _ filter: Document, _ replacement: Document, sort: Document? = nil, projection: Document? = nil,
        upsert: Bool = false, returnsNew: Bool = false, session: ClientSession? = nil
    ) async throws -> Document? {
        try await findAndModify(
            filter, ["update": .document(replacement), "new": .bool(returnsNew), "upsert": .bool(upsert)], sort,
            projection, session)
    }

    /// Removes the first document that matches and returns it.
    public func findOneAndDelete(
        _ filter: Document, sort: Document? = nil, projection: Document? = nil, session: ClientSession? = nil
    ) async throws -> Document? {
        try await findAndModify(filter, ["remove": true], sort, projection, session)
    }

    // MARK: Commands

    private func runUpdate(
        _ filter: Document, _ update: Value, _ upsert: Bool, _ arrayFilters: [Document], isMulti: Bool,
        _ session: ClientSession?
    ) async throws -> UpdateResult {
        var statement: Document = ["q": .document(filter), "u": update]
        if isMulti { statement.append("multi", true) }
        if upsert { statement.append("upsert", true) }
        if !arrayFilters.isEmpty { statement.append("arrayFilters", .array(arrayFilters.map { .document($0) })) }
        let sent = statement
        return try await client.withSession(session) { session in
            var request = writeRequest(["update": .string(name), "ordered": true], isRetryable: !isMulti)
            request.sequence = ("updates", [sent])
            let reply = try await client.execute(request, session: session).reply
            try OperationReply.checkSingleWrite(reply)
            let upserted = reply["upserted"]?.asArray?.first?.asDocument?["_id"]
            let count = reply["n"]?.asInteger.map { Int(clamping: $0) } ?? 0
            return UpdateResult(
                matchedCount: upserted == nil ? count : 0,
                modifiedCount: reply["nModified"]?.asInteger.map { Int(clamping: $0) } ?? 0, upsertedID: upserted)
        }
    }

    private func runDelete(_ filter: Document, limit: Int32, _ session: ClientSession?) async throws -> Int {
        try await client.withSession(session) { session in
            var request = writeRequest(["delete": .string(name), "ordered": true], isRetryable: limit == 1)
            request.sequence = ("deletes", [["q": .document(filter), "limit": .int32(limit)]])
            let reply = try await client.execute(request, session: session).reply
            try OperationReply.checkSingleWrite(reply)
            return reply["n"]?.asInteger.map { Int(clamping: $0) } ?? 0
        }
    }

    private func findAndModify(
        _ filter: Document, _ change: Document, _ sort: Document?, _ projection: Document?, _ session: ClientSession?
    ) async throws -> Document? {
        var command: Document = ["findAndModify": .string(name), "query": .document(filter)]
        if let sort { command.append("sort", .document(sort)) }
        for field in change.fields { command.append(field.key, field.value) }
        if let projection { command.append("fields", .document(projection)) }
        let sent = command
        return try await client.withSession(session) { session in
            let reply = try await client.execute(writeRequest(sent, isRetryable: true), session: session).reply
            if let error = OperationReply.writeConcernError(reply) { throw error }
            return reply["value"]?.asDocument
        }
    }

    /// As many documents from `start` on as one command may carry.
    private func nextBatch(_ documents: [Document], from start: Int) -> ArraySlice<Document> {
        let primary = client.topologyDescription.servers.first { $0.type.isDataBearing }
        let countMax = primary?.maxWriteBatchSize ?? Limits.writeBatchSizeMax
        // Room for the header, the command's fields and the gossip.
        let bytesMax = (primary?.maxMessageBytes ?? Limits.messageBytesMax) - 16 * 1024
        var end = start
        var bytes = 0
        while end < documents.count, end - start < countMax {
            bytes += documents[end].byteCount
            if bytes > bytesMax, end > start { break }
            end += 1
        }
        return documents[start..<end]
    }

    private func withID(_ document: Document) throws -> (Document, Value) {
        if document.byteCount > Limits.documentBytesMax {
            throw ClientUsageError(
                message: "a document of \(document.byteCount) bytes, but at most \(Limits.documentBytesMax) are allowed"
            )
        }
        if let id = document["_id"] { return (document, id) }
        let id = Value.objectID(client.makeObjectID())
        return (
            Document { writer in
                writer.append("_id", id)
                document.withView { for field in $0 { writer.append(field.key, field.value) } }
            }, id
        )
    }
}

extension MongoClient {
    /// A new object id: this node's wall clock, and randomness in the place of process and counter.
    func makeObjectID() -> ObjectID {
        let random = runtime.randomNumber()
        return ObjectID(
            high: UInt64(runtime.wallClock.seconds) << 32 | random >> 32, low: UInt32(truncatingIfNeeded: random))
    }
}
