import BSON
import Core
import Frontend
import Sharding

/// Definitions of a sharded collection: each shard that has a part of it keeps them.
enum ShardedDefinitions {
    /// The collection is there already, unless another router has dropped it.
    static func create(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        context.catalog.forget(collection.namespace)
        guard try await context.catalog.placement(of: collection.namespace) != nil else { throw outdated(collection) }
        throw ServerError(.namespaceExists, "Collection \(collection.namespace) already exists.")
    }

    /// `drop`: a matter of the config servers, which have all shards drop it.
    static func drop(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let command = Document { writer in
            writer.append("_configsvrDropCollection", int32: 1)
            writer.append("ns", string: collection.namespace.fullName)
            writer.append("$db", string: "admin")
        }
        let request = try context.forwarded(RoutedRequest(), access: .write, body: command, keepsSequences: false)
        let reply = try await context.send(request, to: context.catalog.config).checked()
        context.catalog.forget(collection.namespace)
        context.note(reply)
        // Another router has dropped it meanwhile, and one of that name may be there that is not sharded.
        guard reply.body.withView({ $0["ns"] != nil }) else { throw outdated(collection) }
        context.writer.append("ns", string: collection.namespace.fullName)
    }

    /// Has the command routed anew: what this router knew of the collection is not so any more.
    private static func outdated(_ collection: RoutedCollection) -> ServerError {
        let target = collection.anyTarget
        return StaleConfigInfo(
            collection.namespace, received: target.version, wanted: nil, shard: target.shard
        ).error
    }

    /// Indexes and options are changed at every shard that has chunks.
    static func change(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let kept = context.command.name.isDropIndexes ? try await keepKeyIndex(context, collection) : nil
        let command = Document { writer in
            for field in context.body where !(field.key == "$clusterTime") {
                if let kept, field.key == "index" {
                    writer.append("index" as String, kept)
                } else {
                    writer.append(field.key, field.value)
                }
            }
        }
        let replies = try await context.ask(collection.owners, .write) { _ in command }
        context.writer.document("raw") { raw in
            for (target, reply) in replies {
                raw.document(target.shard.name) { inner in
                    reply.body.withView { view in
                        for field in view where !RouterContext.isGossip(field.key) {
                            inner.append(field.key, field.value)
                        }
                    }
                }
            }
        }
        // What one of them says holds for all.
        guard let first = replies.first?.1 else { return }
        first.body.withView { view in
            for field in view where !RouterContext.isGossip(field.key) && !(field.key == "ok") {
                context.writer.append(field.key, field.value)
            }
        }
    }

    /// The index that the shard key needs stays.
    /// - Returns: the names of the others, where all are to be dropped.
    /// - Throws: `CannotDropShardKeyIndex`.
    private static func keepKeyIndex(
        _ context: RouterContext, _ collection: RoutedCollection
    ) async throws(ServerError) -> Value? {
        guard let needed = collection.space.supportingIndex, let index = context.body["index"].map({ Value($0) }) else {
            return nil
        }
        let refusal = ServerError(
            .cannotDropShardKeyIndex,
            "cannot drop the index of the shard key of \(collection.namespace): \(needed.extendedJSON())")
        if let key = index.asDocument {
            if key == needed { throw refusal }
            return nil
        }
        let command = Document { writer in
            writer.append("listIndexes", string: collection.namespace.collection)
            writer.append("cursor", ["batchSize": 1000] as Document)
            context.appendCommon(to: writer)
        }
        let reply = try await context.ask([collection.anyTarget]) { _ in command }
        let batch = reply.first?.1.body["cursor"]?.asDocument?["firstBatch"]?.asArray ?? []
        let indexes = batch.compactMap(\.asDocument).compactMap { index in
            index["name"]?.asString.map { (name: $0, key: index["key"]?.asDocument ?? Document()) }
        }
        let keeping = indexes.filter { $0.key == needed }.map(\.name)
        let wanted = index.asString.map { [$0] } ?? index.asArray?.compactMap(\.asString) ?? []
        if wanted == ["*"] {
            return .array(indexes.map(\.name).filter { $0 != "_id_" && !keeping.contains($0) }.map { .string($0) })
        }
        if wanted.contains(where: { keeping.contains($0) }) { throw refusal }
        return nil
    }

    /// `listIndexes`: those of any shard that has chunks.
    static func listIndexes(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        try await context.forwardWhole(to: collection.anyTarget, .read)
    }
}

extension StaticString {
    fileprivate var isDropIndexes: Bool { KeyView(self) == "dropIndexes" }
}
