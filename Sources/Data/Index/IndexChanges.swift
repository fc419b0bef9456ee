import BSON
import Core
import Query

/// What one document's write changes in the indexes beside `_id`. One object a store, reused for every write.
final class IndexChanges {
    struct Change {
        let index: CollectionIndex
        let isAdded: Bool
        let start: Int
        let end: Int
    }

    private(set) var changes: [Change] = []
    /// Indexes that get more than one key from this document for the first time.
    private(set) var newlyMultikey: [(index: CollectionIndex, paths: [UInt64])] = []
    private let bytes = ByteBuffer(capacity: 1024)
    private let old = IndexKeys()
    private let new = IndexKeys()
    /// Stays empty: the keys of a document that is not there.
    private let none = IndexKeys()

    func removeAll() {
        changes.removeAll(keepingCapacity: true)
        newlyMultikey.removeAll(keepingCapacity: true)
        bytes.removeAll(keeping: 1 << 20)
    }

    func key(_ change: Change) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes.bytes[change.start..<change.end])
    }

    func addInsert(_ document: DocumentView, _ record: RecordKey, _ collection: Collection) throws {
        try add(old: nil, new: document, record, collection)
    }

    func addDelete(_ document: DocumentView, _ record: RecordKey, _ collection: Collection) throws {
        try add(old: document, new: nil, record, collection)
    }

    func addUpdate(old: DocumentView, new: DocumentView, _ record: RecordKey, _ collection: Collection) throws {
        try add(old: old, new: new, record, collection)
    }

    private func add(
        old oldDocument: DocumentView?, new newDocument: DocumentView?, _ record: RecordKey, _ collection: Collection
    ) throws {
        for index in collection.indexes.dropFirst() where index.isMaintained(for: record) {
            if let oldDocument { try index.generator.generate(oldDocument, into: old) }
            if let newDocument {
                try index.generator.generate(newDocument, into: new)
                if new.isMultikey, let paths = index.widened(by: new.multikeyPaths) {
                    newlyMultikey.append((index, paths))
                }
            }
            let before = oldDocument == nil ? none : old
            let after = newDocument == nil ? none : new
            // Deletions come first, so that no key is deleted behind its own addition.
            addDifference(before, without: after, index, isAdded: false)
            addDifference(after, without: before, index, isAdded: true)
            for change in changes where change.isAdded && change.index === index {
                guard change.end - change.start + RecordKey.byteCount <= Limits.storageKeyBytesMax else {
                    throw IndexChanges.keyTooLong(index)
                }
            }
        }
    }

    /// Notes the keys of one set that are not in the other; both are in order.
    private func addDifference(_ keys: IndexKeys, without other: IndexKeys, _ index: CollectionIndex, isAdded: Bool) {
        var position = 0
        for candidate in 0..<keys.count {
            let key = keys[candidate]
            while position < other.count, compareBytes(other[position], key) < 0 { position += 1 }
            if position < other.count, compareBytes(other[position], key) == 0 { continue }
            let start = bytes.count
            bytes.append(key)
            changes.append(Change(index: index, isAdded: isAdded, start: start, end: bytes.count))
        }
    }

    /// Leaves indexes out after all.
    func remove(_ indexes: [CollectionIndex]) {
        changes.removeAll { change in indexes.contains { $0 === change.index } }
    }

    static func keyTooLong(_ index: CollectionIndex) -> ServerError {
        ServerError(
            .keyTooLong,
            "the key of index \(index.name) would be longer than \(Limits.storageKeyBytesMax) bytes")
    }
}

extension DataStore {
    /// Throws `DuplicateKey` when a unique index has an added key already, for another document. Changes nothing,
    /// except that an entry that is applied restarts an unfinished build instead: there a duplicate may still go away.
    func checkUnique(
        _ changes: IndexChanges, _ document: DocumentView, _ record: RecordKey, _ collection: Collection,
        _ step: WriteStep, isApplying: Bool = false
    ) throws {
        for change in changes.changes where change.isAdded && change.index.refusesDuplicates {
            let index = change.index
            // What is applied was checked where it was written. While cloning, `deferConflicting` decides.
            if isApplying, !versions.keepsHistory || index.keepsRecordInKey { continue }
            guard try isTaken(changes.key(change), by: index, for: record, step) else { continue }
            guard isApplying, index.state == .building else {
                throw duplicateKey(document, collection, index, changes.key(change))
            }
            indexBuilds.first { $0.contains(index) }?.mustRestart = true
        }
    }

    /// The indexes that have an added key already, for another document, and no room for a second entry of it.
    func conflicts(_ changes: IndexChanges, _ record: RecordKey, _ step: WriteStep) throws -> [CollectionIndex] {
        try changes.changes.filter { change in
            guard change.isAdded, !change.index.keepsRecordInKey else { return false }
            return try isTaken(changes.key(change), by: change.index, for: record, step)
        }.map { $0.index }
    }

    /// Whether another document than `record` has that key.
    private func isTaken(
        _ key: UnsafeRawBufferPointer, by index: CollectionIndex, for record: RecordKey, _ step: WriteStep
    ) throws -> Bool {
        guard index.keepsRecordInKey else {
            switch try versions.get(index.table, key, at: step.point) {
            case .absent: return false
            case .notResident: throw StorageNotResident(index.table, key)
            case .found(let owner): return try index.record(key: key, value: owner).id != record.id
            }
        }
        // Two entries of one key are enough to find another document's.
        let rows = RowBuffer(limit: 2)
        var scan = try versions.read(
            index.table, from: .including(key), direction: .forward, at: step.point, into: rows)
        while true {
            for row in rows.rows {
                guard row.key.count == key.count + RecordKey.byteCount, row.key.starts(with: key) else { return false }
                if try index.record(key: row.key, value: row.value).id != record.id { return true }
            }
            guard case .notResident = scan, let last = rows.rows.last.map({ [UInt8]($0.key) }) else { return false }
            scan = try last.withUnsafeBytes {
                try versions.read(index.table, from: .behind($0), direction: .forward, at: step.point, into: rows)
            }
        }
    }

    /// Puts the changes of the indexes into a step.
    func put(_ changes: IndexChanges, _ record: RecordKey, _ collection: Collection, _ step: WriteStep) throws {
        for change in changes.changes {
            let key = changes.key(change)
            let table = change.index.table
            if !change.index.keepsRecordInKey {
                if change.isAdded {
                    try record.withBytes { try step.put(table, collection.kind, key: key, value: $0) }
                } else {
                    try step.delete(table, collection.kind, key: key)
                }
                continue
            }
            scratch.entry.removeAll(keeping: 1 << 17)
            scratch.entry.append(key)
            record.withBytes { scratch.entry.append($0) }
            if change.isAdded {
                let empty = UnsafeRawBufferPointer(start: nil, count: 0)
                try step.put(table, collection.kind, key: scratch.entry.bytes, value: empty)
            } else {
                try step.delete(table, collection.kind, key: scratch.entry.bytes)
            }
        }
        if !changes.newlyMultikey.isEmpty { try widen(changes.newlyMultikey, collection, step) }
    }

    /// Notes that indexes are multikey from now on.
    private func widen(
        _ widened: [(index: CollectionIndex, paths: [UInt64])], _ collection: Collection, _ step: WriteStep
    ) throws {
        for (index, paths) in widened {
            let before = index.spec.multikeyPaths
            index.spec.multikeyPaths = paths
            step.onRewind { index.spec.multikeyPaths = before }
        }
        collection.generation += 1
        try catalog.put(collection, step)
    }
}
