public import BSON
public import Core
public import Query

/// A running query. Holds keys between its slices, never pointers into storage.
public final class QueryCursor {
    public let request: FindRequest
    private let store: DataStore
    private let scan: MatchedScan
    private let snapshot: SnapshotToken?
    private var sorter: StageSorter?
    private let sortClock: PipelineClock
    /// Everything is in the sorter.
    private var isCollected = false
    /// The next document of a sorted result, once it was asked for.
    private var held: StageSorter.Row?
    private var toSkip: Int64
    private var returned: Int64 = 0
    private var isClosed = false

    /// Gathers the sort keys of what is shown, for a router that merges it with what others show.
    public private(set) var sortKeys: SortKeyList?

    /// Watches over the evaluations of the query.
    public var budget: EvaluationBudget? { request.budget }

    /// Plans a query. A read at a timestamp holds a snapshot until `close`.
    public init(_ store: DataStore, _ request: FindRequest, at point: ReadPoint = .latest) throws {
        self.store = store
        self.request = request
        let runtime = store.runtime
        sortClock = PipelineClock { runtime.now }
        scan = try MatchedScan(
            store, request.namespace, request.filter, sort: request.sort,
            // An index holds what was there when it was walked: who waits for what comes reads in natural order.
            hint: request.isTailable ? .natural(.forward) : request.hint, limits: request.limits, at: point,
            needsPosition: request.projection?.needsPosition ?? false, filterDocument: request.filterDocument,
            expected: request.limit > 0 ? Int(clamping: request.limit) : nil)
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
            store.work.sorted &+= 1
            sorter = StageSorter(
                sort, limit: request.limit == 0 || overflow ? nil : Int(clamping: sum), sortClock,
                StageMemory(store: request.allowsDiskUse ? store.temporary : nil))
        }
        if case .at(let timestamp) = point {
            snapshot = try store.versions.openSnapshot(at: timestamp)
        } else {
            snapshot = nil
        }
    }

    /// From now on the sort keys of what is shown are gathered.
    /// - Throws: `BadValue` when the query has no sort.
    public func gatherSortKeys() throws(ServerError) {
        guard let sort = request.sort, !sort.isEmpty else { throw ServerError(.badValue, "sortKeys needs a sort") }
        sortKeys = SortKeyList(sort)
    }

    /// Gives back what the cursor holds. Twice is harmless.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        if let snapshot { store.versions.closeSnapshot(snapshot) }
        held = nil
        sorter?.close()
        sorter = nil
    }

    /// The plan as `explain` shows it.
    public var winningPlan: Document {
        guard let plan = scan.plan else {
            return request.namespace.isOplog ? ["stage": "COLLSCAN", "direction": "forward"] : ["stage": "EOF"]
        }
        var stages = QueryPlan.Stages(
            sort: request.sort, skip: request.skip, limit: request.limit, projection: request.projection)
        stages.isSharded = scan.ownership != nil
        return plan.winningPlan(stages)
    }
    public var keysExamined: Int { scan.keysExamined }
    public var documentsExamined: Int { scan.documentsExamined }
    /// Documents that matched the filter, before skip and limit.
    public var matched: Int { scan.matched }
    /// The filter as `explain` shows it.
    public var parsedQuery: Document { request.filter.parsedQuery }

    /// Appends up to `maxDocuments` documents of at most `maxBytes` together to `array`, at least one when there is
    /// one. After `.yield` the caller goes on with the same array, and with what is left of both maxima.
    public func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        if isClosed { return .exhausted }
        if maxDocuments <= 0 { return .batchFull }
        request.budget?.beginSlice(until: deadline)
        var clock = SliceClock(deadline: deadline)
        var batch = BatchWriter(array, documents: maxDocuments, bytes: maxBytes)
        defer { array = batch.array }
        let isChanged = request.returnsKey || request.showsRecordID || request.projection != nil
        let end = try run(&clock) { document, record, position in
            guard batch.hasRoom(for: document.byteCount) else { return .refuse }
            if isChanged {
                guard try show(document, record, position, into: &batch) else { return .interrupted }
            } else {
                batch.array.append(document)
            }
            try sortKeys?.add(document)
            batch.took(document.byteCount)
            return batch.isFull ? .stop : .next
        }
        switch end {
        case .yield: return .yield
        case .stopped: return isLimitReached ? .exhausted : .batchFull
        case .ended: return request.isTailable ? .waiting : .exhausted
        }
    }

    /// Appends a result as the client wants to see it; false, with the batch as before, when that was interrupted.
    private func show(
        _ document: DocumentView, _ record: RecordKey, _ position: Int?, into batch: inout BatchWriter
    ) throws -> Bool {
        let (before, length) = (batch.array, batch.array.writer.buffer.count)
        // What was sorted are the keys already.
        let key = request.returnsKey ? try sorter == nil ? scan.indexKey(of: document) : document.document : nil
        let isDone: Void? = try request.budget.interruptibly { () throws(ServerError) in
            let writer = batch.array.beginDocument()
            if let key {
                key.withView { for field in $0 { writer.append(field.key, field.value) } }
            } else if let projection = request.projection {
                try projection.appendFields(document, position: position, to: writer)
            } else {
                for field in document { writer.append(field.key, field.value) }
            }
            // With `returnKey` the place is not shown, as in MongoDB.
            if request.showsRecordID, !request.returnsKey {
                writer.append("$recordId", int64: Int64(bitPattern: record.id))
            }
            writer.finish()
        }
        if isDone != nil { return true }
        batch.array.writer.buffer.truncate(to: length)
        batch.array = before
        return false
    }

    /// Whether the limit is reached: there is no more.
    var isAtLimit: Bool { isLimitReached }
    private var isLimitReached: Bool { request.limit > 0 && returned >= request.limit }

    /// Shows the result's documents in order, before their projection.
    func run(_ clock: inout SliceClock, _ body: (DocumentView, RecordKey, Int?) throws -> ScanVerdict) throws -> ScanEnd
    {
        if isLimitReached { return .ended }
        if request.isTailable {
            do { try scan.checkPosition() } catch let missing as StorageNotResident {
                return store.endScan(at: missing)
            }
        }
        if let sorter {
            sortClock.begin(until: clock.deadline)
            if !isCollected, case .yield = try collect(sorter, &clock) { return .yield }
            return try showSorted(sorter, &clock, body)
        }
        return try scan.run(&clock) { document, record, position in
            if toSkip > 0 {
                toSkip -= 1
                return .next
            }
            let verdict = try body(document, record, position)
            switch verdict {
            case .refuse, .interrupted: return verdict
            case .next, .stop: returned += 1
            }
            return isLimitReached ? .stop : verdict
        }
    }

    // MARK: Sorting

    private func collect(_ sorter: StageSorter, _ clock: inout SliceClock) throws -> ScanEnd {
        while true {
            let end = try scan.run(&clock) { document, record, _ in
                if request.returnsKey {
                    let key = try scan.indexKey(of: document)
                    try key.withView { try sorter.gather(document, inItsPlace: $0, tag: record.id) }
                } else {
                    try sorter.gather(document, tag: record.id)
                }
                return sorter.needsFlush ? .stop : .next
            }
            // Not while the scan holds documents in place.
            try sorter.flush()
            switch end {
            case .stopped: if clock.isOver(store.runtime) { return .yield }
            case .yield: return .yield
            case .ended:
                isCollected = true
                return .ended
            }
        }
    }

    private func showSorted(
        _ sorter: StageSorter, _ clock: inout SliceClock,
        _ body: (DocumentView, RecordKey, Int?) throws -> ScanVerdict
    ) throws -> ScanEnd {
        while true {
            if held == nil {
                switch try sorter.next() {
                case .row(let row): held = row
                case .yield: return .yield
                case .end: return .ended
                }
                if toSkip > 0 {
                    toSkip -= 1
                    held = nil
                    continue
                }
            }
            guard let row = held else { continue }
            var position: Int?
            if request.projection?.needsPosition == true, !request.returnsKey {
                _ = try request.filter.matches(row.document, position: &position)
            }
            let verdict = try body(row.document, RecordKey(row.tag), position)
            if case .refuse = verdict { return .stopped }
            if case .interrupted = verdict { return .yield }
            held = nil
            returned += 1
            if case .stop = verdict { return .stopped }
            if isLimitReached { return .stopped }
            if clock.isOver(store.runtime) { return .yield }
        }
    }
}

/// One batch of a cursor's reply under construction.
struct BatchWriter {
    var array: ArrayWriter
    private var documentsLeft: Int
    private var bytesLeft: Int

    init(_ array: ArrayWriter, documents: Int, bytes: Int) {
        self.array = array
        documentsLeft = documents
        bytesLeft = bytes
    }

    var isFull: Bool { documentsLeft <= 0 || bytesLeft <= 0 }
    /// A document that is larger than what is left goes into the next batch, unless this one would stay empty.
    func hasRoom(for byteCount: Int) -> Bool { array.count == 0 || byteCount <= bytesLeft }

    mutating func took(_ byteCount: Int) {
        documentsLeft -= 1
        bytesLeft -= byteCount
    }
}
