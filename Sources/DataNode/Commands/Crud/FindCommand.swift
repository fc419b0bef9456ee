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
        try context.checkReadable()
        let concern = try context.readConcern()
        if let point = try context.node.role.readPoint(concern), concern.level != .linearizable {
            // What is not in memory is waited for by a cursor.
            do {
                if case .latest = point, try answerByID(context) { return .done }
            } catch is StorageNotResident {}
            let cursor = try open(context, point)
            let shown = concern.level == .snapshot ? point : .latest
            if try Batches.fillFirst(context, cursor, point: shown) { return .done }
            // Began, but is long: the task goes on with the same cursor.
            return .later { try await Batches.sendFirst(context, cursor, point: point, concern) }
        }
        return .later {
            let point = try await context.awaitReadPoint(concern)
            try context.checkReadable()
            let cursor = try open(context, point)
            try await Batches.sendFirst(context, cursor, point: point, concern)
        }
    }

    private static func open(_ context: CommandContext, _ point: ReadPoint) throws -> FindCursor {
        let namespace = try context.namespace()
        let query = context.queryContext()
        let request = try FindRequest(namespace, context.body, context: query)
        let data = context.node.data
        if try data.catalog.find(namespace, at: point) == nil, try data.view(namespace, at: point) != nil {
            let cursor = try ViewRead.find(context.body).withView {
                try AggregateCursor(
                    data, namespace, pipeline: $0, hint: context.body["hint"], context: query, at: point)
            }
            return FindCursor(
                source: cursor, namespace: namespace, batchSize: request.batchSize,
                isSingleBatch: request.isSingleBatch)
        }
        let cursor = try QueryCursor(context.node.data, request, at: point)
        return FindCursor(
            source: cursor, namespace: namespace, batchSize: request.batchSize, isSingleBatch: request.isSingleBatch,
            isTailable: request.isTailable, awaitsData: request.isAwaitData)
    }

    // MARK: The point read

    /// Answers `{find, filter: {_id: value}}` straight from the `_id` index, when that is all there is to it.
    private static func answerByID(_ context: CommandContext) throws -> Bool {
        guard let id = plainID(context.body), let collection = context.existingCollection(),
            !collection.namespace.isOplog
        else { return false }
        let data = context.node.data
        let document = try data.findOneByID(collection, id)
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

    /// The `_id` that a command asks for; nil when it asks for anything beside.
    private static func plainID(_ body: DocumentView) -> ValueView? {
        var id: ValueView?
        for element in body.dropFirst() {
            switch element.key {
            case "filter":
                guard let filter = element.value.asDocument, let first = filter.first, first.key == "_id",
                    filter.byteCount == 4 + 1 + 4 + first.value.byteCount + 1
                else { return nil }
                switch first.value.type {
                case .document, .array, .regex, .null, .undefined: return nil
                default: id = first.value
                }
            case "limit", "singleBatch": continue
            case "batchSize": if element.value.asInteger == 0 { return nil }
            default: if !GenericArguments.isGeneric(element.key) { return nil }
            }
        }
        return id
    }
}

/// A query that is being answered for the first time.
final class FindCursor {
    let source: any BatchSource
    let namespace: Namespace
    let batchSize: Int?
    let isSingleBatch: Bool
    let isTailable: Bool
    let awaitsData: Bool
    /// Each batch is confirmed by a majority before it is sent.
    var isLinearizable = false
    /// The batch that a slice has left unfinished.
    var partial: Batch?

    init(
        source: any BatchSource, namespace: Namespace, batchSize: Int?, isSingleBatch: Bool = false,
        isTailable: Bool = false, awaitsData: Bool = false
    ) {
        self.source = source
        self.namespace = namespace
        self.batchSize = batchSize
        self.isSingleBatch = isSingleBatch
        self.isTailable = isTailable
        self.awaitsData = awaitsData
    }

    var firstBatchSize: Int { batchSize ?? Limits.cursorFirstBatchDefault }
}
