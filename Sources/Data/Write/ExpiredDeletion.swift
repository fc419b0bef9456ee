import BSON
public import Core
import Query

/// The deletion of what one TTL index says has expired, on its way: a walk over the index's dates, oldest first, that
/// deletes as it goes; one step and one entry a document.
///
/// A document is in the index with every date of an array, so its earliest one decides; under a partial filter it is
/// there only while it matches. What is no date has no key among the dates, and never expires.
public final class ExpiredDeletion {
    /// Documents deleted.
    public private(set) var n = 0

    private let store: DataStore
    private let collection: Collection
    private let index: CollectionIndex
    /// The keys of the dates that have expired, the bounds included.
    private let first: [UInt8]
    private let last: [UInt8]
    /// The entry that was looked at last.
    private var position: [UInt8]?
    private let rows = RowBuffer(limit: Limits.ttlRowsPerBatch)

    /// - Parameter now: what counts as the present, for the whole of the deletion.
    /// - Returns: nil for an index by which nothing expires.
    public init?(_ store: DataStore, _ collection: Collection, _ index: CollectionIndex, now: WallTime) {
        guard collection.expires(by: index), collection.options.capped == nil,
            let seconds = collection.expireAfterSeconds(of: index)
        else {
            return nil
        }
        self.store = store
        self.collection = collection
        self.index = index
        let (age, tooOld) = seconds.multipliedReportingOverflow(by: 1000)
        let (threshold, tooEarly) = now.milliseconds.subtractingReportingOverflow(age)
        guard !tooOld, !tooEarly else { return nil }
        let isDescending = index.spec.pattern.fields.first?.kind == .descending
        let bounds = [Int64.min, threshold].map { ExpiredDeletion.key($0, descending: isDescending) }
        (first, last) = isDescending ? (bounds[1], bounds[0]) : (bounds[0], bounds[1])
    }

    private static func key(_ millis: Int64, descending: Bool) -> [UInt8] {
        let buffer = ByteBuffer(capacity: 16)
        Document { $0.append("", dateTime: millis) }.withView { view in
            if let date = view.first?.value { IndexKey.append(date, descending: descending, to: buffer) }
        }
        return buffer.toArray()
    }

    /// Whether the index is still what it was when the deletion began.
    public var isCurrent: Bool { !collection.isDropped && collection.indexes.contains { $0 === index } }

    /// Goes on until done or the slice is used up. What was deleted before an error stays deleted, and is in `n`.
    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        while isCurrent {
            let batch = try nextBatch()
            for entry in batch.entries {
                let key = index.keepsRecordInKey ? entry.key.dropLast(RecordKey.byteCount) : entry.key[...]
                if last.lexicographicallyPrecedes(key) { return .done }
                try delete(entry.record, context)
                position = entry.key
                if clock.isOver(store.runtime) || store.endsSlice(context, deadline) { return .yield }
            }
            if batch.isLast { return .done }
            if clock.isOverNow(store.runtime) { return .yield }
        }
        return .done
    }

    /// Entries of the index, copied: a write moves what a read has found.
    private func nextBatch() throws -> (entries: [(key: [UInt8], record: RecordKey)], isLast: Bool) {
        rows.removeAll()
        let scan = try (position ?? first).withUnsafeBytes { key in
            try store.versions.read(
                index.table, from: position == nil ? .including(key) : .behind(key), direction: .forward, at: .latest,
                into: rows)
        }
        var entries: [(key: [UInt8], record: RecordKey)] = []
        for row in rows.rows { entries.append(([UInt8](row.key), try index.record(key: row.key, value: row.value))) }
        if case .notResident = scan { return (entries, false) }
        return (entries, !rows.isFull)
    }

    /// Deletes a document, unless an earlier date of its array has seen to that.
    private func delete(_ record: RecordKey, _ context: WriteContext) throws {
        guard let old = try store.document(record, in: collection) else { return }
        // What another shard owns expires there; what is on its way expires when it has arrived.
        if let ownership = try store.ownership(of: collection) {
            do { try ownership.checkWrite(old) } catch { return }
        }
        try store.step {
            try store.delete(record, old: old, in: collection, $0, context, nil, StatementOutcome(kind: .delete, n: 1))
        }
        n += 1
    }
}

extension Collection {
    /// Whether documents expire by an index: a complete one with an age. A hidden one counts.
    public func expires(by index: CollectionIndex) -> Bool {
        index.state == .ready && expireAfterSeconds(of: index) != nil && index.spec.pattern.fields.count == 1
    }

    /// That of the index on `_id` is the collection's.
    func expireAfterSeconds(of index: CollectionIndex) -> Int64? {
        index.isIDIndex ? options.clustered?.expireAfterSeconds : index.spec.expireAfterSeconds
    }
}
