import BSON
public import Core
import Query

/// What `validate` found out about one collection.
public struct ValidationReport: Sendable {
    public var records = 0
    /// Keys of each index, by its name.
    public var keysPerIndex: [(name: String, keys: Int)] = []
    /// What does not agree; empty when all is well.
    public var errors: [String] = []
    /// What could not be looked at.
    public var warnings: [String] = []
}

/// Checks in slices that a collection agrees with its indexes and its counters, while others go on writing.
///
/// Every record must have its entries at the moment when it is looked at, and every entry its record. Numbers are
/// compared at the end, when nothing was written meanwhile.
public final class CollectionValidation {
    public private(set) var report = ValidationReport()

    private let store: DataStore
    private let collection: Collection
    private let indexes: [CollectionIndex]
    private let startMark: UInt64
    private var records: RowWalk?
    /// The index whose entries are being looked at.
    private var position = 0
    private var entries: RowWalk?
    private var bytes = 0
    private var keysExpected: [Int]
    private var keysFound: [Int]
    private var missing: [Int]
    private var orphaned: [Int]
    private let keys = IndexKeys()
    private let entryKey = ByteBuffer(capacity: 64)

    public init(_ store: DataStore, _ collection: Collection) {
        self.store = store
        self.collection = collection
        indexes = collection.indexes
        startMark = store.versions.appliedMark
        records = RowWalk(collection.table)
        keysExpected = indexes.map { _ in 0 }
        keysFound = keysExpected
        missing = keysExpected
        orphaned = keysExpected
    }

    /// Goes on until done or the slice is used up.
    /// - Throws: `QueryPlanKilled` when the collection is dropped meanwhile.
    public func run(until deadline: Instant) throws -> WriteProgress {
        let isOver = { [runtime = store.runtime] in runtime.now >= deadline }
        guard !collection.isDropped else {
            throw ServerError(
                .queryPlanKilled, "the validation of \(collection.namespace) ended: collection dropped")
        }
        if var walk = records {
            defer { records = walk }
            let progress = try walk.run(store.versions, until: isOver) { try check(record: $0, $1) }
            if case .yield = progress { return .yield }
        }
        records = nil
        while position < indexes.count {
            let index = indexes[position]
            var walk = entries ?? RowWalk(index.table)
            // An index that was dropped meanwhile has no table to agree with.
            if collection.indexes.contains(where: { $0 === index }) {
                defer { entries = walk }
                let progress = try walk.run(store.versions, until: isOver) { try check(entry: $0, $1, of: index) }
                if case .yield = progress { return .yield }
            }
            entries = nil
            position += 1
        }
        conclude()
        return .done
    }

    // MARK: Records

    /// Looks up the record's entries before it counts any of them: after `StorageNotResident` it comes again.
    private func check(record key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws {
        var errors: [String] = []
        if let base = key.baseAddress, key.count == RecordKey.byteCount {
            try check(RecordKey(loadingFrom: base), value, &errors)
        } else {
            errors.append("a record key is \(key.count) bytes long")
        }
        report.records += 1
        bytes += value.count
        report.errors += errors
    }

    private func check(_ record: RecordKey, _ value: UnsafeRawBufferPointer, _ errors: inout [String]) throws {
        let document = try DocumentView.validate(value)
        if record.id >= collection.nextRecordID { errors.append("record \(record.id) is from the future") }
        if document.byteCount != value.count { errors.append("record \(record.id) has bytes behind its end") }
        if document.first?.key.string != "_id" { errors.append("record \(record.id) lacks an _id in front") }
        var found: [(position: Int, keys: Int, missing: Int)] = []
        for (position, index) in indexes.enumerated() where index.isMaintained(for: record) {
            guard collection.indexes.contains(where: { $0 === index }) else { continue }
            try index.generator.generate(document, into: keys)
            var lacking = 0
            for key in 0..<keys.count where try !hasEntry(index, keys[key], record) { lacking += 1 }
            found.append((position, keys.count, lacking))
            if index.widened(by: keys.multikeyPaths) != nil {
                errors.append("index \(index.name) does not know that record \(record.id) makes it multikey")
            }
        }
        for (position, keys, lacking) in found {
            keysExpected[position] += keys
            missing[position] += lacking
        }
    }

    private func hasEntry(_ index: CollectionIndex, _ key: UnsafeRawBufferPointer, _ record: RecordKey) throws -> Bool {
        entryKey.removeAll()
        entryKey.append(key)
        if index.keepsRecordInKey { record.withBytes { entryKey.append($0) } }
        switch try store.versions.get(index.table, entryKey.bytes, at: .latest) {
        case .absent: return false
        case .notResident: throw StorageNotResident(table: index.table, key: entryKey.toArray())
        case .found(let value): return index.keepsRecordInKey || record.withBytes { compareBytes($0, value) == 0 }
        }
    }

    // MARK: Entries

    private func check(
        entry key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, of index: CollectionIndex
    ) throws {
        let id = index.keepsRecordInKey ? UnsafeRawBufferPointer(rebasing: key.suffix(RecordKey.byteCount)) : value
        if let base = id.baseAddress, id.count == RecordKey.byteCount {
            if try store.document(RecordKey(loadingFrom: base), in: collection) == nil { orphaned[position] += 1 }
        } else {
            report.errors.append("an entry of index \(index.name) holds no record id")
        }
        keysFound[position] += 1
    }

    // MARK: Numbers

    private func conclude() {
        let isQuiet = store.versions.appliedMark == startMark
        if !isQuiet {
            report.warnings.append(
                "documents were written meanwhile: the numbers of records and keys were not compared")
        } else {
            if report.records != collection.count {
                report.errors.append("it counts \(collection.count) records and has \(report.records)")
            }
            if bytes != collection.dataBytes {
                report.errors.append("it counts \(collection.dataBytes) bytes and has \(bytes)")
            }
        }
        for (position, index) in indexes.enumerated() {
            report.keysPerIndex.append((index.name, keysFound[position]))
            if missing[position] > 0 { report.errors.append("index \(index.name) lacks \(missing[position]) entries") }
            let wanted = keysExpected[position] - missing[position]
            let surplus = isQuiet ? max(orphaned[position], keysFound[position] - wanted) : orphaned[position]
            if surplus > 0 { report.errors.append("index \(index.name) has \(surplus) entries without a document") }
        }
    }
}

extension DataStore {
    /// Checks that every collection agrees with its indexes and its counters, in one step. Returns what does not.
    public func checkConsistency() throws -> [String] {
        var errors: [String] = []
        for collection in catalog.collections {
            let validation = CollectionValidation(self, collection)
            while case .yield = try validation.run(until: .distantFuture) {}
            errors += validation.report.errors.map { "\(collection.namespace): \($0)" }
        }
        return errors
    }
}
