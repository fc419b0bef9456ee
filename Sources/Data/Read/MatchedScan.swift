import BSON
import Core
import Query

/// The documents of one collection that match a filter, found by a plan, in slices: what find, count, distinct, update,
/// delete and aggregate read.
final class MatchedScan {
    private enum Source {
        /// The collection does not exist.
        case nothing
        case records(RecordScan)
        case oplog(OplogScan)
    }

    let filter: Filter
    let plan: QueryPlan?
    let collection: Collection?
    private let runtime: any NodeRuntime
    private unowned let store: DataStore
    private let source: Source
    private let needsPosition: Bool
    /// What the shard owned when the scan began; nil when everything is shown.
    let ownership: (any CollectionOwnership)?
    private let time: Timestamp?
    private(set) var matched = 0

    /// Plans the scan. `BadValue` (2) for a hint that names no index.
    init(
        _ store: DataStore, _ namespace: Namespace, _ filter: Filter, sort: SortPattern? = nil, hint: QueryHint? = nil,
        limits: KeyLimits? = nil, at point: ReadPoint = .latest, needsPosition: Bool = false,
        filterDocument: Document? = nil,
        expected: Int? = nil
    ) throws {
        runtime = store.runtime
        self.store = store
        self.filter = filter
        self.needsPosition = needsPosition
        time = point.time
        if namespace.isOplog {
            collection = nil
            ownership = nil
            plan = nil
            let direction = sort?.natural ?? .forward
            if let observation = store.observation { observation.note("COLLSCAN") }
            source = .oplog(
                (filterDocument ?? Document()).withView { OplogScan(store.oplog, $0, direction) })
            return
        }
        guard let collection = try store.catalog.find(namespace, at: point) else {
            self.collection = nil
            ownership = nil
            plan = nil
            source = .nothing
            if let observation = store.observation { observation.note("EOF") }
            return
        }
        self.collection = collection
        ownership = try store.filteringOwnership(of: collection)
        let plan = try Planner.plan(
            filter: filter, sort: sort, hint: hint, limits: limits,
            indexes: MatchedScan.indexes(of: collection, at: point))
        self.plan = plan
        collection.noteUse(of: plan)
        if let observation = store.observation { observation.note(plan.summary) }
        source = .records(
            RecordScan(store.versions, collection, try ScanSource(plan, collection), at: point, expected: expected))
    }

    /// The indexes that a read at `point` may use.
    static func indexes(of collection: Collection, at point: ReadPoint) -> [IndexSpec] {
        var specs: [IndexSpec] = []
        for index in collection.indexes where index.state == .ready {
            if case .at(let timestamp) = point, index.visibleFrom > timestamp { continue }
            specs.append(index.spec)
        }
        return specs
    }

    /// Whether documents come in the order of the sort.
    var providesSort: Bool { plan?.providesSort ?? true }
    var keysExamined: Int { if case .records(let scan) = source { scan.keysExamined } else { 0 } }
    var documentsExamined: Int {
        switch source {
        case .nothing: 0
        case .records(let scan): scan.documentsExamined
        case .oplog(let scan): scan.documentsExamined
        }
    }

    /// The index key that led to the document that is being shown, as a document of the index's fields; empty when no
    /// index did.
    func indexKey(of document: DocumentView) throws -> Document {
        if case .records(let scan) = source { try scan.indexKey(of: document) } else { Document() }
    }

    /// A reader that was promised every document of a capped collection in order must not skip those that made room
    /// while it was away. (The oplog's scan sees for itself.)
    func checkPosition() throws {
        guard case .records(let scan) = source, try scan.hasLostPosition() else { return }
        throw ServerError(
            .cappedPositionLost,
            "CollectionScan died due to position in capped collection being deleted; begin again with a new cursor")
    }

    /// Shows matching documents until the consumer stops, the slice is used up or there are no more. The views are
    /// valid during the call. A slice ends, too, at what is not in memory.
    func run(_ clock: inout SliceClock, _ body: (DocumentView, RecordKey, Int?) throws -> ScanVerdict) throws -> ScanEnd
    {
        do { return try walk(&clock, body) } catch let missing as StorageNotResident {
            return store.endScan(at: missing)
        }
    }

    private func walk(
        _ clock: inout SliceClock, _ body: (DocumentView, RecordKey, Int?) throws -> ScanVerdict
    ) throws -> ScanEnd {
        switch source {
        case .nothing: return .ended
        case .records(let scan):
            let before = (scan.keysExamined, scan.documentsExamined)
            defer {
                store.work.keysExamined &+= Int64(scan.keysExamined - before.0)
                store.work.documentsExamined &+= Int64(scan.documentsExamined - before.1)
            }
            return try scan.run(&clock, runtime) { document, record in
                try self.check(document, record, body)
            }
        case .oplog(let scan):
            return try scan.run(&clock, runtime) { entry in
                try self.check(entry, RecordKey(0), body)
            }
        }
    }

    @inline(__always)
    private func check(
        _ document: DocumentView, _ record: RecordKey, _ body: (DocumentView, RecordKey, Int?) throws -> ScanVerdict
    ) throws -> ScanVerdict {
        var position: Int?
        let matches =
            needsPosition
            ? try filter.matchesInterruptibly(document, position: &position)
            : try filter.matchesInterruptibly(document)
        guard let matches else { return .interrupted }
        guard matches else { return .next }
        if let ownership, !ownership.owns(document, at: time) { return .next }
        let verdict = try body(document, record, position)
        switch verdict {
        case .refuse, .interrupted: break
        case .next, .stop: matched += 1
        }
        return verdict
    }
}

extension Collection {
    /// A query is going to use these indexes.
    fileprivate func noteUse(of plan: QueryPlan) {
        switch plan.access {
        case .indexScan(let scan): for index in indexes where index.name == scan.index.name { index.accesses &+= 1 }
        case .indexUnion(let scans):
            for index in indexes where scans.contains(where: { $0.index.name == index.name }) { index.accesses &+= 1 }
        case .collectionScan: scanCount &+= 1
        default: return
        }
    }
}
