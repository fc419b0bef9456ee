public import BSON
public import Core

/// The check before an index becomes unique: a walk in slices over its keys, looking for those that two documents
/// share.
///
/// The index refuses new ones since it was prepared (`prepareUnique`), so what the walk has passed stays as it was.
public final class UniqueConversion {
    /// Whether only the check was asked for.
    public let isDryRun: Bool

    private let store: DataStore
    private let collection: Collection
    private let index: CollectionIndex
    private var walk: RowWalk
    private var previous: (key: [UInt8], record: RecordKey)?
    /// Keys that were met twice.
    private var shared: [[UInt8]] = []
    private var sharedBytes = 0

    init(_ store: DataStore, _ collection: Collection, _ index: CollectionIndex, isDryRun: Bool) {
        self.store = store
        self.collection = collection
        self.index = index
        self.isDryRun = isDryRun
        walk = RowWalk(index.table)
    }

    /// Goes on until done or the slice is used up; `finish` then says what came of it.
    public func step(until deadline: Instant) throws -> WriteProgress {
        // A table in which a key has room for one record shares none.
        guard index.keepsRecordInKey else { return .done }
        try checkCurrent()
        return try walk.run(store.versions, until: { [runtime = store.runtime] in runtime.now >= deadline }) {
            try look(at: $0, $1)
        }
    }

    private func look(at entry: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws {
        let record = try index.record(key: entry, value: value)
        let key = entry.dropLast(RecordKey.byteCount)
        defer { previous = ([UInt8](key), record) }
        guard let previous, previous.record.id != record.id, previous.key.elementsEqual(key),
            shared.last != previous.key, sharedBytes < Limits.uniqueViolationsBytesMax
        else { return }
        shared.append(previous.key)
        sharedBytes += previous.key.count
    }

    private func checkCurrent() throws(ServerError) {
        guard !collection.isDropped, collection.indexes.contains(where: { $0 === index }) else {
            throw ServerError(
                .commandFailed, "the index \(index.name) was changed or dropped while it was made unique; try again")
        }
    }

    /// - Throws: `CannotConvertIndexToUnique` (359) with `violations: [{ids}]` when documents share keys now.
    public func finish() throws {
        try checkCurrent()
        var violations: [[Value]] = []
        for key in shared {
            let ids = try ids(with: key)
            if ids.count > 1 { violations.append(ids) }
        }
        guard !violations.isEmpty else { return }
        let list = violations.map { ids in Value.document(["ids": .array(Document(array: ids))]) }
        throw ServerError(
            .cannotConvertIndexToUnique,
            "Cannot convert the index to unique. Please resolve conflicting documents before running collMod again.",
            details: ["violations": .array(Document(array: list))])
    }

    /// The `_id`s of the documents that have a key.
    private func ids(with key: [UInt8]) throws -> [Value] {
        var records: [RecordKey] = []
        var walk = RowWalk(index.table, from: key, rowsPerRead: Limits.uniqueViolationIDsMax)
        var isBehind = false
        _ = try walk.run(store.versions, until: { isBehind }) { entry, value in
            isBehind =
                isBehind || records.count == Limits.uniqueViolationIDsMax || !entry.starts(with: key)
                || entry.count != key.count + RecordKey.byteCount
            if !isBehind { records.append(try index.record(key: entry, value: value)) }
        }
        var ids: [Value] = []
        for record in records {
            if let id = try store.document(record, in: collection)?["_id"] { ids.append(Value(id)) }
        }
        return ids
    }
}

extension DataStore {
    /// What has to be gone through before a `collMod` may run; nil when it makes no index unique.
    public func uniqueConversion(_ namespace: Namespace, _ command: DocumentView) throws -> UniqueConversion? {
        guard let collection = catalog.find(namespace) else { return nil }
        let change = try CollectionModification(command, collection)
        guard change.index?.becomesUnique == true, let name = change.index?.name,
            let index = collection.index(named: name)
        else { return nil }
        return UniqueConversion(self, collection, index, isDryRun: change.isDryRun)
    }
}
