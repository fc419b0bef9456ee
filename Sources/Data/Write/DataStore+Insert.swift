public import BSON
public import Core
import Query

extension DataStore {
    /// Inserts one document: one step, one entry. Throws `DuplicateKey` (11000), `InvalidIdField` (53),
    /// `BSONObjectTooLarge` (10334) and the like, and has then changed nothing. A capped collection makes room in
    /// further steps, as far as its oldest documents are in memory; what is left is for the next insert.
    @discardableResult
    public func insertOne(
        _ document: DocumentView, into collection: Collection, _ context: WriteContext, statement: Int32 = 0
    ) throws -> OpTime? {
        let optime = try insert(document, into: collection, context, statement)
        if collection.options.capped != nil { try trimWhatIsResident(collection, context) }
        return optime
    }

    /// The same without making room.
    @inline(__always) @discardableResult
    func insert(
        _ document: DocumentView, into collection: Collection, _ context: WriteContext, _ statement: Int32
    ) throws -> OpTime? {
        if let validation = context.validation, collection.isValidated {
            return try insertOne(document, into: collection, context, statement, validation)
        }
        let prepared = try prepareForInsert(document, context)
        return try step {
            try insert(
                prepared, into: collection, $0, context, Statement(context, id: statement),
                StatementOutcome(kind: .insert, n: 1))
            return $0.optime
        }
    }

    /// Makes room in a capped collection behind an insert that has taken effect and must not be made again.
    func trimWhatIsResident(_ collection: Collection, _ context: WriteContext) throws {
        do { try trimCapped(collection, context) } catch let missing as StorageNotResident { prefetchSoon(missing) }
    }

    /// The same where the validation may be interrupted.
    private func insertOne(
        _ document: DocumentView, into collection: Collection, _ context: WriteContext, _ statement: Int32,
        _ validation: Validation
    ) throws -> OpTime? {
        let prepared = try validation.takeMade(of: nil) ?? prepareForInsert(document, context).document
        return try prepared.withView { view in
            do {
                return try step {
                    try insert(
                        view, into: collection, $0, context, Statement(context, id: statement),
                        StatementOutcome(kind: .insert, n: 1))
                    return $0.optime
                }
            } catch let error as ServerError where error.isInterruption {
                validation.keepMade(view, of: nil)
                throw error
            }
        }
    }

    /// Adds the insert of a prepared document to a step.
    @inline(__always)
    func insert(
        _ document: DocumentView, into collection: Collection, _ step: WriteStep, _ context: WriteContext,
        _ statement: Statement?, _ outcome: StatementOutcome, isUpsert: Bool = false, retryImage: RetryImage? = nil
    ) throws {
        if let validator = collection.validator, !context.bypassesValidation {
            try validator.check(document, context.validation, runtime)
        }
        if ownerships != nil, !context.isFromMigration { try ownership(of: collection)?.checkWrite(document) }
        let record = RecordKey(collection.nextRecordID)
        let changes = try prepareInsert(document, record, collection, step)
        let optime = try optime(step, collection.kind, context)
        if collection.kind == .replicated { work.inserted &+= 1 }
        try putInsert(document, record, collection, changes, step)
        guard let optime else { return }
        if context.isReplicated {
            let header = StepEntry.Header(
                op: "i", namespace: collection.namespaceBytes, uuid: collection.uuid, optime: optime,
                wall: context.wall, statement: statement, isFromMigration: context.isFromMigration,
                isUpsert: isUpsert, retryImage: retryImage)
            try step.entry.add(header) { $0.append("o", document) }
        }
        if let statement { try sessions.put(statement, outcome, optime: optime, wall: context.wall, step) }
    }

    // MARK: The parts of an insert that application of entries shares

    /// Checks the `_id` and the unique indexes, and makes the keys of the others. Changes nothing.
    @inline(__always)
    func prepareInsert(
        _ document: DocumentView, _ record: RecordKey, _ collection: Collection, _ step: WriteStep,
        isApplying: Bool = false
    ) throws -> IndexChanges? {
        guard let id = document.first?.value else { throw InvariantViolation("a document to insert has no _id") }
        try idKey(id, collection)
        let idTable = collection.idIndex.table
        switch try versions.get(idTable, scratch.key.bytes, at: step.point) {
        case .absent: break
        case .found: throw duplicateKey(document, collection, collection.idIndex, scratch.key.bytes)
        case .notResident: throw StorageNotResident(table: idTable, key: scratch.key.toArray())
        }
        if collection.hasOnlyIDIndex { return nil }
        let changes = indexChanges
        changes.removeAll()
        try changes.addInsert(document, record, collection)
        try checkUnique(changes, document, record, collection, step, isApplying: isApplying)
        return changes
    }

    /// Puts the key of an `_id` into the scratch key buffer.
    @inline(__always)
    func idKey(_ id: ValueView, _ collection: Collection) throws {
        scratch.key.removeAll(keeping: 1 << 16)
        IndexKey.append(id, to: scratch.key)
        if scratch.key.count > Limits.storageKeyBytesMax { throw IndexChanges.keyTooLong(collection.idIndex) }
    }

    /// Puts record and index entries into a step; the `_id` key is still in the scratch buffer.
    @inline(__always)
    func putInsert(
        _ document: DocumentView, _ record: RecordKey, _ collection: Collection, _ changes: IndexChanges?,
        _ step: WriteStep
    ) throws {
        try record.withBytes { recordBytes in
            try step.put(collection.table, collection.kind, key: recordBytes, value: document.bytes)
            try step.put(collection.idIndex.table, collection.kind, key: scratch.key.bytes, value: recordBytes)
        }
        if let changes { try put(changes, record, collection, step) }
        // A step that is undone leaves a gap among the record ids.
        collection.nextRecordID += 1
        step.count(collection, documents: 1, bytes: document.byteCount)
    }
}
