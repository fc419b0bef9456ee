import BSON
import Core
import Frontend
import Query
import Sharding

/// `count` and `distinct` on a sharded collection.
enum CountRouting {
    static func count(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let targets = try context.targets(context.body["query"]?.asDocument, in: collection)
        guard targets.count > 1 else {
            return try await context.forwardWhole(to: targets.first ?? collection.anyTarget, .read)
        }
        context.router.counters.scattered += 1
        let skip = max(context.body["skip"]?.coercedInteger ?? 0, 0)
        let limit = context.body["limit"]?.coercedInteger ?? 0
        let (sum, overflow) = limit.magnitude.addingReportingOverflow(skip.magnitude)
        let command = Document { writer in
            for field in context.body {
                switch field.key {
                case "skip", "limit", "$clusterTime": continue
                default: writer.append(field.key, field.value)
                }
            }
            if limit != 0, !overflow { writer.append("limit", int64: Int64(clamping: sum)) }
        }
        let replies = try await context.ask(targets) { _ in command }
        var n: Int64 = 0
        for (_, reply) in replies { n += reply.body.withView { $0["n"]?.asInteger ?? 0 } }
        n = max(0, n - skip)
        if limit != 0 { n = min(n, Int64(clamping: limit.magnitude)) }
        if let narrow = Int32(exactly: n) {
            context.writer.append("n", int32: narrow)
        } else {
            context.writer.append("n", int64: n)
        }
    }

    static func distinct(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let targets = try context.targets(context.body["query"]?.asDocument, in: collection)
        guard targets.count > 1 else {
            return try await context.forwardWhole(to: targets.first ?? collection.anyTarget, .read)
        }
        context.router.counters.scattered += 1
        let command = Document { writer in
            for field in context.body where !(field.key == "$clusterTime") { writer.append(field.key, field.value) }
        }
        let replies = try await context.ask(targets) { _ in command }
        // Encoded, equal values are equal bytes, and bytes are in the order of values.
        var values: [[UInt8]: Value] = [:]
        let key = ByteBuffer(capacity: 64)
        for (_, reply) in replies {
            reply.body.withView { view in
                for element in view["values"]?.asArray ?? .empty {
                    key.removeAll(keeping: 1 << 16)
                    IndexKey.append(element.value, to: key)
                    let bytes = key.toArray()
                    if values[bytes] == nil { values[bytes] = Value(element.value) }
                }
            }
        }
        let sorted = values.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        context.writer.array("values") { array in for (_, value) in sorted { array.append(value) } }
    }
}

extension RouterContext {
    /// Passes the whole command on to one shard of a sharded collection.
    func forwardWhole(
        to target: ShardTarget, _ access: ServerSelection.Operation
    ) async throws(ServerError) {
        router.counters.targeted += 1
        let set = try await catalog.shard(target.shard)
        let reply = try await send(try forwarded(versions(target), access: access), to: set)
        try relay(reply) { id throws(ServerError) in
            try keepCursor(RemoteCursor(id, of: set, reply.endpoint, router))
        }
    }

    /// Asks several shards at the same time.
    /// - Throws: the first error that one of them answers with.
    func ask(
        _ targets: [ShardTarget], _ access: ServerSelection.Operation = .read,
        _ command: @escaping (ShardTarget) -> Document
    ) async throws(ServerError) -> [(ShardTarget, RemoteReply)] {
        try await atOnce(targets) { [self] target throws(ServerError) in
            let request = try forwarded(
                versions(target), access: access, body: command(target), keepsSequences: false)
            let reply = try await send(request, to: target.shard).checked()
            note(reply)
            return (target, reply)
        }
    }
}
