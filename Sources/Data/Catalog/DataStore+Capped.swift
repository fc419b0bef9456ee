import BSON
public import Core
import Query

extension DataStore {
    /// Makes a collection capped: one step and one entry, after which it has its `_id` index alone, as in MongoDB. The
    /// documents that are too many are still there: `trimToSize` deletes them.
    public func convertToCapped(
        _ namespace: Namespace, _ capped: CollectionOptions.Capped, _ context: WriteContext
    ) throws -> Collection {
        try namespace.checkUserWritable()
        guard let collection = catalog.find(namespace) else {
            try checkNoView(namespace)
            throw ServerError(.namespaceNotFound, "source collection \(namespace) does not exist")
        }
        try abortIndexBuilds(of: collection, "collection made capped", context)
        try step { step in
            _ = try optime(step, collection.kind, context)
            try logCommand(namespace.database, collection.uuid, collection.kind, step, context) { o in
                o.append("convertToCapped", string: namespace.collection)
                o.append("size", int64: capped.size)
            }
            try convertToCapped(collection, capped, step)
        }
        return collection
    }

    /// Makes a collection capped at the step's optime.
    func convertToCapped(
        _ collection: Collection, _ capped: CollectionOptions.Capped, _ step: WriteStep
    ) throws {
        restoreDefinition(of: collection, afterRewindOf: step)
        let tables = collection.indexes.dropFirst().map { $0.table }
        collection.options.capped = capped
        collection.indexes = [collection.idIndex]
        try catalog.put(collection, step)
        if !tables.isEmpty { try dropTables(tables, of: collection, step) }
        collection.generation += 1
    }

    /// Deletes the oldest documents of a capped collection, in slices, until it keeps its size.
    public func trimToSize(_ collection: Collection, _ context: WriteContext, until deadline: Instant) throws
        -> WriteProgress
    {
        while !collection.isDropped, try !trimCapped(collection, context, most: 16) {
            if runtime.now >= deadline || endsSlice(context, deadline) { return .yield }
        }
        return .done
    }
}

/// The copy of a collection into a new capped one, on its way: the newest documents that it has room for, in their
/// order.
public final class CappedCopy {
    private let store: DataStore
    private let source: Collection
    private let target: Namespace
    private var position: UInt64? = 0
    /// Bytes of the oldest documents, for which there is no room.
    private var skipped: Int
    /// What was read and is not written yet, the next one last.
    private var batch: [Document] = []

    /// Creates the target.
    /// - Throws: `NamespaceNotFound`, `NamespaceExists`.
    public init(
        _ store: DataStore, from: Namespace, to: Namespace, _ capped: CollectionOptions.Capped, _ context: WriteContext
    ) throws {
        guard let source = store.catalog.find(from) else {
            try store.checkNoView(from)
            throw ServerError(.namespaceNotFound, "source collection \(from) does not exist")
        }
        guard store.catalog.find(to) == nil else {
            throw ServerError(
                .namespaceExists, "cloneCollectionAsCapped failed - destination collection \(to) already exists")
        }
        let command: Document = ["create": .string(to.collection), "capped": true, "size": .int64(capped.size)]
        _ = try command.withView { try store.createCollection(to, $0, context) }
        self.store = store
        self.source = source
        target = to
        skipped = max(source.dataBytes - Int(clamping: capped.size), 0)
    }

    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        var context = context
        context.keepsEmptyTimestamps = true
        context.bypassesValidation = true
        while position != nil || !batch.isEmpty {
            guard !source.isDropped, let target = store.catalog.find(target) else {
                throw ServerError(.queryPlanKilled, "a collection was dropped while it was copied")
            }
            if batch.isEmpty, let after = position {
                position = try store.readRecords(
                    of: source, after: after, limit: Limits.ttlRowsPerBatch, bytesMax: Limits.cloneBatchBytes
                ) { document in
                    if skipped > 0 { skipped -= document.byteCount } else { batch.append(document.document) }
                }
                batch.reverse()
            }
            while let document = batch.last {
                _ = try document.withView { try store.insertOne($0, into: target, context) }
                batch.removeLast()
            }
            if position != nil, store.runtime.now >= deadline || store.endsSlice(context, deadline) { return .yield }
        }
        return .done
    }
}
