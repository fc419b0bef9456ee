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
        return try create(namespace, CollectionOptions(), context)
    }

    private func create(
        _ namespace: Namespace, _ options: CollectionOptions, _ context: WriteContext, uuid: CollectionUUID? = nil
    ) throws -> Collection {
        // MongoDB keeps database names apart that differ in case only: files of its engine are named after them. Here
        // nothing is, so both may exist.
        let kind: TableKind = namespace.isLocal ? .local : .replicated
        let uuid = uuid ?? CollectionUUID(runtime)
        let optime = try optime(of: kind, context)
        let entry = commandEntry(namespace.database, uuid, optime, context, kind) { o in
            o.append("create", string: namespace.collection)
            options.write(to: o)
            o.append("idIndex", CollectionIndex.idDefinition)
        }
        return try create(namespace, uuid, options, kind, at: optime, entry: entry)
    }

    /// Creates a collection whose identity and optime are known.
    func create(
        _ namespace: Namespace, _ uuid: CollectionUUID, _ options: CollectionOptions, _ kind: TableKind,
        at optime: OpTime?, entry: UnsafeRawBufferPointer?
    ) throws -> Collection {
        let since = optime?.timestamp ?? .zero
        let collection = Collection(
            uuid: uuid, table: try catalog.newTable(), kind: kind, namespace: namespace, namedSince: since,
            options: options,
            indexes: [
                CollectionIndex(
                    try CollectionIndex.idDefinition.withView { view throws(ServerError) in
                        try CollectionIndex.spec(view)
                    }, table: try catalog.newTable(), state: .ready, visibleFrom: since)
            ])
        try catalogStep(at: optime, entry: entry) {
            emptyTable(collection.table)
            emptyTable(collection.idIndex.table)
            try catalog.put(collection)
        }
        catalog.add(collection)
        return collection
    }

    // MARK: Steps of the catalog

    /// Empties a new table in the open batch. An index build that a rollback forgot may have left entries under its
    /// number.
    func emptyTable(_ table: TableID) { versions.dropTable(table, .local) }

    /// The optime of a write to tables of `kind`; local ones have none.
    @inline(__always)
    func optime(of kind: TableKind, _ context: WriteContext) throws -> OpTime? {
        kind == .local ? nil : try nextOpTime(context)
    }

    /// Runs `body` in one batch with its entry.
    func catalogStep(at optime: OpTime?, entry: UnsafeRawBufferPointer?, _ body: () throws -> Void) throws {
        versions.begin()
        do {
            try body()
            try commit(at: optime, entry: entry)
        } catch {
            versions.abort()
            throw error
        }
    }

    /// Writes a command entry (`op: "c"`); nil when the write is not logged. The bytes are valid until the next entry.
    func commandEntry(
        _ database: String, _ uuid: CollectionUUID?, _ optime: OpTime?, _ context: WriteContext, _ kind: TableKind,
        o2: ((DocumentWriter) -> Void)? = nil, o: (DocumentWriter) -> Void
    ) -> UnsafeRawBufferPointer? {
        guard context.isReplicated, kind == .replicated, let optime else { return nil }
        var namespace = Namespace.command(database)
        return namespace.withUTF8 { bytes in
            let header = OplogEntryWriter.Header(
                op: "c", namespace: UnsafeRawBufferPointer(bytes), uuid: uuid, optime: optime, wall: context.wall,
                isFromMigration: context.isFromMigration)
            return entries.write(header) { entry in
                entry.document("o") { o($0) }
            } o2: { entry in
                if let o2 { entry.document("o2") { o2($0) } }
            }
        }
    }

    /// Appends a no-op (`op: "n"`): a new primary's first entry, the answer to a causal wait, a note. A step of its
    /// own.
    @discardableResult
    public func appendNoOp(
        _ message: DocumentView, _ context: WriteContext, object2: DocumentView? = nil
    ) throws -> OpTime {
        let optime = try nextOpTime(context)
        let header = OplogEntryWriter.Header(
            op: "n", namespace: UnsafeRawBufferPointer(start: nil, count: 0), uuid: nil, optime: optime,
            wall: context.wall)
        let entry = entries.write(header) {
            $0.append("o", message)
        } o2: {
            if let object2 { $0.append("o2", object2) }
        }
        try versions.step(at: optime) {}
        try append(entry, optime: optime)
        return optime
    }
}
