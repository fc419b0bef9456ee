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
    /// While an initial sync clones: the document is to be fetched again before the end. The entry counts as applied.
    case needsFetch(Namespace, id: Value)
}

extension DataStore {
    /// Applies one entry and appends it to this member's oplog: one step, at the entry's optime. Entries come strictly
    /// in order.
    public func apply(_ entry: DocumentView, _ mode: ApplyMode) throws -> ApplyOutcome {
        let view = try OplogEntryView(entry)
        clock.advance(toLogged: view.optime.timestamp)
        switch view.op {
        case UInt8(ascii: "i"): return try applyInsert(view, mode)
        case UInt8(ascii: "u"): return try applyUpdate(view, mode)
        case UInt8(ascii: "d"): return try applyDelete(view, mode)
        case UInt8(ascii: "c"): return try applyCommand(view, mode)
        case UInt8(ascii: "n"):
            try applyStep(view, mode) {}
            return .applied
        default:
            throw ServerError(
                .oplogOperationUnsupported,
                "the oplog operation '\(String(decoding: [view.op], as: UTF8.self))' at \(view.optime) is not known")
        }
    }

    /// Runs `body` in one batch, with the entry behind it.
    @inline(__always)
    func applyStep(_ view: OplogEntryView, _ mode: ApplyMode, _ body: () throws -> Void) throws {
        versions.begin()
        do {
            try body()
            try commit(at: view.optime, entry: mode == .replay ? nil : view.entry.bytes)
        } catch {
            versions.abort()
            // A record in memory may have the statement already.
            sessions.reload()
            throw error
        }
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

    private func applyInsert(_ view: OplogEntryView, _ mode: ApplyMode) throws -> ApplyOutcome {
        let document = view.object
        guard let id = document["_id"] else { throw InvariantViolation("the insert at \(view.optime) has no _id") }
        guard let collection = try collection(view, mode) else { return try skip(view, mode) }
        if mode != .steady, let (record, old) = try record(withID: id, in: collection) {
            try applyChange(record, old, document, collection, view, mode, nil)
            return .applied
        }
        let record = RecordKey(collection.nextRecordID)
        let changes = try prepareInsert(document, record, collection, isApplying: true)
        try deferConflicting(changes, document, record, collection, mode)
        try applyStep(view, mode) {
            try putInsert(document, record, collection, changes)
            try putSession(
                view,
                StatementOutcome(
                    kind: .insert, n: 1, upserted: view.isUpsert ? Document { $0.append("_id", id) } : nil,
                    image: view.retryImage == .after ? document.document : nil))
        }
        countInsert(document, collection, changes)
        return .applied
    }

    private func applyUpdate(_ view: OplogEntryView, _ mode: ApplyMode) throws -> ApplyOutcome {
        guard let id = view.object2?["_id"] else {
            throw InvariantViolation("the update at \(view.optime) has no o2._id")
        }
        if mode == .initialSync, runtime.hasMutant(.initialSyncSkipsUpdates) { return try skip(view, mode) }
        guard let collection = try collection(view, mode) else { return try skip(view, mode) }
        guard let (record, old) = try record(withID: id, in: collection) else {
            if mode == .steady {
                throw InvariantViolation("the update at \(view.optime) is of a document that is not here")
            }
            let namespace = collection.namespace
            let id = Value(id)
            _ = try skip(view, mode)
            return .needsFetch(namespace, id: id)
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
        try applyChange(record, old, new, collection, view, mode, outcome)
        return .applied
    }

    private func applyChange(
        _ record: RecordKey, _ old: DocumentView, _ new: DocumentView, _ collection: Collection, _ view: OplogEntryView,
        _ mode: ApplyMode, _ outcome: StatementOutcome?
    ) throws {
        let growth = new.byteCount - old.byteCount
        let changes = try prepareUpdate(record, old: old, new: new, collection, isApplying: true)
        try deferConflicting(changes, new, record, collection, mode)
        try applyStep(view, mode) {
            try record.withBytes {
                try versions.put(collection.table, collection.kind, key: $0, value: new.bytes)
            }
            if let changes { try put(changes, record, collection) }
            if let outcome { try putSession(view, outcome) }
        }
        collection.dataBytes += growth
        changes?.committed(collection)
    }

    private func applyDelete(_ view: OplogEntryView, _ mode: ApplyMode) throws -> ApplyOutcome {
        guard let id = view.object["_id"] else { throw InvariantViolation("the delete at \(view.optime) has no o._id") }
        guard let collection = try collection(view, mode) else { return try skip(view, mode) }
        guard let (record, old) = try record(withID: id, in: collection) else {
            if mode == .steady {
                throw InvariantViolation("the delete at \(view.optime) is of a document that is not here")
            }
            return try skip(view, mode)
        }
        let size = old.byteCount
        let image = view.retryImage == .before ? old.document : nil
        try applyStep(view, mode) {
            try putDelete(record, old: old, collection)
            try putSession(view, StatementOutcome(kind: .delete, n: 1, image: image))
        }
        collection.count -= 1
        collection.dataBytes -= size
        return .applied
    }

    /// Appends an entry that has nothing to change here.
    func skip(_ view: OplogEntryView, _ mode: ApplyMode) throws -> ApplyOutcome {
        try applyStep(view, mode) {}
        return .applied
    }

    /// In a clone a unique index may meet a key twice for a while: it is emptied and built again from the final data.
    private func deferConflicting(
        _ changes: IndexChanges?, _ document: DocumentView, _ record: RecordKey, _ collection: Collection,
        _ mode: ApplyMode
    ) throws {
        guard let changes, mode != .steady else { return }
        let conflicting = try conflicts(changes, record)
        guard !conflicting.isEmpty else { return }
        for index in conflicting { index.state = .deferred }
        try versions.step(at: nil) {
            for index in conflicting { versions.dropTable(index.table, .local) }
            try catalog.put(collection)
        }
        changes.remove(conflicting)
    }

    // MARK: Session records

    /// Puts what the entry's statement did into its session's record, in the batch that is open. Never moves one
    /// backwards.
    private func putSession(_ view: OplogEntryView, _ outcome: @autoclosure () -> StatementOutcome) throws {
        guard let lsid = view.lsid, let number = view.transactionNumber, let id = view.statement else { return }
        let session = try sessions.record(lsid)
        guard number >= session.transactionNumber, view.optime > session.lastWrite else { return }
        var context = WriteContext(term: view.optime.term, wall: view.wall, isReplicated: true)
        context.session = session
        context.transactionNumber = number
        guard let statement = Statement(context, id: id) else { return }
        try sessions.put(statement, outcome(), optime: view.optime, wall: view.wall)
    }
}
