import BSON
import Core
import Frontend
import Query
import Sharding

/// A view over a sharded collection. The shard that knows the view has a part of its documents only, and says what it
/// is made of: the router reads that.
struct ShardedView {
    private let source: Namespace
    private let stages: [Document]

    /// Nil for another error than that of a shard that was asked to read such a view.
    init?(_ error: ServerError) {
        guard error.code == .commandOnShardedView, let view = error.details?["resolvedView"]?.asDocument,
            let source = view["ns"]?.asString.flatMap({ Namespace(fullName: $0) }),
            let stages = view["pipeline"]?.asArray?.compactMap(\.asDocument)
        else { return nil }
        self.source = source
        self.stages = stages
    }

    /// Carries out the command on the view.
    func read(_ context: RouterContext, as namespace: Namespace) async throws(ServerError) {
        switch KeyView(context.command.name) {
        case "find":
            let cursor = try await open(context, stages(try ViewRead.find(context.body)))
            let size = context.body["batchSize"]?.coercedInteger.map { Int(clamping: max($0, 0)) }
            try await context.answer(
                from: cursor, firstBatch: size ?? Limits.cursorFirstBatchDefault,
                isSingle: context.body["singleBatch"]?.isTruthy ?? false, namespace)
        case "aggregate":
            let cursor = try await open(context, try AggregateRouting.stages(context.body))
            let size = context.body["cursor"]?.asDocument?["batchSize"]?.coercedInteger
            try await context.answer(
                from: cursor, firstBatch: size.map { Int(clamping: max($0, 0)) } ?? Limits.cursorFirstBatchDefault,
                namespace)
        case "count":
            let result = try await first(context, stages(ViewRead.count(context.body)))
            context.writer.append("n" as String, result?["count"] ?? 0)
        case "distinct":
            guard let key = context.body["key"]?.asString else {
                throw ServerError(.missingField, "BSON field 'distinct.key' is missing but a required field")
            }
            let unwound: Document = [
                "$unwind": ["path": .string("$" + key), "preserveNullAndEmptyArrays": true]
            ]
            let result = try await first(
                context,
                stages(ViewRead.distinct(context.body)) + [
                    unwound, ["$group": ["_id": nil, "values": ["$addToSet": .string("$" + key)]]],
                ])
            context.writer.append("values" as String, result?["values"] ?? .array([]))
        default:
            throw ServerError(
                .commandNotSupportedOnView,
                "\(context.command.name) is not supported on \(namespace), a view of a sharded collection")
        }
    }

    private func stages(_ pipeline: Document) -> [Document] { pipeline.values.compactMap(\.asDocument) }

    private func open(_ context: RouterContext, _ more: [Document]) async throws(ServerError) -> MergingCursor {
        try await AggregateRouting.open(context, source, stages + more)
    }

    private func first(_ context: RouterContext, _ more: [Document]) async throws(ServerError) -> Document? {
        let cursor = try await open(context, more)
        let batch = try await cursor.next(context, documentsMax: 1)
        cursor.close()
        guard batch.documents.count > 0 else { return nil }
        return DocumentView(base: UnsafeRawPointer(batch.documents.base)).document
    }
}
