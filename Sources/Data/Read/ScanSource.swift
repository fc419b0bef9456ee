import BSON
import Core
import Query

/// Where the records of an operation come from, in which order: a plan, tied to the indexes of one collection.
enum ScanSource {
    /// One run of an index's keys.
    struct Segment {
        let index: CollectionIndex
        let lower: [UInt8]
        /// Exclusive; nil is the end of the index.
        let upper: [UInt8]?
        let direction: ScanDirection
    }

    /// The records in the order of insertion, or against it.
    case collection(ScanDirection)
    /// The records that runs of index keys lead to, one run after the other.
    case segments([Segment], needsDeduplication: Bool)
    /// The records with these index keys of their `_id`.
    case ids([[UInt8]])

    init(_ plan: QueryPlan, _ collection: Collection) throws(InvariantViolation) {
        switch plan.access {
        case .collectionScan(let direction):
            guard collection.options.clustered != nil else {
                self = .collection(direction)
                return
            }
            // The order of the `_id`s.
            self = .segments(
                [Segment(index: collection.idIndex, lower: [], upper: nil, direction: direction)],
                needsDeduplication: false)
        case .idLookup(let id): self = .ids([ScanSource.key(id)])
        case .idsLookup(let ids): self = .ids(ids.map { ScanSource.key($0) })
        case .indexScan(let scan):
            self = .segments(try ScanSource.segments(scan, collection), needsDeduplication: plan.needsDeduplication)
        case .indexUnion(let scans):
            var all: [Segment] = []
            for scan in scans { all += try ScanSource.segments(scan, collection) }
            self = .segments(all, needsDeduplication: true)
        }
    }

    private static func segments(_ scan: IndexScan, _ collection: Collection) throws(InvariantViolation) -> [Segment] {
        guard let index = collection.index(named: scan.index.name) else {
            throw InvariantViolation("a plan names the index \(scan.index.name), which \(collection.namespace) lacks")
        }
        let segments = scan.ranges.map {
            Segment(index: index, lower: $0.lower, upper: $0.upper, direction: scan.direction)
        }
        return scan.direction == .forward ? segments : segments.reversed()
    }

    /// The index key of an `_id`.
    private static func key(_ id: Value) -> [UInt8] {
        let buffer = ByteBuffer(capacity: 64)
        Document { $0.append("", id) }.withView { view in
            if let value = view.first?.value { IndexKey.append(value, to: buffer) }
        }
        return buffer.toArray()
    }
}

/// What the consumer of a scan says about the document it was shown.
enum ScanVerdict {
    /// Go on behind it.
    case next
    /// Taken; stop.
    case stop
    /// Not taken: the next run starts with it again. Stop.
    case refuse
    /// Not taken, because the slice is used up in the middle of it: the next run starts with it again.
    case interrupted
}

/// Why a run of a scan ended.
enum ScanEnd {
    case ended
    case stopped
    /// The slice is used up.
    case yield
}
