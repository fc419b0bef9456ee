public import BSON
public import Core

extension DataStore {
    /// Drops a collection with its indexes; false when there is none. Its data stays, hidden, until the drop is
    /// majority-committed and no read in the past can see it (`onCommitPoint`); a standalone gives it back at once.
    @discardableResult
    public func dropCollection(_ namespace: Namespace, _ context: WriteContext) throws -> Bool {
        guard let collection = catalog.find(namespace) else { return false }
        let isOwn = namespace.collection == "system.js" || namespace == ViewDefinition.place(of: namespace.database)
        if namespace.isOplog || (namespace.isSystem && !namespace.isLocal && !isOwn) {
            throw ServerError(.illegalOperation, "can't drop system collection \(namespace)")
        }
        try abortIndexBuilds(of: collection, "collection dropped", context)
        let count = collection.count
        try step { step in
            _ = try optime(step, collection.kind, context)
            try logCommand(namespace.database, collection.uuid, collection.kind, step, context) { o2 in
                o2.append("numRecords", int64: Int64(count))
            } o: { o in
                o.append("drop", string: namespace.collection)
            }
            try drop(collection, step)
        }
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
        try step { step in
            _ = try optime(step, .replicated, context)
            try logCommand(name, nil, .replicated, step, context) { $0.append("dropDatabase", int32: 1) }
        }
        onDatabaseDropped?(name)
    }

    /// Drops a collection at the step's optime.
    func drop(_ collection: Collection, _ step: WriteStep) throws {
        let tables = [collection.table] + collection.indexes.map { $0.table }
        try catalog.delete(collection, step)
        try dropTables(tables, of: collection, isWhole: true, step)
        let builds = indexBuilds
        catalog.remove(collection)
        collection.isDropped = true
        indexBuilds.removeAll { $0.collection === collection }
        step.onRewind { [self] in
            catalog.add(collection)
            collection.isDropped = false
            indexBuilds = builds
        }
    }

    /// Drops tables: at once where no rollback can come, else in two phases. `isWhole` when the collection goes with
    /// them.
    func dropTables(_ tables: [TableID], of collection: Collection, isWhole: Bool = false, _ step: WriteStep) throws {
        guard collection.kind == .replicated, let optime = step.optime, versions.keepsHistory else {
            for table in tables { step.dropTable(table) }
            return
        }
        let drop = Catalog.PendingDrop(optime: optime, tables: tables, collection: isWhole ? collection : nil)
        try catalog.add(drop, step)
    }

    /// Renames a collection, over another one of that name when `dropTarget` says so.
    public func renameCollection(
        _ from: Namespace, to: Namespace, dropTarget: Bool, _ context: WriteContext
    ) throws {
        guard let collection = catalog.find(from) else {
            try checkNoView(from)
            throw ServerError(.namespaceNotFound, "Source collection \(from) does not exist")
        }
        if from == to { throw ServerError(.illegalOperation, "Can't rename a collection to itself") }
        guard from.isLocal == to.isLocal, !from.isOplog, !to.isOplog, !from.isProfile else {
            throw ServerError(
                .illegalOperation, "Cannot rename \(from) to \(to): one of them alone is replicated, or the server's")
        }
        try to.checkUserWritable()
        let target = catalog.find(to)
        guard try view(to) == nil else {
            throw ServerError(.namespaceExists, "a view already exists with that name: \(to)")
        }
        if target != nil, !dropTarget { throw ServerError(.namespaceExists, "target namespace exists") }
        try abortIndexBuilds(of: collection, "collection renamed", context)
        if let target { try abortIndexBuilds(of: target, "collection dropped", context) }
        try step { step in
            _ = try optime(step, collection.kind, context)
            try logCommand(from.database, collection.uuid, collection.kind, step, context) { o2 in
                if let target { o2.append("numRecords", int64: Int64(target.count)) }
            } o: { o in
                o.append("renameCollection", string: from.fullName)
                o.append("to", string: to.fullName)
                o.append("stayTemp", bool: false)
                if let target { o.append("dropTarget", target.uuid) }
            }
            try rename(collection, to: to, over: target, step)
        }
    }

    /// Renames at the step's optime.
    func rename(_ collection: Collection, to: Namespace, over target: Collection?, _ step: WriteStep) throws {
        if let target { try drop(target, step) }
        let optime = collection.kind == .local ? nil : step.optime
        let (from, since, formerNames) = (collection.namespace, collection.namedSince, collection.formerNames)
        step.onRewind { [catalog] in
            catalog.rename(collection, to: from, at: since)
            collection.formerNames = formerNames
        }
        if optime != nil, versions.keepsHistory {
            collection.rememberName(readableFrom: versions.oldestReadable)
        }
        catalog.rename(collection, to: to, at: optime?.timestamp ?? .zero)
        keepResident(collection)
        try catalog.put(collection, step)
        collection.generation += 1
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
        try step { step in
            _ = try optime(step, collection.kind, context)
            try logCommand(namespace.database, collection.uuid, collection.kind, step, context) { o in
                o.append("collMod", string: namespace.collection)
                change.write(to: o)
            }
            try modify(collection, change, step)
        }
        return change.reply
    }

    /// Changes options at the step's optime.
    func modify(_ collection: Collection, _ change: CollectionModification, _ step: WriteStep) throws {
        restoreDefinition(of: collection, afterRewindOf: step)
        try change.apply(to: collection)
        try catalog.put(collection, step)
        collection.generation += 1
    }

    /// Has options and indexes of a collection put back as they are now, should the step not come to its end.
    func restoreDefinition(of collection: Collection, afterRewindOf step: WriteStep) {
        let (options, indexes) = (collection.options, collection.indexes)
        step.onRewind {
            collection.options = options
            collection.indexes = indexes
            collection.generation += 1
        }
    }
}
