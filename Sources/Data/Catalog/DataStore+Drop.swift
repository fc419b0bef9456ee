public import BSON
public import Core

extension DataStore {
    /// Drops a collection with its indexes; false when there is none. Its data stays, hidden, until the drop is
    /// majority-committed and no read in the past can see it (`onCommitPoint`); a standalone gives it back at once.
    @discardableResult
    public func dropCollection(_ namespace: Namespace, _ context: WriteContext) throws -> Bool {
        guard let collection = catalog.find(namespace) else { return false }
        if namespace.isOplog || (namespace.isSystem && !namespace.isLocal && namespace.collection != "system.js") {
            throw ServerError(.illegalOperation, "can't drop system collection \(namespace)")
        }
        try abortIndexBuilds(of: collection, "collection dropped", context)
        let optime = try optime(of: collection.kind, context)
        let count = collection.count
        let entry = commandEntry(namespace.database, collection.uuid, optime, context, collection.kind) { o2 in
            o2.append("numRecords", int64: Int64(count))
        } o: { o in
            o.append("drop", string: namespace.collection)
        }
        try drop(collection, at: optime, entry: entry)
        return true
    }

    /// Drops all collections of a database and then the database; one step each.
    public func dropDatabase(_ name: String, _ context: WriteContext) throws {
        guard name != "local", name != "admin", name != "config" else {
            throw ServerError(.illegalOperation, "Dropping the '\(name)' database is prohibited.")
        }
        let collections = catalog.collections(in: name)
        guard !collections.isEmpty else { return }
        for collection in collections { try dropCollection(collection.namespace, context) }
        let optime = try nextOpTime(context)
        let entry = commandEntry(name, nil, optime, context, .replicated) { $0.append("dropDatabase", int32: 1) }
        try catalogStep(at: optime, entry: entry) {}
        onDatabaseDropped?(name)
    }

    /// Drops a collection at a known optime.
    func drop(_ collection: Collection, at optime: OpTime?, entry: UnsafeRawBufferPointer?) throws {
        let tables = [collection.table] + collection.indexes.map { $0.table }
        try catalogStep(at: optime, entry: entry) {
            try catalog.delete(collection)
            try dropTables(tables, collection: collection, at: optime)
        }
        tablesDropped(tables, collection: collection, at: optime)
        catalog.remove(collection)
        collection.isDropped = true
        indexBuilds.removeAll { $0.collection === collection }
    }

    /// Drops tables in the open batch: at once where no rollback can come, else in two phases. `collection` when it
    /// goes as a whole.
    func dropTables(_ tables: [TableID], collection: Collection?, at optime: OpTime?) throws {
        guard let optime, versions.keepsHistory else {
            for table in tables { versions.dropTable(table, .local) }
            return
        }
        try catalog.putPendingDrop(Catalog.PendingDrop(optime: optime, tables: tables, collection: collection))
    }

    /// Remembers dropped tables in memory, once the batch is committed. `collection` when it went as a whole.
    func tablesDropped(_ tables: [TableID], collection: Collection?, at optime: OpTime?) {
        guard let optime, versions.keepsHistory else { return }
        catalog.addPendingDrop(Catalog.PendingDrop(optime: optime, tables: tables, collection: collection))
    }

    /// Renames a collection, over another one of that name when `dropTarget` says so.
    public func renameCollection(
        _ from: Namespace, to: Namespace, dropTarget: Bool, _ context: WriteContext
    ) throws {
        guard let collection = catalog.find(from) else {
            throw ServerError(.namespaceNotFound, "Source collection \(from) does not exist")
        }
        if from == to { throw ServerError(.illegalOperation, "Can't rename a collection to itself") }
        guard from.isLocal == to.isLocal, !from.isOplog, !to.isOplog, !from.isProfile else {
            throw ServerError(
                .illegalOperation, "Cannot rename \(from) to \(to): one of them alone is replicated, or the server's")
        }
        try to.checkUserWritable()
        let target = catalog.find(to)
        if target != nil, !dropTarget { throw ServerError(.namespaceExists, "target namespace exists") }
        try abortIndexBuilds(of: collection, "collection renamed", context)
        if let target { try abortIndexBuilds(of: target, "collection dropped", context) }
        let optime = try optime(of: collection.kind, context)
        let entry = commandEntry(from.database, collection.uuid, optime, context, collection.kind) { o2 in
            if let target { o2.append("numRecords", int64: Int64(target.count)) }
        } o: { o in
            o.append("renameCollection", string: from.fullName)
            o.append("to", string: to.fullName)
            o.append("stayTemp", bool: false)
            if let target { o.append("dropTarget", target.uuid) }
        }
        try rename(collection, to: to, over: target, at: optime, entry: entry)
    }

    /// Renames at a known optime.
    func rename(
        _ collection: Collection, to: Namespace, over target: Collection?, at optime: OpTime?,
        entry: UnsafeRawBufferPointer?
    ) throws {
        let from = collection.namespace
        let since = collection.namedSince
        let tables = target.map { [$0.table] + $0.indexes.map { $0.table } } ?? []
        // The record is written under the new name, so the name in memory changes first, and back when the step fails.
        let formerNames = collection.formerNames
        if optime != nil, versions.keepsHistory {
            collection.rememberName(readableFrom: versions.oldestReadable)
        }
        catalog.rename(collection, to: to, at: optime?.timestamp ?? .zero)
        do {
            try catalogStep(at: optime, entry: entry) {
                if let target {
                    try catalog.delete(target)
                    try dropTables(tables, collection: target, at: optime)
                }
                try catalog.put(collection)
            }
        } catch {
            catalog.rename(collection, to: from, at: since)
            collection.formerNames = formerNames
            throw error
        }
        collection.generation += 1
        if let target {
            tablesDropped(tables, collection: target, at: optime)
            catalog.remove(target)
            target.isDropped = true
        }
    }

    /// Changes options of a collection or an index: `validator`, `validationLevel`, `validationAction`, `index:
    /// {keyPattern or name, expireAfterSeconds, hidden, prepareUnique, unique}`, `cappedSize`, `cappedMax`. Returns
    /// what the reply shows beside `ok`. Before an index becomes unique, a `UniqueConversion` has looked at its keys.
    public func modifyCollection(_ namespace: Namespace, _ command: DocumentView, _ context: WriteContext) throws
        -> Document
    {
        guard let collection = catalog.find(namespace) else {
            throw ServerError(.namespaceNotFound, "ns does not exist: \(namespace)")
        }
        let change = try CollectionModification(command, collection)
        if change.isDryRun { return Document() }
        try change.checkValidator(collection)
        let optime = try optime(of: collection.kind, context)
        let entry = commandEntry(namespace.database, collection.uuid, optime, context, collection.kind) { o in
            o.append("collMod", string: namespace.collection)
            change.write(to: o)
        }
        try modify(collection, change, at: optime, entry: entry)
        return change.reply
    }

    /// Changes options at a known optime.
    func modify(
        _ collection: Collection, _ change: CollectionModification, at optime: OpTime?, entry: UnsafeRawBufferPointer?
    ) throws {
        let options = collection.options
        let indexes = collection.indexes
        try change.apply(to: collection)
        do {
            try catalogStep(at: optime, entry: entry) { try catalog.put(collection) }
        } catch {
            collection.options = options
            collection.indexes = indexes
            throw error
        }
        collection.generation += 1
    }
}
