public import BSON
import Core

/// What a `find` may be told beside its filter.
public struct FindOptions: Sendable {
    /// In which order.
    public var sort: Document?
    /// Which fields.
    public var projection: Document?
    /// How many documents are left out at the beginning.
    public var skip: Int?
    /// How many documents at most.
    public var limit: Int?
    /// How many documents a reply carries; nil leaves it to the server.
    public var batchSize: Int?
    /// The index to use: its name, or its keys.
    public var hint: Value?
    /// After which time the server gives up.
    public var maxTimeMilliseconds: Int64?
    /// No options.
    public init() {}

    func append(to command: inout Document) {
        if let sort { command.append("sort", .document(sort)) }
        if let projection { command.append("projection", .document(projection)) }
        if let hint { command.append("hint", hint) }
        if let skip { command.append("skip", .int64(Int64(skip))) }
        if let limit { command.append("limit", .int64(Int64(limit))) }
        if let batchSize { command.append("batchSize", .int64(Int64(batchSize))) }
        if let maxTimeMilliseconds { command.append("maxTimeMS", .int64(maxTimeMilliseconds)) }
    }
}

extension MongoCollection {
    /// Opens a cursor over the documents that match.
    public func find(
        _ filter: Document = [:], options: FindOptions = FindOptions(), session: ClientSession? = nil
    ) async throws -> MongoCursor {
        var command: Document = ["find": .string(name), "filter": .document(filter)]
        options.append(to: &command)
        let cursor = try await client.openCursor(session: session) { readRequest(command) }
        cursor.batchSize = options.batchSize
        return cursor
    }

    /// The first document that matches, or nil.
    public func findOne(
        _ filter: Document = [:], options: FindOptions = FindOptions(), session: ClientSession? = nil
    ) async throws -> Document? {
        var command: Document = ["find": .string(name), "filter": .document(filter)]
        var options = options
        options.limit = 1
        options.append(to: &command)
        command.append("singleBatch", true)
        let cursor = try await client.openCursor(session: session) { readRequest(command) }
        return try await cursor.next()
    }

    /// Opens a cursor over what a pipeline makes of the collection.
    public func aggregate(
        _ pipeline: [Document], batchSize: Int? = nil, session: ClientSession? = nil
    ) async throws -> MongoCursor {
        let stages = pipeline.map { Value.document($0) }
        let cursorOptions: Document = batchSize.map { ["batchSize": .int64(Int64($0))] } ?? [:]
        let command: Document = [
            "aggregate": .string(name), "pipeline": .array(stages), "cursor": .document(cursorOptions),
        ]
        // A pipeline that writes goes where writes go, and is not retried.
        let writes = pipeline.last.map { $0.keys.first == "$out" || $0.keys.first == "$merge" } ?? false
        let cursor = try await client.openCursor(session: session) {
            writes ? writeRequest(command, isRetryable: false) : readRequest(command)
        }
        cursor.batchSize = batchSize
        return cursor
    }

    /// How many documents match, counted exactly.
    public func countDocuments(_ filter: Document = [:], session: ClientSession? = nil) async throws -> Int {
        let cursor = try await aggregate(
            [["$match": .document(filter)], ["$group": ["_id": 1, "n": ["$sum": 1]]]], session: session)
        return try await cursor.next()?["n"]?.asInteger.map { Int(clamping: $0) } ?? 0
    }

    /// The different values of a field among the documents that match.
    public func distinct(
        _ field: String, _ filter: Document = [:], session: ClientSession? = nil
    ) async throws -> [Value] {
        try await client.withSession(session) { session in
            let command: Document = ["distinct": .string(name), "key": .string(field), "query": .document(filter)]
            return try await client.execute(readRequest(command), session: session).reply["values"]?.asArray ?? []
        }
    }
}
