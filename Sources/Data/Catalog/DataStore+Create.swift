public import BSON
public import Core

extension DataStore {
    /// Creates a collection. One that exists with the same options stays as it is; with others: `NamespaceExists` (48).
    ///
    /// `command` is the `create` command; what it carries beside options is skipped.
    @discardableResult
    public func createCollection(
        _ namespace: Namespace, _ command: DocumentView, _ context: WriteContext, uuid: CollectionUUID? = nil
    ) throws -> Collection {
        let options = try CollectionOptions(parsing: command)
        if let existing = catalog.find(namespace) {
            if existing.options == options { return existing }
            throw ServerError(.namespaceExists, "Collection \(namespace) already exists.")
        }
        guard try view(namespace) == nil else {
            throw ServerError(.namespaceExists, "A view already exists. NS: \(namespace)")
        }
        if namespace.isProfile {
            guard options.capped != nil else {
                throw ServerError(.invalidOptions, "\(namespace) has to be capped: {capped: true, size: <bytes>}")
            }
        } else {
            try namespace.checkUserWritable()
        }
        _ = try DocumentValidator(options.validation)
        if let uuid, catalog.find(uuid) != nil {
            throw ServerError(.namespaceExists, "another collection has the UUID \(uuid)")
        }
        return try create(namespace, options, context, uuid: uuid)
    }

    /// The collection of that name, created when there is none: what a first insert does.
    public func ensureCollection(_ namespace: Namespace, _ context: WriteContext) throws -> Collection {
        if let existing = catalog.find(namespace), !namespace.isProfile { return existing }
        try namespace.checkUserWritable()
        try checkNoView(namespace)
        // A sharded collection is the same one on all shards, also where nothing of it has been yet.
        return try create(
            namespace, CollectionOptions(), context, uuid: try ownerships?.identity(of: namespace))
    }

    /// The same for what the server keeps about itself, which clients may not write.
    func ensureOwnCollection(_ namespace: Namespace, _ context: WriteContext) throws -> Collection {
        if let existing = catalog.find(namespace) { return existing }
        return try create(namespace, CollectionOptions(), context)
    }

    /// The collection that keeps the views of a database.
    func ensureViews(of database: String, _ context: WriteContext) throws -> Collection {
        let place = ViewDefinition.place(of: database)
        if let existing = catalog.find(place) { return existing }
        return try create(place, CollectionOptions(), context)
    }

    private func create(
        _ namespace: Namespace, _ options: CollectionOptions, _ context: WriteContext, uuid: CollectionUUID? = nil
    ) throws -> Collection {
        try step { try create(namespace, options, $0, context, uuid: uuid) }
    }

    /// Adds the creation of a collection to a step.
    func create(
        _ namespace: Namespace, _ options: CollectionOptions, _ step: WriteStep, _ context: WriteContext,
        uuid: CollectionUUID? = nil
    ) throws -> Collection {
        // MongoDB keeps database names apart that differ in case only: files of its engine are named after them. Here
        // nothing is, so both may exist.
        let kind: TableKind = namespace.isLocal ? .local : .replicated
        let uuid = uuid ?? CollectionUUID(runtime)
        _ = try optime(step, kind, context)
        try logCommand(namespace.database, uuid, kind, step, context) { o in
            o.append("create", string: namespace.collection)
            options.write(to: o)
            o.append("idIndex", CollectionIndex.idDefinition)
        }
        return try create(namespace, uuid, options, kind, step)
    }

    /// Creates a collection whose identity is known, at the step's optime.
    func create(
        _ namespace: Namespace, _ uuid: CollectionUUID, _ options: CollectionOptions, _ kind: TableKind,
        _ step: WriteStep
    ) throws -> Collection {
        let since = kind == .local ? .zero : step.optime?.timestamp ?? .zero
        let collection = Collection(
            uuid: uuid, table: try catalog.newTable(), kind: kind, namespace: namespace, namedSince: since,
            options: options,
            indexes: [
                CollectionIndex(
                    try CollectionIndex.idDefinition.withView { view throws(ServerError) in
                        try CollectionIndex.spec(view)
                    }, table: try catalog.newTable(), state: .ready, visibleFrom: since)
            ])
        keepResident(collection)
        // An index build that a rollback forgot may have left entries under a table's number.
        step.dropTable(collection.table)
        step.dropTable(collection.idIndex.table)
        try catalog.put(collection, step)
        catalog.add(collection)
        step.onRewind { [catalog] in catalog.remove(collection) }
        return collection
    }
}
