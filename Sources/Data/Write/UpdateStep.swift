import BSON
import Core
import Query

extension DataStore {
    /// What an update made of one document.
    enum UpdateResult {
        case modified
        /// The document is as it was: nothing was written.
        case unchanged
    }

    /// Applies a program to one record: one step. `old` is the record's document in place. The new document stays in
    /// the scratch buffer until the next write. Nil, with nothing written, when the slice was used up meanwhile: the
    /// caller comes back with the same document.
    func applyUpdate(
        _ program: UpdateProgram, to record: RecordKey, _ old: DocumentView, position: Int?, in collection: Collection,
        _ context: WriteContext, _ statement: Statement?, image: RetryImage? = nil
    ) throws -> UpdateResult? {
        let buffer = scratch.image
        buffer.removeAll(keeping: 1 << 20)
        if let made = context.validation?.takeMade(of: old) {
            made.withView { buffer.append($0.bytes) }
        } else {
            let outcome = try program.applyInterruptibly(to: old, position: position, into: buffer)
            guard var isChanged = outcome else { return nil }
            if program.kind == .replacement, try fillEmptyTimestamps(buffer, context) {
                isChanged = compareBytes(buffer.bytes, old.bytes) != 0
            }
            guard isChanged else { return .unchanged }
        }
        let new = DocumentView(base: UnsafeRawPointer(buffer.base))
        var outcome = StatementOutcome(kind: .update, n: 1, nModified: 1)
        if statement != nil {
            switch image {
            case .before: outcome.image = old.document
            case .after: outcome.image = new.document
            case nil: break
            }
        }
        let logged = context.isReplicated && program.kind != .replacement ? difference(old, new, program) : .replacement
        do {
            try step {
                try update(
                    record, old: old, new: new, logged: logged, in: collection, $0, context, statement, outcome,
                    retryImage: image)
            }
        } catch let error as ServerError where error.isInterruption {
            context.validation?.keepMade(new, of: old)
            return nil
        }
        return .modified
    }

    /// The delta of an update, when there is one.
    private func difference(_ old: DocumentView, _ new: DocumentView, _ program: UpdateProgram) -> LoggedUpdate {
        let buffer = scratch.difference
        buffer.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: buffer)
        guard DocumentDiff.compute(from: old, to: new, by: program, into: writer) else { return .replacement }
        writer.finish()
        return .difference(DocumentView(base: UnsafeRawPointer(buffer.base)))
    }

    /// Inserts what an upsert that matched nothing makes. Returns the new document's `_id`; the document stays in the
    /// scratch buffer until the next write. Nil, with nothing written, when the slice was used up meanwhile.
    func applyUpsert(
        _ statement: UpdateStatement, _ namespace: Namespace, _ context: WriteContext, id: Int32,
        image: RetryImage? = nil
    ) throws -> Value? {
        let buffer = scratch.image
        buffer.removeAll(keeping: 1 << 20)
        if let made = context.validation?.takeMade(of: nil) {
            made.withView { buffer.append($0.bytes) }
        } else {
            guard try statement.insertion(newID: { newObjectID() }, into: buffer) else { return nil }
            if statement.program.kind == .replacement { _ = try fillEmptyTimestamps(buffer, context) }
        }
        let document = DocumentView(base: UnsafeRawPointer(buffer.base))
        guard document.byteCount <= Limits.documentBytesMax else { throw tooLarge(document.byteCount) }
        guard let newID = document.first.map({ Value($0.value) }) else {
            throw InvariantViolation("an upsert made a document without _id")
        }
        try document.first.map { try DataStore.checkID($0.value) }
        let collection = try ensureCollection(namespace, context)
        var outcome = StatementOutcome(kind: .insert, n: 1, upserted: Document { $0.append("_id", newID) })
        if case .after = image { outcome.image = document.document }
        do {
            try step {
                try insert(
                    document, into: collection, $0, context, Statement(context, id: id), outcome, isUpsert: true,
                    retryImage: image)
            }
        } catch let error as ServerError where error.isInterruption {
            context.validation?.keepMade(document, of: nil)
            return nil
        } catch let missing as StorageNotResident {
            // Another `_id`, time or random number would make it another document.
            context.validation?.keepMade(document, of: nil)
            throw missing
        }
        if collection.options.capped != nil {
            let made = document.document
            try trimWhatIsResident(collection, context)
            // Making room has written, and the document is to stay in the buffer.
            made.withView {
                buffer.removeAll(keeping: 1 << 20)
                buffer.append($0.bytes)
            }
        }
        return newID
    }
}
