public import BSON
public import Core
import Query

/// How strictly entries are applied.
public enum ApplyMode: Sendable {
    /// A secondary's oplog application: the data are exactly those the entry was written for, and anything else is a
    /// violation. Keeps versions and undo.
    case steady
    /// While an initial sync clones: the data may be older or newer than the entry. Inserts are upserts, missing
    /// targets are passed over, unique indexes are built later. The store keeps no history
    /// (`VersionStore.setKeepsHistory`).
    case initialSync
    /// The same for entries that are in this member's oplog already: they are not appended again.
    case replay
}

/// What became of an entry.
public enum ApplyOutcome {
    case applied
    /// The entry commits an index build that is not through here. Nothing has happened yet: step the build for
    /// `.committing` until it is done, then apply the entry again. Nothing else is applied before.
    case waitsForIndexBuild(IndexBuild)
    /// While an initial sync clones: documents are to be fetched again before the end. The entry counts as applied.
    case needsFetch([MissingDocument])
}

/// A document that an entry of an initial sync changes, and that was not cloned yet.
public struct MissingDocument {
    public let namespace: Namespace
    public let id: Value
}

extension DataStore {
    /// Applies one entry and appends it to this member's oplog: one step, at the entry's optime. Entries come strictly
    /// in order.
    public func apply(_ entry: DocumentView, _ mode: ApplyMode) throws -> ApplyOutcome {
        let view = try OplogEntryView(entry)
        clock.advance(toLogged: view.optime.timestamp)
        let step = versions.begin()
        do {
            step.optime = view.optime
            if mode != .replay { try step.entry.take(entry.bytes, optime: view.optime) }
            let outcome = try apply(view, mode, step)
            if case .waitsForIndexBuild = outcome { versions.abort(step) } else { try commit(step) }
            return outcome
        } catch {
            versions.abort(step)
            throw error
        }
    }

    /// Applies one operation within a step: that of an entry, or one of the several that it groups.
    func apply(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws -> ApplyOutcome {
        switch view.op {
        case UInt8(ascii: "i"): try applyInsert(view, mode, step)
        case UInt8(ascii: "u"): return try applyUpdate(view, mode, step)
        case UInt8(ascii: "d"): try applyDelete(view, mode, step)
        case UInt8(ascii: "c"): return try applyCommand(view, mode, step)
        case UInt8(ascii: "n"): break
        default:
            throw ServerError(
                .oplogOperationUnsupported,
                "the oplog operation '\(String(decoding: [view.op], as: UTF8.self))' at \(view.optime) is not known")
        }
        return .applied
    }

    /// The collection of an entry. Nil, except in steady state, when it is not there (any more).
    private func collection(_ view: OplogEntryView, _ mode: ApplyMode) throws -> Collection? {
        if let uuid = view.uuid, let collection = catalog.find(uuid) { return collection }
        if mode == .steady {
            throw InvariantViolation(
                "the entry at \(view.optime) is for \(String(decoding: view.namespace, as: UTF8.self)), "
                    + "which is not here")
        }
        return nil
    }

    // MARK: Documents

    private func applyInsert(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws {
        let document = view.object
        guard let id = document["_id"] else { throw InvariantViolation("the insert at \(view.optime) has no _id") }
        guard let collection = try collection(view, mode) else { return }
        if mode != .steady, let (record, old) = try record(withID: id, in: collection, at: step.point) {
            return try applyChange(record, old, document, collection, view, mode, nil, step)
        }
        let record = RecordKey(collection.nextRecordID)
        let changes = try prepareInsert(document, record, collection, step, isApplying: true)
        try deferConflicting(changes, record, collection, mode, step)
        try putInsert(document, record, collection, changes, step)
        try putSession(
            view,
            StatementOutcome(
                kind: .insert, n: 1, upserted: view.isUpsert ? Document { $0.append("_id", id) } : nil,
                image: view.retryImage == .after ? document.document : nil), step)
    }

    private func applyUpdate(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws -> ApplyOutcome {
        guard let id = view.object2?["_id"] else {
            throw InvariantViolation("the update at \(view.optime) has no o2._id")
        }
        if mode == .initialSync, runtime.hasMutant(.initialSyncSkipsUpdates) { return .applied }
        guard let collection = try collection(view, mode) else { return .applied }
        guard let (record, old) = try record(withID: id, in: collection, at: step.point) else {
            if mode == .steady {
                throw InvariantViolation("the update at \(view.optime) is of a document that is not here")
            }
            return .needsFetch([MissingDocument(namespace: collection.namespace, id: Value(id))])
        }
        let new: DocumentView
        if let difference = view.object["diff"]?.asDocument, view.object["$v"]?.asInteger == 2 {
            let buffer = scratch.image
            buffer.removeAll(keeping: 1 << 20)
            try DocumentDiff.apply(difference, to: old, into: buffer)
            new = DocumentView(base: UnsafeRawPointer(buffer.base))
        } else {
            new = view.object
        }
        var outcome: StatementOutcome?
        if view.statement != nil {
            let image = view.retryImage.map { $0 == .before ? old.document : new.document }
            outcome = StatementOutcome(kind: .update, n: 1, nModified: 1, image: image)
        }
        try applyChange(record, old, new, collection, view, mode, outcome, step)
        return .applied
    }

    private func applyChange(
        _ record: RecordKey, _ old: DocumentView, _ new: DocumentView, _ collection: Collection, _ view: OplogEntryView,
        _ mode: ApplyMode, _ outcome: StatementOutcome?, _ step: WriteStep
    ) throws {
        let changes = try prepareUpdate(record, old: old, new: new, collection, step, isApplying: true)
        try deferConflicting(changes, record, collection, mode, step)
        try putUpdate(record, old: old, new: new, collection, changes, step)
        if let outcome { try putSession(view, outcome, step) }
    }

    private func applyDelete(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws {
        if view.uuid == nil, view.namespace.elementsEqual(DataStore.transactionsNamespace.utf8) {
            return try applyForgotten(view, step)
        }
        guard let id = view.object["_id"] else { throw InvariantViolation("the delete at \(view.optime) has no o._id") }
        guard let collection = try collection(view, mode) else { return }
        guard let (record, old) = try record(withID: id, in: collection, at: step.point) else {
            if mode == .steady {
                throw InvariantViolation("the delete at \(view.optime) is of a document that is not here")
            }
            return
        }
        let image = view.retryImage == .before ? old.document : nil
        try putDelete(record, old: old, collection, step)
        try putSession(view, StatementOutcome(kind: .delete, n: 1, image: image), step)
    }

    /// In a clone a unique index may meet a key twice for a while: it is emptied and built again from the final data.
    private func deferConflicting(
        _ changes: IndexChanges?, _ record: RecordKey, _ collection: Collection, _ mode: ApplyMode, _ step: WriteStep
    ) throws {
        guard let changes, mode != .steady else { return }
        let conflicting = try conflicts(changes, record, step)
        guard !conflicting.isEmpty else { return }
        let states = conflicting.map { $0.state }
        step.onRewind { for (index, state) in zip(conflicting, states) { index.state = state } }
        for index in conflicting {
            index.state = .deferred
            step.dropTable(index.table)
        }
        try catalog.put(collection, step)
        changes.remove(conflicting)
    }

    // MARK: Session records

    /// Puts what the entry's statement did into its session's record. Never moves one backwards.
    private func putSession(
        _ view: OplogEntryView, _ outcome: @autoclosure () -> StatementOutcome, _ step: WriteStep
    ) throws {
        guard let lsid = view.lsid, let number = view.transactionNumber, let id = view.statement else { return }
        let session = try sessions.record(lsid)
        guard number >= session.transactionNumber, view.optime > session.lastWrite else { return }
        var context = WriteContext(term: view.optime.term, wall: view.wall, isReplicated: true)
        context.session = session
        context.transactionNumber = number
        guard let statement = Statement(context, id: id) else { return }
        try sessions.put(statement, outcome(), optime: view.optime, wall: view.wall, step)
    }
}
