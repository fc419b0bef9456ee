public import BSON
public import Core
public import Query

/// A `count`: `{query, skip, limit, hint}`. Without a filter it is answered from the collection's counter.
public final class CountOperation {
    /// The number of documents, complete when `run` has answered `.done`.
    public private(set) var n: Int64 = 0
    private let store: DataStore
    private let scan: MatchedScan?
    /// For a view: its documents are counted by a pipeline.
    private let view: ViewScan?
    private let budget: EvaluationBudget?
    private let skip: Int64
    private let limit: Int64
    private var matched: Int64 = 0

    public init(
        _ store: DataStore, _ namespace: Namespace, _ command: DocumentView, context: QueryContext,
        at point: ReadPoint = .latest
    ) throws {
        var query = emptyDocument
        var hint: QueryHint?
        var skip: Int64 = 0
        var limit: Int64 = 0
        for element in command {
            switch element.key {
            case "query": query = try CommandFields.document(element) ?? emptyDocument
            case "skip": skip = try CommandFields.nonNegative(element)
            case "limit": limit = try CommandFields.integer(element)
            case "hint": hint = try QueryHint(element.value)
            case "collation": try CollectionOptions.checkCollation(element.value)
            default: break
            }
        }
        self.store = store
        self.skip = skip
        budget = context.budget?.value
        self.limit = Int64(clamping: limit.magnitude)
        let filter = try Filter(query, context: context)
        var isLatest = false
        if case .latest = point { isLatest = true }
        if try store.catalog.find(namespace, at: point) == nil, try store.view(namespace, at: point) != nil {
            scan = nil
            view = try ViewScan(store, namespace, ViewRead.count(command), context: context, at: point)
            return
        }
        view = nil
        let isFiltered = try store.catalog.find(namespace).flatMap { try store.filteringOwnership(of: $0) } != nil
        if filter.isEmpty, hint == nil, isLatest, !namespace.isOplog, !isFiltered {
            scan = nil
            matched = Int64(store.catalog.find(namespace)?.count ?? 0)
            n = counted
        } else {
            scan = try MatchedScan(
                store, namespace, filter, hint: hint, at: point, filterDocument: query.document)
        }
    }

    private var counted: Int64 {
        let behindSkip = max(matched - skip, 0)
        return limit > 0 ? min(behindSkip, limit) : behindSkip
    }

    /// Counts until done or the slice is used up.
    public func run(until deadline: Instant) throws -> WriteProgress {
        budget?.beginSlice(until: deadline)
        if let view {
            return try view.run(until: deadline) { document in n = document["count"]?.asInteger ?? 0 }
        }
        guard let scan else { return .done }
        var clock = SliceClock(deadline: deadline)
        let end = try scan.run(&clock) { _, _, _ in
            matched += 1
            return limit > 0 && matched - skip >= limit ? .stop : .next
        }
        n = counted
        if case .yield = end { return .yield }
        return .done
    }
}

/// A `distinct`: the values of one field over the matching documents, elements of arrays one by one, each value once.
public final class DistinctOperation {
    private let store: DataStore
    private let scan: MatchedScan?
    /// For a view: a pipeline finds its documents.
    private let view: ViewScan?
    private let budget: EvaluationBudget?
    private let path: [String]
    private var seen: Set<[UInt8]> = []
    private var byteCount = 0
    private let key = ByteBuffer()
    private typealias Found = (key: [UInt8], value: Value)
    private var found: [Found] = []
    private var sorting: StepwiseSort<Found>?
    /// The values in their order, complete when `run` has answered `.done`.
    public private(set) var values: [Value] = []

    public init(
        _ store: DataStore, _ namespace: Namespace, _ command: DocumentView, context: QueryContext,
        at point: ReadPoint = .latest
    ) throws {
        var query = emptyDocument
        var field: String?
        var hint: QueryHint?
        for element in command {
            switch element.key {
            case "query": query = try CommandFields.document(element) ?? emptyDocument
            case "key": field = element.value.asString
            case "hint": hint = try QueryHint(element.value)
            case "collation": try CollectionOptions.checkCollation(element.value)
            default: break
            }
        }
        guard let field else { throw CommandFields.missing("distinct.key") }
        self.store = store
        budget = context.budget?.value
        path = field.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        let filter = try Filter(query, context: context)
        if try store.catalog.find(namespace, at: point) == nil, try store.view(namespace, at: point) != nil {
            scan = nil
            view = try ViewScan(store, namespace, ViewRead.distinct(command), context: context, at: point)
            return
        }
        view = nil
        scan = try MatchedScan(
            store, namespace, filter, hint: hint, at: point,
            filterDocument: query.document)
    }

    /// Collects until done or the slice is used up.
    public func run(until deadline: Instant) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        if sorting == nil {
            guard try collect(until: deadline, &clock) else { return .yield }
            sorting = StepwiseSort(found) { $0.key.lexicographicallyPrecedes($1.key) }
            found = []
        }
        while sorting?.step() == false { if clock.isOverNow(store.runtime) { return .yield } }
        values = sorting?.elements.map(\.value) ?? []
        return .done
    }

    /// Goes on through the documents; true at their end.
    private func collect(until deadline: Instant, _ clock: inout SliceClock) throws -> Bool {
        budget?.beginSlice(until: deadline)
        if let view {
            if case .yield = try view.run(until: deadline, { try collect($0, path[...]) }) { return false }
            return true
        }
        guard let scan else { return true }
        let end = try scan.run(&clock) { document, _, _ in
            try collect(document, path[...])
            return .next
        }
        if case .yield = end { return false }
        return true
    }

    private func collect(_ document: DocumentView, _ path: ArraySlice<String>) throws {
        guard let name = path.first, let value = document[name] else { return }
        try collect(value, path.dropFirst())
    }

    private func collect(_ value: ValueView, _ rest: ArraySlice<String>) throws {
        if let array = value.asArray {
            if rest.isEmpty {
                for element in array { try add(element.value) }
                return
            }
            try collect(array, rest)
            for element in array {
                if let document = element.value.asDocument { try collect(document, rest) }
            }
        } else if rest.isEmpty {
            try add(value)
        } else if let document = value.asDocument {
            try collect(document, rest)
        }
    }

    private func add(_ value: ValueView) throws {
        key.removeAll()
        IndexKey.append(value, to: key)
        let bytes = key.toArray()
        guard seen.insert(bytes).inserted else { return }
        byteCount += value.byteCount
        guard byteCount <= Limits.documentBytesMax else {
            throw ServerError(ErrorCode(rawValue: 17217), "distinct too big, 16mb cap")
        }
        found.append((bytes, Value(value)))
    }
}
