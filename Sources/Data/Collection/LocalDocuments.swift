public import BSON
public import Core

/// Documents of the `local` database that the member keeps about itself: config, vote, rollback id and the like. They
/// are ordinary documents to clients, and never logged, versioned or undone.
extension DataStore {
    /// Stores a document in a collection of `local`, in the place of the one with its `_id`; a document without one
    /// replaces the first of the collection. Durable after a flush up to `versions.appliedMark`.
    public func putLocal(_ namespace: Namespace, _ document: Document) throws {
        try invariant(namespace.isLocal && !namespace.isOplog, "\(namespace) is not a local collection to write to")
        let context = WriteContext(term: -1, wall: runtime.wallClock, isReplicated: false)
        var document = document
        if document["_id"] == nil, let old = try getLocal(namespace), let id = old["_id"] {
            document = Document { writer in
                writer.append("_id" as String, id)
                for (key, value) in document.fields { writer.append(key, value) }
            }
        }
        try document.withView { try putDocument($0, in: namespace, context) }
    }

    /// Stores a document, in the place of the one with its `_id`, in a collection that is made where it is missing.
    public func putDocument(_ document: DocumentView, in namespace: Namespace, _ context: WriteContext) throws {
        let collection = try ensureCollection(namespace, context)
        let prepared = try prepareForInsert(document, context)
        guard let id = prepared.first?.value else { throw InvariantViolation("a prepared document has no _id") }
        if let (record, old) = try record(withID: id, in: collection) {
            try step {
                try update(
                    record, old: old, new: prepared, logged: .replacement, in: collection, $0, context, nil,
                    StatementOutcome(kind: .update, n: 1))
            }
        } else {
            try insertOne(prepared, into: collection, context)
        }
    }

    /// Drops a collection of `local`, if it is there.
    public func removeLocal(_ namespace: Namespace) throws {
        try invariant(namespace.isLocal && !namespace.isOplog, "\(namespace) is not a local collection to remove")
        guard let collection = catalog.find(namespace) else { return }
        try step { try drop(collection, $0) }
    }

    /// The first document of a collection of `local`; nil when there is none.
    public func getLocal(_ namespace: Namespace) throws -> Document? {
        guard let collection = catalog.find(namespace) else { return nil }
        let rows = RowBuffer(limit: 1)
        _ = try versions.read(collection.table, from: .start, direction: .forward, at: .latest, into: rows)
        return try rows.rows.first.map { try storedDocument($0.value).document }
    }
}
