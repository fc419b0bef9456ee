public import BSON
public import Core
import Query

/// How far a cursor came in one slice.
public enum CursorProgress: Sendable {
    /// The batch is full; there may be more.
    case batchFull
    /// There is no more: the cursor is done.
    case exhausted
    /// The slice is used up: let the loop run and go on with the same batch.
    case yield
    /// A tailable cursor has shown everything there is now.
    case waiting
}

/// A running query. Holds keys between its slices, never pointers into storage.
public final class QueryCursor {
    public let request: FindRequest
    private let store: DataStore
    private let scan: MatchedScan
    private let snapshot: SnapshotToken?
    private var sorter: DocumentSorter?
    /// The next document of a sorted result.
    private var sortedPosition = 0
    private var isSorted = false
    private var toSkip: Int64
    private var returned: Int64 = 0
    private var isClosed = false

    /// Plans a query. A read at a timestamp holds a snapshot until `close`.
    public init(_ store: DataStore, _ request: FindRequest, at point: ReadPoint = .latest) throws {
        self.store = store
        self.request = request
        scan = try MatchedScan(
            store, request.namespace, request.filter, sort: request.sort, hint: request.hint, at: point,
            needsPosition: request.projection?.needsPosition ?? false, filterDocument: request.filterDocument)
        toSkip = request.skip
        if request.isTailable, !request.namespace.isOplog, let collection = scan.collection,
            collection.options.capped == nil
        {
            throw ServerError(
                .badValue,
                "error processing query: tailable cursor requested on non capped collection \(request.namespace)")
        }
        if let sort = request.sort, !sort.isEmpty, !scan.providesSort || scan.collection == nil {
            let (sum, overflow) = request.limit.addingReportingOverflow(request.skip)
            sorter = DocumentSorter(sort, limit: request.limit == 0 || overflow ? nil : Int(clamping: sum))
        }
        if case .at(let timestamp) = point { snapshot = try store.versions.openSnapshot(at: timestamp) } else { snapshot = nil }
    }

    /// Gives back what the cursor holds. Twice is harmless.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        if let snapshot { store.versions.closeSnapshot(snapshot) }
        sorter = nil
    }

    public var keysExamined: Int { scan.keysExamined }
    public var documentsExamined: Int { scan.documentsExamined }

    /// Appends up to `maxDocuments` documents of at most `maxBytes` together to `array`, at least one when there is one.
    /// After `.yield` the caller goes on with the same array, and with what is left of both maxima.
    public func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        if isClosed { return .exhausted }
        var clock = SliceClock(deadline: deadline)
        if let sorter {
            if !isSorted {
                if case .yield = try sort(sorter, &clock) { return .yield }
            }
            return try nextSorted(sorter, into: &array, maxDocuments, maxBytes, &clock)
        }
        var batch = Batch(array: array, documentsLeft: maxDocuments, bytesLeft: maxBytes)
        defer { array = batch.array }
        if maxDocuments <= 0 { return .batchFull }
        if isLimitReached { return .exhausted }
        let end = try scan.run(&clock) { document, _, position in
            if toSkip > 0 {
                toSkip -= 1
                return .next
            }
            guard batch.hasRoom(for: document) else { return .refuse }
            try emit(document, position, into: &batch)
            return isLimitReached || batch.isFull ? .stop : .next
        }
        switch end {
        case .yield: return .yield
        case .stopped: return isLimitReached ? .exhausted : .batchFull
        case .ended: return request.isTailable ? .waiting : .exhausted
        }
    }

    /// One batch under construction.
    private struct Batch {
        var array: ArrayWriter
        var documentsLeft: Int
        var bytesLeft: Int
        var isFirst = true

        init(array: ArrayWriter, documentsLeft: Int, bytesLeft: Int) {
            self.array = array
            self.documentsLeft = documentsLeft
            self.bytesLeft = bytesLeft
            isFirst = array.count == 0
        }
        var isFull: Bool { documentsLeft <= 0 || bytesLeft <= 0 }
        /// A document that is larger than what is left goes into the next batch, unless this one would stay empty.
        func hasRoom(for document: DocumentView) -> Bool { isFirst || document.byteCount <= bytesLeft }
        mutating func took(_ byteCount: Int) {
            documentsLeft -= 1
            bytesLeft -= byteCount
            isFirst = false
        }
    }

    private var isLimitReached: Bool { request.limit > 0 && returned >= request.limit }

    private func emit(_ document: DocumentView, _ position: Int?, into batch: inout Batch) throws {
        if let projection = request.projection {
            try batch.array.document { try projection.appendFields(document, position: position, to: $0) }
        } else {
            batch.array.append(document)
        }
        returned += 1
        batch.took(document.byteCount)
    }

    // MARK: Sorting

    private func sort(_ sorter: DocumentSorter, _ clock: inout SliceClock) throws -> ScanEnd {
        let end = try scan.run(&clock) { document, record, _ in
            try sorter.add(document, tag: record.id)
            return .next
        }
        guard case .ended = end else { return end }
        sorter.finish()
        isSorted = true
        sortedPosition = Int(clamping: toSkip)
        return .ended
    }

    private func nextSorted(
        _ sorter: DocumentSorter, into array: inout ArrayWriter, _ maxDocuments: Int, _ maxBytes: Int,
        _ clock: inout SliceClock
    ) throws -> CursorProgress {
        var batch = Batch(array: array, documentsLeft: maxDocuments, bytesLeft: maxBytes)
        defer { array = batch.array }
        while sortedPosition < sorter.count, !isLimitReached {
            let document = sorter[sortedPosition].document
            guard !batch.isFull, batch.hasRoom(for: document) else { return .batchFull }
            var position: Int?
            if request.projection?.needsPosition == true {
                _ = try request.filter.matches(document, position: &position)
            }
            try emit(document, position, into: &batch)
            sortedPosition += 1
            if clock.isOver(store.runtime) { return .yield }
        }
        return .exhausted
    }
}
