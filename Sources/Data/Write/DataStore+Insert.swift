public import BSON
public import Core

extension DataStore {
    /// Inserts one document: one step, one entry. Throws `DuplicateKey` (11000), `InvalidIdField` (53),
    /// `BSONObjectTooLarge` (10334) and the like, and has then changed nothing.
    @discardableResult
    public func insertOne(
        _ document: DocumentView, into collection: Collection, _ context: WriteContext, statement: Int32 = 0
    ) throws -> OpTime? {
        let prepared = try prepareForInsert(document, context)
        let optime = try insert(
            prepared, into: collection, context, Statement(context, id: statement),
            StatementOutcome(kind: .insert, n: 1))
        if collection.options.capped != nil { try trimCapped(collection, context) }
        return optime
    }

    /// Inserts a prepared document.
    @inline(__always)
    func insert(
        _ document: DocumentView, into collection: Collection, _ context: WriteContext, _ statement: Statement?,
        _ outcome: StatementOutcome, isUpsert: Bool = false, retryImage: RetryImage? = nil
    ) throws -> OpTime? {
        if let validator = collection.validator, !context.bypassesValidation {
            try validator.check(document, log: runtime.log)
        }
        let record = RecordKey(collection.nextRecordID)
        let changes = try prepareInsert(document, record, collection)
        let optime = try optime(of: collection.kind, context)
        if collection.kind == .replicated { work.inserted &+= 1 }
        let saved = statement?.session.state
        versions.begin()
        do {
            try putInsert(document, record, collection, changes)
            var entry: UnsafeRawBufferPointer?
            if context.isReplicated, let optime {
                let header = OplogEntryWriter.Header(
                    op: "i", namespace: collection.namespaceBytes, uuid: collection.uuid, optime: optime,
                    wall: context.wall, statement: statement, isFromMigration: context.isFromMigration,
                    isUpsert: isUpsert, retryImage: retryImage)
                entry = entries.write(header) { $0.append("o", document) }
            }
            if let statement, let optime { try sessions.put(statement, outcome, optime: optime, wall: context.wall) }
            try commit(at: optime, entry: entry)
        } catch {
            versions.abort()
            if let statement, let saved { statement.session.state = saved }
            throw error
        }
        countInsert(document, collection, changes)
        return optime
    }

    // MARK: The parts of an insert that application of entries shares

    /// Checks the `_id` and the unique indexes, and makes the keys of the others. Changes nothing.
    @inline(__always)
    func prepareInsert(
        _ document: DocumentView, _ record: RecordKey, _ collection: Collection, isApplying: Bool = false
    ) throws -> IndexChanges? {
        guard let id = document.first?.value else { throw InvariantViolation("a document to insert has no _id") }
        try idKey(id, collection)
        let idTable = collection.idIndex.table
        switch try versions.get(idTable, scratch.key.bytes, at: .latest) {
        case .absent: break
        case .found: throw duplicateKey(document, collection, collection.idIndex, scratch.key.bytes)
        case .notResident: throw StorageNotResident(table: idTable, key: scratch.key.toArray())
        }
        if collection.hasOnlyIDIndex { return nil }
        let changes = indexChanges
        changes.removeAll()
        try changes.addInsert(document, record, collection)
        try checkUnique(changes, document, record, collection, isApplying: isApplying)
        return changes
    }

    /// Puts the key of an `_id` into the scratch key buffer.
    @inline(__always)
    func idKey(_ id: ValueView, _ collection: Collection) throws {
        scratch.key.removeAll(keeping: 1 << 16)
        IndexKey.append(id, to: scratch.key)
        if scratch.key.count > Limits.storageKeyBytesMax { throw IndexChanges.keyTooLong(collection.idIndex) }
    }

    /// Puts record and index entries into the open batch; the `_id` key is still in the scratch buffer.
    @inline(__always)
    func putInsert(_ document: DocumentView, _ record: RecordKey, _ collection: Collection, _ changes: IndexChanges?)
        throws
    {
        try record.withBytes { recordBytes in
            try versions.put(collection.table, collection.kind, key: recordBytes, value: document.bytes)
            try versions.put(collection.idIndex.table, collection.kind, key: scratch.key.bytes, value: recordBytes)
        }
        if let changes { try put(changes, record, collection) }
    }

    /// Counts an insert, once its batch is committed.
    @inline(__always)
    func countInsert(_ document: DocumentView, _ collection: Collection, _ changes: IndexChanges?) {
        collection.nextRecordID += 1
        collection.count += 1
        collection.dataBytes += document.byteCount
        if let changes { changes.committed(collection) }
    }
}
