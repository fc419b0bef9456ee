internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Wire

/// `find`: the first batch of a query, and a cursor for the rest.
enum FindCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "find", [.read, .snapshotRead, .readConcern, .stable], .find, help: "documents that match a filter",
                run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.query += 1
        let gate = try ReadGate(context)
        do {
            if gate.isLatest, try answerByID(context) { return .done }
        } catch is StorageNotResident {
            // What is not in memory is waited for by a cursor.
        }
        return try gate.run { try open(context, $0, gate.concern) }
    }

    private static func open(_ context: CommandContext, _ point: ReadPoint, _ concern: ReadConcern) throws -> FirstBatch
    {
        let namespace = try context.namespace()
        let query = context.queryContext()
        let request = try FindRequest(namespace, context.body, context: query)
        let data = context.node.data
        if try data.catalog.find(namespace, at: point) == nil, try data.view(namespace, at: point) != nil {
            let cursor = try ViewRead.find(context.body).withView {
                try AggregateCursor(
                    data, namespace, pipeline: $0, hint: context.body["hint"], context: query, at: point)
            }
            return FirstBatch(
                context, of: cursor, namespace, size: request.batchSize, isSingleBatch: request.isSingleBatch, concern)
        }
        let cursor = try QueryCursor(data, request, at: point)
        if context.body["sortKeys"]?.isTruthy == true {
            do { try gatherSortKeys(context, cursor) } catch {
                cursor.close()
                throw error
            }
        }
        return FirstBatch(
            context, of: cursor, namespace, size: request.batchSize, isSingleBatch: request.isSingleBatch,
            isTailable: request.isTailable, awaitsData: request.isAwaitData, concern)
    }

    /// A router merges by them.
    private static func gatherSortKeys(_ context: CommandContext, _ cursor: QueryCursor) throws(ServerError) {
        guard context.connection.peer != nil else {
            throw ServerError(.unauthorized, "sortKeys is for the routers of a sharded cluster")
        }
        try cursor.gatherSortKeys()
    }

    // MARK: The point read

    /// Answers `{find, filter: {_id: value}}` straight from the `_id` index, when that is all there is to it.
    private static func answerByID(_ context: CommandContext) throws -> Bool {
        guard let id = plainID(context), let collection = context.existingCollection(),
            !collection.namespace.isOplog
        else { return false }
        let data = context.node.data
        let document = try data.findShownByID(collection, id)
        collection.noteIDLookup()
        if document != nil { data.work.returned &+= 1 }
        data.noteIDLookup(isFound: document != nil)
        context.writer.document("cursor") { cursor in
            cursor.array("firstBatch") { if let document { $0.append(document) } }
            cursor.append("id", int64: 0)
            cursor.append("ns", utf8: collection.namespaceBytes)
        }
        return true
    }

    /// The fields of a command that may ask for one `_id`, and for nothing beside.
    private static let plainMarks = FieldTable.find.marks(of: "filter", "limit", "singleBatch", "batchSize")
    private static let batchSizeMark = FieldTable.find.mark(of: "batchSize")

    /// The `_id` that a command asks for; nil when it asks for anything beside.
    private static func plainID(_ context: CommandContext) -> ValueView? {
        let given = context.arguments.given
        guard given.isWithin(plainMarks), let filter = context.body["filter"]?.asDocument,
            let first = filter.first, first.key == "_id", filter.byteCount == 4 + 1 + 4 + first.value.byteCount + 1
        else { return nil }
        switch first.value.rawType {
        case BSONType.document.rawValue, BSONType.array.rawValue, BSONType.regex.rawValue, BSONType.null.rawValue,
            BSONType.undefined.rawValue:
            return nil
        default:
            return given.contains(batchSizeMark) && context.body["batchSize"]?.asInteger == 0 ? nil : first.value
        }
    }
}
