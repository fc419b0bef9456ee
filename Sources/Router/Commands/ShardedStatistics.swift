import BSON
import Core
import Frontend
import Sharding

/// `collStats`, `dbStats` and `validate` over several shards: sums, and what each shard says.
enum ShardedStatistics {
    static func collStats(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let replies = try await whole(context, collection)
        let writer = context.writer
        writer.append("sharded", bool: true)
        writer.append("capped", bool: false)
        append(
            sums: ["size", "count", "numOrphanDocs", "storageSize", "totalIndexSize", "totalSize"], replies, to: writer)
        let count = sum("count", replies)
        writer.append("avgObjSize", double: count == 0 ? 0 : Double(sum("size", replies)) / Double(count))
        writer.append("ns", string: collection.namespace.fullName)
        if let first = replies.first?.1 {
            first.body.withView { view in
                for name in ["nindexes", "scaleFactor"] { if let value = view[name] { writer.append(name, value) } }
            }
        }
        var indexes: [String: Int64] = [:]
        for (_, reply) in replies {
            reply.body.withView { view in
                for field in view["indexSizes"]?.asDocument ?? .empty {
                    indexes[field.key.string, default: 0] += field.value.asInteger ?? 0
                }
            }
        }
        writer.document("indexSizes") { inner in
            for (name, size) in indexes.sorted(by: { $0.key < $1.key }) { inner.append(name, .int64(size)) }
        }
        writer.append("nchunks", int32: Int32(clamping: collection.table.count))
        append(replies.map { ($0.0.shard, $0.1) }, as: "shards", to: writer)
    }

    static func validate(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let replies = try await whole(context, collection)
        let writer = context.writer
        writer.append("ns", string: collection.namespace.fullName)
        append(sums: ["nrecords", "nInvalidDocuments"], replies, to: writer)
        let isValid = replies.allSatisfy { _, reply in reply.body.withView { $0["valid"]?.isTruthy ?? false } }
        writer.append("valid", bool: isValid)
        append(replies.map { ($0.0.shard, $0.1) }, as: "raw", to: writer)
    }

    /// `dbStats`: what all shards have of the database.
    static func dbStats(_ context: RouterContext) async throws(ServerError) {
        context.count()
        guard !["admin", "config"].contains(context.database) else {
            return try await context.forwardWhole(to: .config, .read)
        }
        let command = Document { writer in
            for field in context.body where !(field.key == "$clusterTime") { writer.append(field.key, field.value) }
        }
        let replies = try await context.atOnce(try await context.catalog.allShards()) { shard throws(ServerError) in
            let reply = try await context.send(
                try context.forwarded(RoutedRequest(), access: .read, body: command), to: shard
            ).checked()
            context.note(reply)
            return (ShardTarget(shard: shard, version: .unsharded, ranges: []), reply)
        }
        let writer = context.writer
        append(replies.map { ($0.0.shard, $0.1) }, as: "raw", to: writer)
        writer.append("db", string: context.database)
        append(
            sums: [
                "collections", "views", "objects", "dataSize", "storageSize", "indexes", "indexSize", "totalSize",
            ], replies, to: writer)
        let objects = sum("objects", replies)
        writer.append("avgObjSize", double: objects == 0 ? 0 : Double(sum("dataSize", replies)) / Double(objects))
        if let factor = replies.first?.1.body["scaleFactor"] { writer.append("scaleFactor", factor) }
    }

    private static func whole(
        _ context: RouterContext, _ collection: RoutedCollection
    ) async throws(ServerError) -> [(ShardTarget, RemoteReply)] {
        let command = Document { writer in
            for field in context.body where !(field.key == "$clusterTime") { writer.append(field.key, field.value) }
        }
        return try await context.ask(collection.owners) { _ in command }
    }

    private static func sum(_ name: String, _ replies: [(ShardTarget, RemoteReply)]) -> Int64 {
        replies.reduce(0) { $0 &+ Int64(clampingDouble: $1.1.body[name]?.asNumber ?? 0) }
    }

    private static func append(
        sums names: [String], _ replies: [(ShardTarget, RemoteReply)], to writer: DocumentWriter
    ) {
        for name in names where replies.contains(where: { $0.1.body[name] != nil }) {
            writer.append(name, .int64(sum(name, replies)))
        }
    }

    private static func append(
        _ replies: [(ShardID, RemoteReply)], as name: StaticString, to writer: DocumentWriter
    ) {
        writer.document(name) { all in
            for (shard, reply) in replies {
                all.document(shard.name) { inner in
                    reply.body.withView { view in
                        for field in view where !RouterContext.isGossip(field.key) {
                            inner.append(field.key, field.value)
                        }
                    }
                }
            }
        }
    }
}
