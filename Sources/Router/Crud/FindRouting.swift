import BSON
import Core
import Frontend
import Query
import Sharding

/// `find` on a sharded collection.
enum FindRouting {
    static func run(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let targets = try context.targets(
            context.body["filter"]?.asDocument, in: collection, variables: context.variables)
        guard targets.count > 1 else {
            return try await pass(context, to: targets.first ?? collection.anyTarget)
        }
        let shape = try Shape(context.body)
        let streams = try await open(context, collection, targets, shape)
        let cursor = MergedCursor(streams, isSorted: shape.isSorted, skip: shape.skip, limit: shape.limit)
        try await context.answer(
            from: cursor, firstBatch: shape.batchSize, isSingle: shape.isSingleBatch, collection.namespace)
    }

    /// One shard has all that can match.
    private static func pass(_ context: RouterContext, to target: ShardTarget) async throws(ServerError) {
        context.router.counters.targeted += 1
        let set = try await context.catalog.shard(target.shard)
        let request = try context.forwarded(context.versions(target), access: .read)
        let reply = try await context.send(request, to: set)
        try context.relay(reply) { id throws(ServerError) in
            try context.keepCursor(
                RemoteCursor(id, of: set, reply.endpoint, context.router),
                awaitsData: context.body["awaitData"]?.isTruthy ?? false)
        }
    }

    /// Opens a cursor at each shard.
    private static func open(
        _ context: RouterContext, _ collection: RoutedCollection, _ targets: [ShardTarget], _ shape: Shape
    ) async throws(ServerError) -> [ShardStream] {
        context.router.counters.scattered += 1
        let command = shape.command(for: context)
        return try await context.openStreams(targets, collection.namespace, hasKeys: shape.isSorted) { _ in command }
    }

    /// What of a `find` the router does itself when several shards answer.
    struct Shape {
        var isSorted = false
        var skip: Int64 = 0
        var limit: Int64 = 0
        var batchSize = Limits.cursorFirstBatchDefault
        var isSingleBatch = false

        init(_ body: DocumentView) throws(ServerError) {
            if let sort = body["sort"]?.asDocument, !sort.isEmpty {
                let pattern = try SortPattern(sort)
                isSorted = !pattern.isEmpty
            }
            skip = max(body["skip"]?.coercedInteger ?? 0, 0)
            limit = max(body["limit"]?.coercedInteger ?? 0, 0)
            if let size = body["batchSize"]?.coercedInteger { batchSize = Int(clamping: max(size, 0)) }
            isSingleBatch = body["singleBatch"]?.isTruthy ?? false
            if body["tailable"]?.isTruthy == true {
                throw ServerError(
                    .badValue, "tailable cursors are for capped collections, and a sharded collection is none")
            }
        }

        /// How many documents of each shard are wanted; 0 for all.
        var limitOfEach: Int64 {
            guard limit > 0 else { return 0 }
            let (sum, overflow) = limit.addingReportingOverflow(skip)
            return overflow ? 0 : sum
        }

        /// The command for each shard: skipping is for the merge, and more than everything skipped and taken is not
        /// wanted of anybody.
        func command(for context: RouterContext) -> Document {
            Document { writer in
                for field in context.body {
                    switch field.key {
                    case "skip", "limit", "singleBatch", "$clusterTime": continue
                    case "batchSize": continue
                    default: writer.append(field.key, field.value)
                    }
                }
                if limitOfEach > 0 { writer.append("limit", int64: limitOfEach) }
                let wanted = batchSize == 0 ? 1 : min(Int64(batchSize), .max - skip) + min(skip, 10_000)
                writer.append("batchSize", int64: limitOfEach > 0 ? min(limitOfEach, wanted) : wanted)
                if isSorted { writer.append("sortKeys", bool: true) }
            }
        }
    }
}

extension RouterContext {
    /// Opens a cursor at each of some shards at the same time. When one refuses, those of the others are closed.
    func openStreams(
        _ targets: [ShardTarget], _ namespace: Namespace, hasKeys: Bool,
        _ command: @escaping (ShardTarget) -> Document
    ) async throws(ServerError) -> [ShardStream] {
        let results = await eachAtOnce(targets) { [self] target throws(ServerError) in
            let set = try await catalog.shard(target.shard)
            let request = try forwarded(
                versions(target), access: .read, body: command(target), keepsSequences: false)
            let reply = try await send(request, to: set).checked()
            note(reply)
            return try ShardStream(reply, of: set, namespace, hasKeys: hasKeys)
        }
        var streams: [ShardStream] = []
        var failure: ServerError?
        for result in results {
            switch result {
            case .success(let stream): streams.append(stream)
            case .failure(let error): failure = failure ?? error
            }
        }
        if let failure {
            for stream in streams { stream.close() }
            throw failure
        }
        return streams
    }

    /// Answers with a cursor's first batch, and keeps the cursor when there is more.
    func answer(
        from cursor: any RouterCursor, firstBatch size: Int, isSingle: Bool = false, _ namespace: Namespace
    ) async throws(ServerError) {
        let batch: RouterBatch
        do throws(ServerError) {
            batch = try await cursor.next(self, documentsMax: size)
        } catch {
            cursor.close()
            throw error
        }
        var id: Int64 = 0
        if isSingle { cursor.close() } else if !batch.isLast { id = try keepCursor(cursor) }
        writer.append(batch, as: "firstBatch", id: id, namespace.fullName)
    }
}
