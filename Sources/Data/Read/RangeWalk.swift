public import BSON
public import Core
import Query

/// Visits the documents of a collection whose shard keys lie in a range, in slices: by an index whose keys are the
/// positions where there is one, else by looking at all of them. Holds a key between the slices.
public final class RangeWalk {
    private let store: DataStore
    private let collection: Collection
    private let index: CollectionIndex?
    private let range: KeyRange
    private let point: ReadPoint
    private let position: (DocumentView) -> [UInt8]?
    private let rows: RowBuffer
    /// The row that was visited last.
    private var last: [UInt8]?
    private var isOver = false

    /// - Parameters:
    ///   - index: one whose keys begin with positions; nil: every document is looked at.
    ///   - position: a document's position; nil when it has none.
    public init(
        _ store: DataStore, _ collection: Collection, index: CollectionIndex?, _ range: KeyRange,
        at point: ReadPoint = .latest, position: @escaping (DocumentView) -> [UInt8]?
    ) {
        self.store = store
        self.collection = collection
        self.index = index
        self.range = range
        self.point = point
        self.position = position
        rows = RowBuffer(limit: 64)
    }

    /// Where it is: a key of this member's index or table, for another walk of the same to go on behind.
    public var place: [UInt8] { last ?? [] }
    /// Goes on behind a place of another walk of the same index or table.
    public func resume(behind place: [UInt8]) { if !place.isEmpty { last = place } }

    /// Whether documents come in the order of their positions.
    public var isOrdered: Bool { index != nil }

    /// Goes on until there is no more, `body` says so, or the slice is used up. A document that `body` stopped at was
    /// visited.
    /// - Throws: `QueryPlanKilled` when the collection was dropped.
    public func run(
        until deadline: Instant, _ body: (DocumentView, [UInt8]) throws -> Bool
    ) throws -> WriteProgress {
        while !isOver {
            guard !collection.isDropped else {
                throw ServerError(.queryPlanKilled, "the collection \(collection.namespace) was dropped")
            }
            rows.removeAll()
            let scan = try read()
            var visited = 0
            defer { if visited > 0, visited <= rows.count { last = [UInt8](rows.rows[visited - 1].key) } }
            for row in rows.rows {
                guard let (document, key) = try look(at: row.key, row.value) else {
                    if isOver { return .done }
                    visited += 1
                    continue
                }
                visited += 1
                if try !body(document, key) { return .yield }
            }
            if case .notResident = scan, rows.count == 0 {
                throw StorageNotResident(table: index?.table ?? collection.table, key: last ?? range.lower)
            }
            if case .done = scan, !rows.isFull { isOver = true }
            if !isOver, store.runtime.now >= deadline { return .yield }
        }
        return .done
    }

    private func read() throws -> StorageScan {
        let table = index?.table ?? collection.table
        func read(_ bound: StorageBound) throws -> StorageScan {
            try store.versions.read(table, from: bound, direction: .forward, at: point, into: rows)
        }
        if let last { return try last.withUnsafeBytes { try read(.behind($0)) } }
        guard index != nil, !range.lower.isEmpty else { return try read(.start) }
        return try range.lower.withUnsafeBytes { try read(.including($0)) }
    }

    /// The document that a row leads to, when it is in the range.
    private func look(
        at key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws -> (DocumentView, [UInt8])? {
        let document: DocumentView
        if let index {
            if let upper = range.upper, !key.lexicographicallyPrecedes(upper) {
                isOver = true
                return nil
            }
            guard let found = try store.document(try index.record(key: key, value: value), in: collection, at: point)
            else { return nil }
            document = found
        } else {
            document = try storedDocument(value)
        }
        guard let position = position(document), range.contains(position) else { return nil }
        return (document, position)
    }
}

extension Collection {
    /// A complete index whose keys begin with those of a pattern; nil when there is none that holds every document.
    public func index(beginningWith pattern: Document) -> CollectionIndex? {
        indexes.first { index in
            index.state == .ready && !index.spec.isSparse && index.spec.partialFilter == nil
                && index.keyPattern.begins(with: pattern)
        }
    }
}

extension Document {
    /// Whether the first fields of a key pattern are those of another.
    public func begins(with pattern: Document) -> Bool {
        let (mine, theirs) = (fields, pattern.fields)
        return mine.count >= theirs.count
            && zip(mine, theirs).allSatisfy { one, other in
                one.key == other.key
                    && (one.value == other.value
                        || one.value.asNumber != nil && one.value.asNumber == other.value.asNumber)
            }
    }
}
