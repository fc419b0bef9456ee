public import BSON
import Core

extension DataStore {
    /// Stores documents that come from another shard, and deletes those that went there: one step, one entry, marked as
    /// a migration's. What is there already is replaced, so that it may be done again.
    /// - Parameters:
    ///   - isOfRange: whether a document that is here belongs to the range that is copied.
    ///   - isOwned: whether a document that is here belongs to this shard.
    /// - Throws: `DuplicateKey` when a document that this shard owns is in the way.
    public func storeCopies(
        _ documents: [Document], deleting ids: [Value], in collection: Collection, _ context: WriteContext,
        isOfRange: (DocumentView) -> Bool, isOwned: (DocumentView) -> Bool
    ) throws {
        guard !documents.isEmpty || !ids.isEmpty else { return }
        var context = context
        context.isFromMigration = true
        try step(grouped: true) { step in
            for document in documents {
                try document.withView { view in
                    guard let id = view["_id"] else { throw ServerError(.invalidIdField, "a copy has no _id") }
                    try storeCopy(view, id, in: collection, step, context, isOfRange, isOwned)
                }
            }
            for id in ids {
                try (["_id": id] as Document).withView { view in
                    guard let id = view.first?.value,
                        let (record, old) = try record(withID: id, in: collection, at: step.point), isOfRange(old)
                    else { return }
                    try delete(
                        record, old: old, in: collection, step, context, nil, StatementOutcome(kind: .delete, n: 1))
                }
            }
        }
    }

    private func storeCopy(
        _ document: DocumentView, _ id: ValueView, in collection: Collection, _ step: WriteStep,
        _ context: WriteContext, _ isOfRange: (DocumentView) -> Bool, _ isOwned: (DocumentView) -> Bool
    ) throws {
        if let (record, old) = try record(withID: id, in: collection, at: step.point) {
            if isOfRange(old) {
                guard compareBytes(old.bytes, document.bytes) != 0 else { return }
                return try update(
                    record, old: old, new: document, logged: .replacement, in: collection, step, context, nil,
                    StatementOutcome(kind: .update, n: 1))
            }
            guard !isOwned(old) else {
                throw ServerError(
                    .duplicateKey,
                    "a document that is moved has the _id \(Value(id)) of one that \(collection.namespace) has here")
            }
            // Left behind by another migration: nobody sees it.
            try delete(record, old: old, in: collection, step, context, nil, StatementOutcome(kind: .delete, n: 1))
        }
        var context = context
        context.bypassesValidation = true
        try insert(document, into: collection, step, context, nil, StatementOutcome(kind: .insert, n: 1))
    }

    /// Deletes documents of a range that this shard does not own: one step, one entry, marked as a migration's.
    /// - Parameter mayDelete: asked for each document in the step that deletes it.
    /// - Returns: how many were deleted.
    @discardableResult
    public func deleteOrphans(
        _ ids: [Value], in collection: Collection, _ context: WriteContext, mayDelete: (DocumentView) -> Bool
    ) throws -> Int {
        var context = context
        context.isFromMigration = true
        var deleted = 0
        try step(grouped: true) { step in
            for id in ids {
                try (["_id": id] as Document).withView { view in
                    guard let id = view.first?.value,
                        let (record, old) = try record(withID: id, in: collection, at: step.point), mayDelete(old)
                    else { return }
                    try delete(
                        record, old: old, in: collection, step, context, nil, StatementOutcome(kind: .delete, n: 1))
                    deleted += 1
                }
            }
        }
        return deleted
    }
}
