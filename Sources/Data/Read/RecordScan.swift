import BSON
import Core
import Query

/// Walks records by a plan, in slices. Between slices it holds a key, not a position: it sees what was written
/// meanwhile, and no pointer into storage outlives the slice.
final class RecordScan {
    private let versions: VersionStore
    private let collection: Collection
    private let source: ScanSource
    private let point: ReadPoint
    private let rows: RowBuffer
    /// The documents that a page of index rows leads to.
    private var documents: [UnsafeRawBufferPointer] = []
    private var recordPointers: [UnsafeRawPointer?] = []
    /// The key of the last row that was taken; empty before the first of a segment.
    private let last = ByteBuffer(capacity: 32)
    /// The segment, or the `_id`, that is being read.
    private var segment = 0
    /// Records that were shown, when several keys may lead to one.
    private var shown: Set<UInt64>?
    /// The key of the index entry that led to the document that is being shown, in the segment that is being read.
    private var entryKey: UnsafeRawBufferPointer?
    private(set) var keysExamined = 0
    private(set) var documentsExamined = 0

    private static let firstBatch = 8
    private static let laterBatch = 128

    /// - Parameter expected: how many documents the reader wants, where it says so.
    init(
        _ versions: VersionStore, _ collection: Collection, _ source: ScanSource, at point: ReadPoint,
        expected: Int? = nil
    ) {
        rows = RowBuffer(limit: expected.map { min(max($0, 1), RecordScan.laterBatch) } ?? RecordScan.firstBatch)
        self.versions = versions
        self.collection = collection
        self.source = source
        self.point = point
        if case .segments(_, needsDeduplication: true) = source { shown = [] }
    }

    typealias Body = (DocumentView, RecordKey) throws -> ScanVerdict

    /// Shows documents until the consumer stops, the slice is used up or there are no more.
    func run(_ clock: inout SliceClock, _ runtime: any NodeRuntime, _ body: Body) throws -> ScanEnd {
        if collection.isReclaimed { throw killed("collection dropped") }
        // A read in the past goes on until the dropped data is given back.
        if case .latest = point, collection.isDropped { throw killed("collection dropped") }
        switch source {
        case .collection(let direction):
            return try walk(collection.table, nil, [], nil, direction, &clock, runtime, body)
        case .segments(let segments, _): return try run(segments, &clock, runtime, body)
        case .ids(let ids): return try run(ids, body)
        }
    }

    /// Whether the record that a walk of the collection showed last is gone: what came behind it may be gone as well.
    func hasLostPosition() throws -> Bool {
        guard case .collection = source, last.count > 0 else { return false }
        return switch try versions.get(collection.table, last.bytes, at: point) {
        case .found: false
        case .absent: true
        case .notResident: throw StorageNotResident(table: collection.table, key: last.toArray())
        }
    }

    private func killed(_ why: String) -> ServerError {
        ServerError(.queryPlanKilled, "the operation on \(collection.namespace) ended: \(why)")
    }

    // MARK: By index

    private func run(
        _ segments: [ScanSource.Segment], _ clock: inout SliceClock, _ runtime: any NodeRuntime, _ body: Body
    ) throws -> ScanEnd {
        while segment < segments.count {
            let current = segments[segment]
            let index = current.index
            // A `collMod` makes a new object of an index, and keeps its table.
            guard collection.indexes.contains(where: { $0.table == index.table }) else {
                throw killed("index '\(index.name)' dropped")
            }
            let end = try walk(
                index.table, index, current.lower, current.upper, current.direction, &clock, runtime, body)
            guard case .ended = end else { return end }
            segment += 1
            last.removeAll()
        }
        return .ended
    }

    /// The key of the entry that led to the document that is being shown; valid during the call that shows it.
    func indexKey(of document: DocumentView) throws -> Document {
        switch source {
        case .collection: return Document()
        case .ids: return Document { writer in if let id = document["_id"] { writer.append("_id", id) } }
        case .segments(let segments, _):
            guard let entryKey, segment < segments.count else { return Document() }
            let index = segments[segment].index
            let key =
                index.keepsRecordInKey
                ? UnsafeRawBufferPointer(rebasing: entryKey.dropLast(RecordKey.byteCount)) : entryKey
            return try index.generator.keyValue(of: document, key: key) ?? Document()
        }
    }

    private func suffix(_ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: key.suffix(RecordKey.byteCount))
    }

    private func recordKey(_ bytes: UnsafeRawBufferPointer) throws -> RecordKey {
        guard let base = bytes.baseAddress, bytes.count == RecordKey.byteCount else {
            throw InvariantViolation("an entry of \(collection.namespace) holds no record id")
        }
        return RecordKey(loadingFrom: base)
    }

    /// Gets the documents that the first index rows lead to, up to `count`. Returns of how many.
    private func fetch(_ count: Int, _ index: CollectionIndex) throws -> Int {
        recordPointers.removeAll(keepingCapacity: true)
        for row in rows.rows[..<count] {
            let id = index.keepsRecordInKey ? suffix(row.key) : row.value
            _ = try recordKey(id)
            recordPointers.append(id.baseAddress)
        }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        if documents.count < count {
            documents.append(contentsOf: repeatElement(nothing, count: count - documents.count))
        }
        return try recordPointers.withUnsafeBufferPointer { keys in
            try documents.withUnsafeMutableBufferPointer { values in
                try versions.getMany(
                    collection.table, keys: keys, keyByteCount: RecordKey.byteCount, at: point,
                    into: UnsafeMutableBufferPointer(rebasing: values[..<keys.count]))
            }
        }
    }

    private func document(_ record: RecordKey) throws -> UnsafeRawBufferPointer {
        try record.withBytes { key in
            switch try versions.get(collection.table, key, at: point) {
            case .found(let bytes): bytes
            case .absent: UnsafeRawBufferPointer(start: nil, count: 0)
            case .notResident: throw StorageNotResident(table: collection.table, key: [UInt8](key))
            }
        }
    }

    /// Shows the document of a record, once.
    @inline(__always)
    private func show(_ record: RecordKey, _ bytes: UnsafeRawBufferPointer, _ body: Body) throws -> ScanVerdict {
        if shown?.contains(record.id) == true { return .next }
        guard bytes.baseAddress != nil else {
            throw InvariantViolation("an index entry of \(collection.namespace) has no record")
        }
        let document = try storedDocument(bytes)
        documentsExamined += 1
        let verdict = try body(document, record)
        switch verdict {
        case .refuse, .interrupted: return verdict
        case .next, .stop: break
        }
        shown?.insert(record.id)
        return verdict
    }

    // MARK: By _id

    private func run(_ ids: [[UInt8]], _ body: Body) throws -> ScanEnd {
        let table = collection.idIndex.table
        while segment < ids.count {
            let found = try ids[segment].withUnsafeBytes { try versions.get(table, $0, at: point) }
            var verdict = ScanVerdict.next
            switch found {
            case .absent: break
            case .notResident: throw StorageNotResident(table: table, key: ids[segment])
            case .found(let value):
                let record = try recordKey(value)
                let bytes = try document(record)
                keysExamined += 1
                verdict = try show(record, bytes, body)
            }
            if case .refuse = verdict { return .stopped }
            if case .interrupted = verdict { return .yield }
            segment += 1
            if case .stop = verdict { return .stopped }
        }
        return .ended
    }

    // MARK: Rows

    /// Shows what the rows of a table lead to, from behind the last one taken, inside the bounds. Every way out, an
    /// error too, remembers the last row that was taken. The rows are records, or entries of an `index`.
    @inline(__always)
    private func walk(
        _ table: TableID, _ index: CollectionIndex?, _ lower: [UInt8], _ upper: [UInt8]?, _ direction: ScanDirection,
        _ clock: inout SliceClock, _ runtime: any NodeRuntime, _ body: Body
    ) throws -> ScanEnd {
        let keepsRecordInKey = index?.keepsRecordInKey ?? true
        while true {
            rows.removeAll()
            let scan = try fill(table, lower, upper, direction)
            let inside = rowsInside(lower, upper, direction)
            let ready = if let index, inside > 0 { try fetch(inside, index) } else { inside }
            var taken = 0
            defer { if taken > 0 { remember(rows.rows[taken - 1].key) } }
            while taken < ready {
                let row = rows.rows[taken]
                let verdict: ScanVerdict
                if index == nil {
                    documentsExamined += 1
                    verdict = try body(try storedDocument(row.value), try recordKey(row.key))
                } else {
                    keysExamined += 1
                    entryKey = row.key
                    verdict = try show(
                        try recordKey(keepsRecordInKey ? suffix(row.key) : row.value), documents[taken], body)
                }
                if case .refuse = verdict { return .stopped }
                if case .interrupted = verdict { return .yield }
                taken += 1
                if case .stop = verdict { return .stopped }
                if clock.isOver(runtime) { return .yield }
            }
            if ready < inside { continue }
            if inside < rows.count { return .ended }
            if case .done = scan, !rows.isFull { return .ended }
            rows.limit = RecordScan.laterBatch
        }
    }

    private func remember(_ key: UnsafeRawBufferPointer) {
        last.removeAll()
        last.append(key)
    }

    private func fill(_ table: TableID, _ lower: [UInt8], _ upper: [UInt8]?, _ direction: ScanDirection) throws
        -> StorageScan
    {
        func read(_ bound: StorageBound) throws -> StorageScan {
            try versions.read(table, from: bound, direction: direction, at: point, into: rows)
        }
        if last.count > 0 { return try read(.behind(last.bytes)) }
        switch direction {
        case .forward:
            return lower.isEmpty ? try read(.start) : try lower.withUnsafeBytes { try read(.including($0)) }
        case .backward:
            // `upper` is exclusive: behind it, against the order, come the keys before it.
            guard let upper else { return try read(.start) }
            return try upper.withUnsafeBytes { try read(.behind($0)) }
        }
    }

    /// How many rows, from the first on, lie inside the bounds: most often all.
    private func rowsInside(_ lower: [UInt8], _ upper: [UInt8]?, _ direction: ScanDirection) -> Int {
        switch direction {
        case .forward:
            guard let upper else { return rows.count }
            return upper.withUnsafeBytes { bound in prefix { compareBytes($0, bound) < 0 } }
        case .backward:
            if lower.isEmpty { return rows.count }
            return lower.withUnsafeBytes { bound in prefix { compareBytes($0, bound) >= 0 } }
        }
    }

    /// How many rows in front have keys for which `isInside` holds; it holds for none behind them.
    private func prefix(_ isInside: (UnsafeRawBufferPointer) -> Bool) -> Int {
        let all = rows.rows
        if let last = all.last, isInside(last.key) { return all.count }
        return all.firstIndex { !isInside($0.key) } ?? all.count
    }
}
