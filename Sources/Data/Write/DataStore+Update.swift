public import BSON
import Core

/// How an update of one document is logged.
enum LoggedUpdate {
    /// `o` is the whole new document.
    case replacement
    /// `o` is `{$v: 2, diff}`.
    case difference(DocumentView)
}

extension DataStore {
    /// The record with that `_id`: its key and its document, in place, valid until the next commit. Allocates nothing.
    @inline(__always)
    func record(withID id: ValueView, in collection: Collection, at point: ReadPoint = .latest) throws
        -> (key: RecordKey, document: DocumentView)?
    {
        scratch.key.removeAll()
        IndexKey.append(id, to: scratch.key)
        let idTable = collection.idIndex.table
        switch try versions.get(idTable, scratch.key.bytes, at: point) {
        case .absent: return nil
        case .notResident: throw StorageNotResident(table: idTable, key: scratch.key.toArray())
        case .found(let value):
            guard let base = value.baseAddress, value.count == RecordKey.byteCount else {
                throw InvariantViolation("an _id entry of \(collection.namespace) holds no record id")
            }
            let record = RecordKey(loadingFrom: base)
            guard let document = try self.document(record, in: collection, at: point) else {
                throw InvariantViolation("an _id entry of \(collection.namespace) names a record that is not there")
            }
            return (record, document)
        }
    }

    /// The document of a record, in place; nil when there is none.
    @inline(__always)
    func document(_ record: RecordKey, in collection: Collection, at point: ReadPoint = .latest) throws -> DocumentView?
    {
        try record.withBytes { key in
            switch try versions.get(collection.table, key, at: point) {
            case .absent: nil
            case .found(let bytes): try storedDocument(bytes)
            case .notResident: throw StorageNotResident(table: collection.table, key: [UInt8](key))
            }
        }
    }

    /// The document with that `_id`, in place, valid until the next commit: the fast path of a point read.
    @inline(__always)
    public func findOneByID(_ collection: Collection, _ id: ValueView, at point: ReadPoint = .latest) throws
        -> DocumentView?
    {
        try record(withID: id, in: collection, at: point)?.document
    }

    /// The same for a client's read, which may not be for what other shards own.
    @inline(__always)
    public func findShownByID(_ collection: Collection, _ id: ValueView) throws -> DocumentView? {
        guard let document = try record(withID: id, in: collection)?.document else { return nil }
        return isRouted ? try shows(document, of: collection) ? document : nil : document
    }

    /// Adds the replacement of a stored document to a step. `old` is the record's document in place.
    @inline(__always)
    func update(
        _ record: RecordKey, old: DocumentView, new: DocumentView, logged: LoggedUpdate, in collection: Collection,
        _ step: WriteStep, _ context: WriteContext, _ statement: Statement?, _ outcome: StatementOutcome,
        retryImage: RetryImage? = nil
    ) throws {
        guard new.byteCount <= Limits.documentBytesMax else { throw tooLarge(new.byteCount) }
        if let validator = collection.validator, !context.bypassesValidation {
            try validator.check(new, replacing: old, context.validation, runtime)
        }
        if ownerships != nil, !context.isFromMigration {
            try ownership(of: collection)?.checkUpdate(old, new, isMulti: context.isMulti)
        }
        let changes = try prepareUpdate(record, old: old, new: new, collection, step)
        let optime = try optime(step, collection.kind, context)
        try putUpdate(record, old: old, new: new, collection, changes, step)
        if collection.kind == .replicated { work.updated &+= 1 }
        guard let optime else { return }
        if context.isReplicated {
            let header = StepEntry.Header(
                op: "u", namespace: collection.namespaceBytes, uuid: collection.uuid, optime: optime,
                wall: context.wall, statement: statement, isFromMigration: context.isFromMigration,
                retryImage: retryImage)
            try step.entry.add(header) { writer in
                switch logged {
                case .replacement: writer.append("o", new)
                case .difference(let difference): writer.append("o", difference)
                }
            } o2: { writer in
                writer.document("o2") { if let id = new["_id"] { $0.append("_id", id) } }
            }
        }
        if let statement { try sessions.put(statement, outcome, optime: optime, wall: context.wall, step) }
    }

    /// The index changes of an update; nil when only the `_id` index is there, which no update changes.
    @inline(__always)
    func prepareUpdate(
        _ record: RecordKey, old: DocumentView, new: DocumentView, _ collection: Collection, _ step: WriteStep,
        isApplying: Bool = false
    ) throws -> IndexChanges? {
        if collection.hasOnlyIDIndex { return nil }
        let changes = indexChanges
        changes.removeAll()
        try changes.addUpdate(old: old, new: new, record, collection)
        try checkUnique(changes, new, record, collection, step, isApplying: isApplying)
        return changes
    }

    /// Puts the new document of a record and its index entries into a step.
    @inline(__always)
    func putUpdate(
        _ record: RecordKey, old: DocumentView, new: DocumentView, _ collection: Collection, _ changes: IndexChanges?,
        _ step: WriteStep
    ) throws {
        // The old document may lie where the write moves it away.
        let growth = new.byteCount - old.byteCount
        try record.withBytes {
            try step.put(collection.table, collection.kind, key: $0, value: new.bytes)
        }
        if let changes { try put(changes, record, collection, step) }
        step.count(collection, documents: 0, bytes: growth)
    }

    /// Adds the deletion of a stored document to a step. `old` is the record's document in place.
    @inline(__always)
    func delete(
        _ record: RecordKey, old: DocumentView, in collection: Collection, _ step: WriteStep, _ context: WriteContext,
        _ statement: Statement?, _ outcome: StatementOutcome, retryImage: RetryImage? = nil
    ) throws {
        if ownerships != nil, !context.isFromMigration { try ownership(of: collection)?.checkWrite(old) }
        let optime = try optime(step, collection.kind, context)
        if context.isReplicated, let optime {
            let header = StepEntry.Header(
                op: "d", namespace: collection.namespaceBytes, uuid: collection.uuid, optime: optime,
                wall: context.wall, statement: statement, isFromMigration: context.isFromMigration,
                retryImage: retryImage)
            try step.entry.add(header) { writer in
                writer.document("o") { if let id = old["_id"] { $0.append("_id", id) } }
            }
        }
        try putDelete(record, old: old, collection, step)
        if let statement, let optime {
            try sessions.put(statement, outcome, optime: optime, wall: context.wall, step)
        }
        if collection.kind == .replicated { work.deleted &+= 1 }
    }

    /// Puts the deletion of a record and its index entries into a step.
    @inline(__always)
    func putDelete(_ record: RecordKey, old: DocumentView, _ collection: Collection, _ step: WriteStep) throws {
        guard let id = old["_id"] else { throw InvariantViolation("a stored document has no _id") }
        let size = old.byteCount
        try idKey(id, collection)
        if !collection.hasOnlyIDIndex {
            let changes = indexChanges
            changes.removeAll()
            try changes.addDelete(old, record, collection)
            try put(changes, record, collection, step)
        }
        try record.withBytes { try step.delete(collection.table, collection.kind, key: $0) }
        try step.delete(collection.idIndex.table, collection.kind, key: scratch.key.bytes)
        step.count(collection, documents: -1, bytes: -size)
    }

    /// Deletes the oldest documents of a capped collection until it keeps its size. Each deletion is a step with an
    /// entry of its own, so that all members hold the same documents whatever their record ids are. Returns whether it
    /// keeps its size: not when that takes more than `most` deletions.
    @discardableResult
    func trimCapped(
        _ collection: Collection, _ context: WriteContext, most: Int = Limits.cappedTrimPerInsertMax
    ) throws -> Bool {
        guard let capped = collection.options.capped else { return true }
        defer { onCappedInsert?() }
        var deleted = 0
        var context = context
        context.session = nil
        let rows = RowBuffer(limit: 1)
        while collection.count > 1,
            Int64(collection.dataBytes) > capped.size || capped.max.map({ Int64(collection.count) > $0 }) == true
        {
            if deleted == most { return false }
            deleted += 1
            rows.removeAll()
            _ = try versions.read(collection.table, from: .start, direction: .forward, at: .latest, into: rows)
            guard let row = rows.rows.first, let base = row.key.baseAddress else { return true }
            try step {
                try delete(
                    RecordKey(loadingFrom: base), old: try storedDocument(row.value), in: collection, $0, context, nil,
                    StatementOutcome(kind: .delete, n: 1))
            }
        }
        return true
    }
}
