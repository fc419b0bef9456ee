public import BSON
public import Core

/// Changes of documents in several collections that take effect together: one step, one entry of the oplog. For what
/// the server keeps about itself as replicated data; clients' writes go document by document.
public struct DocumentChanges {
    /// One of them.
    enum Change {
        /// Stores a document, in the place of the one with its `_id`.
        case put(Namespace, Document)
        /// Deletes the document with that `_id`, if it is there.
        case delete(Namespace, Value)
    }

    private(set) var list: [Change] = []

    public init() {}

    public var isEmpty: Bool { list.isEmpty }

    /// Stores a document that has an `_id`, in the place of the one that has it, too.
    public mutating func put(_ namespace: Namespace, _ document: Document) { list.append(.put(namespace, document)) }

    /// Deletes the document with that `_id`; one that is not there is no change.
    public mutating func delete(_ namespace: Namespace, _ id: Value) { list.append(.delete(namespace, id)) }

    /// Adds the changes of another, behind these.
    public mutating func append(_ other: DocumentChanges) { list += other.list }
}

extension DataStore {
    /// Makes the changes, in one step with one entry. Collections that are missing are made before, each in a step of
    /// its own.
    public func make(_ changes: DocumentChanges, _ context: WriteContext) throws {
        for case .put(let namespace, _) in changes.list { _ = try ensureOwnCollection(namespace, context) }
        guard !changes.isEmpty else { return }
        try step(grouped: true) { try make(changes, $0, context) }
    }

    /// The same for changes that say when they are made: by the time of their own entry. Asked for twice.
    public func make(_ context: WriteContext, _ changes: (OpTime) throws -> DocumentChanges) throws {
        for case .put(let namespace, _) in try changes(.null).list { _ = try ensureOwnCollection(namespace, context) }
        try step(grouped: true) { step in
            guard let optime = try optime(step, .replicated, context) else { return }
            try make(try changes(optime), step, context)
        }
    }

    /// Adds the changes to a step, whose collections exist.
    func make(_ changes: DocumentChanges, _ step: WriteStep, _ context: WriteContext) throws {
        for change in changes.list {
            switch change {
            case .put(let namespace, let document):
                guard let collection = catalog.find(namespace) else {
                    throw ServerError(.namespaceNotFound, "\(namespace) is not there")
                }
                try document.withView { try put($0, into: collection, step, context) }
            case .delete(let namespace, let id):
                guard let collection = catalog.find(namespace) else { continue }
                try (["_id": id] as Document).withView { view in
                    guard let id = view.first?.value,
                        let (record, old) = try record(withID: id, in: collection, at: step.point)
                    else { return }
                    try delete(
                        record, old: old, in: collection, step, context, nil, StatementOutcome(kind: .delete, n: 1))
                }
            }
        }
    }

    private func put(
        _ document: DocumentView, into collection: Collection, _ step: WriteStep, _ context: WriteContext
    ) throws {
        guard let id = document["_id"] else {
            throw InvariantViolation("a document of \(collection.namespace) has no _id")
        }
        if let (record, old) = try record(withID: id, in: collection, at: step.point) {
            try update(
                record, old: old, new: document, logged: .replacement, in: collection, step, context, nil,
                StatementOutcome(kind: .update, n: 1))
        } else {
            try insert(document, into: collection, step, context, nil, StatementOutcome(kind: .insert, n: 1))
        }
    }

    /// The document with that `_id` as it is now; nil when it or its collection is not there.
    public func document(_ id: Value, in namespace: Namespace) throws -> Document? {
        guard let collection = catalog.find(namespace) else { return nil }
        return try (["_id": id] as Document).withView { view in
            try view.first.flatMap { try findOneByID(collection, $0.value)?.document }
        }
    }

    /// All documents of a small collection as they are now, in the order of insertion; none when it is not there.
    public func documents(in namespace: Namespace) throws -> [Document] {
        guard let collection = catalog.find(namespace) else { return [] }
        var found: [Document] = []
        var after: UInt64? = 0
        while let start = after {
            after = try readRecords(
                of: collection, after: start, limit: Limits.cloneBatchDocuments, bytesMax: Limits.cloneBatchBytes
            ) { found.append($0.document) }
        }
        return found
    }
}
