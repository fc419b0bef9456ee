import BSON
public import Core
import Query

/// Fills hidden indexes from a collection that is in use: a scan in record order, in slices, while writes to what it
/// has passed maintain the indexes themselves.
///
/// Nothing of the scan is logged; start, commit and abort are. A restart scans again.
public final class IndexBuild {
    public let collection: Collection
    public let indexes: [CollectionIndex]
    public let buildID: CollectionUUID?
    private unowned let store: DataStore
    private let rows = RowBuffer(limit: Limits.indexBuildRowsPerBatch)
    private let keys = IndexKeys()
    private let entry = ByteBuffer()
    private var position: UInt64 = 0
    /// Set when an entry that is being applied met a duplicate that may still go away: the scan starts over.
    var mustRestart = false
    /// What the command that runs the build waits for when it is committed; its own business.
    public var quorum: (any Hashable)?
    /// Whether the scan is through, so that the build can be committed.
    public private(set) var isScanned = false

    init(store: DataStore, collection: Collection, indexes: [CollectionIndex], buildID: CollectionUUID?) {
        self.store = store
        self.collection = collection
        self.indexes = indexes
        self.buildID = buildID
    }

    func contains(_ index: CollectionIndex) -> Bool { indexes.contains { $0 === index } }

    /// Who steps a build, and so what a key that a unique index finds twice means.
    public enum Purpose {
        /// The primary: the build fails with `DuplicateKey` (11000), and is to be aborted.
        case primary
        /// A member that follows: the other document may still go away. The scan starts over at the commit entry.
        case following
        /// Application of the commit entry, held until the scan is through: the data are those the primary has checked.
        case committing
    }

    /// Scans until the deadline; `.done` when there is nothing more to do for that purpose.
    public func step(until deadline: Instant, _ purpose: Purpose = .primary) throws -> WriteProgress {
        guard !collection.isDropped else {
            throw ServerError(.indexBuildAborted, "the collection was dropped while its indexes were built")
        }
        if mustRestart {
            if purpose == .following { return .done }
            try restart()
        }
        do {
            return try scan(until: deadline)
        } catch let error as ServerError where error.code == .duplicateKey && purpose == .following {
            mustRestart = true
            return .done
        }
    }

    private func scan(until deadline: Instant) throws -> WriteProgress {
        while !isScanned {
            rows.removeAll()
            let scan = try RecordKey(position).withBytes {
                try store.versions.read(
                    collection.table, from: .behind($0), direction: .forward, at: .latest, into: rows)
            }
            var isMissing = false
            if case .notResident = scan { isMissing = true }
            // A batch that is not full came to the end. Said in the same slice, or inserts would keep the scan running.
            let isEnd = !isMissing && !rows.isFull
            if rows.count > 0 { try addRows() }
            isScanned = isEnd
            for index in indexes { index.scannedThrough = isEnd ? .max : position }
            if !isEnd, store.runtime.now >= deadline { return .yield }
        }
        return .done
    }

    private func restart() throws {
        mustRestart = false
        isScanned = false
        position = 0
        for index in indexes { index.scannedThrough = 0 }
        try store.versions.step(at: nil) { step in for index in indexes { step.dropTable(index.table) } }
    }

    /// Adds one batch of rows to the indexes. The entries have no versions: until the commit entry nobody reads the
    /// index.
    private func addRows() throws {
        var last = position
        try store.versions.step(at: nil) { step in
            var added: [[UInt8]: UInt64] = [:]
            for row in rows.rows {
                guard let base = row.key.baseAddress else { throw InvariantViolation("a record key is empty") }
                let record = RecordKey(loadingFrom: base)
                let document = try storedDocument(row.value)
                for index in indexes {
                    try index.generator.generate(document, into: keys)
                    if keys.isMultikey, let paths = index.widened(by: keys.multikeyPaths) {
                        index.spec.multikeyPaths = paths
                    }
                    for position in 0..<keys.count { try add(keys[position], record, document, index, &added, step) }
                }
                last = record.id
            }
        }
        position = last
    }

    private func add(
        _ key: UnsafeRawBufferPointer, _ record: RecordKey, _ document: DocumentView, _ index: CollectionIndex,
        _ added: inout [[UInt8]: UInt64], _ step: WriteStep
    ) throws {
        guard key.count + RecordKey.byteCount <= Limits.storageKeyBytesMax else { throw IndexChanges.keyTooLong(index) }
        entry.removeAll(keeping: 1 << 17)
        entry.append(key)
        guard !index.keepsRecordInKey else {
            record.withBytes { entry.append($0) }
            let empty = UnsafeRawBufferPointer(start: nil, count: 0)
            return try step.put(index.table, .local, key: entry.bytes, value: empty)
        }
        // Keys of this batch are not in the table yet.
        let batchKey = withUnsafeBytes(of: index.table.rawValue) { [UInt8]($0) } + key
        if let owner = added[batchKey], owner != record.id {
            throw store.duplicateKey(document, collection, index, key)
        }
        added[batchKey] = record.id
        switch try store.versions.get(index.table, key, at: .latest) {
        case .absent: break
        case .notResident: throw StorageNotResident(table: index.table, key: [UInt8](key))
        case .found(let owner):
            guard owner.count == RecordKey.byteCount, let base = owner.baseAddress,
                RecordKey(loadingFrom: base).id == record.id
            else { throw store.duplicateKey(document, collection, index, key) }
        }
        try record.withBytes { try step.put(index.table, .local, key: entry.bytes, value: $0) }
    }
}
