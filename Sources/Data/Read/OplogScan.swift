import BSON
import Core

/// Walks the oplog as `local.oplog.rs`: in the order of time or against it, from the first entry that the filter's
/// bounds on `ts` allow.
final class OplogScan {
    private let oplog: Oplog
    private let direction: ScanDirection
    /// The entry to start with, or behind.
    private var position: Timestamp
    private var isInclusive: Bool
    private(set) var documentsExamined = 0
    /// Whether an entry was shown: then the position is one of an entry, and falls off when the oplog is cut behind it.
    private var hasPosition = false

    private static let entriesPerRead = 128

    init(_ oplog: Oplog, _ filter: DocumentView, _ direction: ScanDirection) {
        self.oplog = oplog
        self.direction = direction
        let (low, high) = OplogScan.bounds(filter)
        position = direction == .forward ? low : high
        isInclusive = true
    }

    func run(_ clock: inout SliceClock, _ runtime: any NodeRuntime, _ body: (DocumentView) throws -> ScanVerdict) throws
        -> ScanEnd
    {
        if hasPosition, direction == .forward, let first = oplog.first, first.timestamp > position {
            throw ServerError(
                .cappedPositionLost,
                "CollectionScan died due to position in capped collection being deleted. Last seen: \(position)")
        }
        while true {
            var end: ScanEnd?
            var count = 0
            try oplog.read(
                from: position, inclusive: isInclusive, direction: direction, limitEntries: OplogScan.entriesPerRead,
                limitBytes: Limits.cursorBatchBytesMax
            ) { bytes in
                let entry = try storedDocument(bytes)
                let verdict = try body(entry)
                switch verdict {
                case .refuse: end = .stopped
                case .interrupted: end = .yield
                case .next, .stop: break
                }
                if end != nil { return false }
                count += 1
                documentsExamined += 1
                guard let timestamp = entry["ts"]?.asTimestamp else {
                    throw InvariantViolation("an oplog entry has no ts")
                }
                position = timestamp
                isInclusive = false
                hasPosition = true
                if case .stop = verdict {
                    end = .stopped
                } else if clock.isOver(runtime) {
                    end = .yield
                }
                return end == nil
            }
            if let end { return end }
            if count == 0 { return .ended }
        }
    }

    /// The times that a filter's conditions on `ts` allow, at its top level and inside `$and`.
    private static func bounds(_ filter: DocumentView) -> (low: Timestamp, high: Timestamp) {
        var low = Timestamp.zero
        var high = Timestamp.max
        for element in filter {
            if element.key == "$and", let conditions = element.value.asArray {
                for condition in conditions {
                    guard let nested = condition.value.asDocument else { continue }
                    let inner = bounds(nested)
                    low = max(low, inner.low)
                    high = min(high, inner.high)
                }
            }
            guard element.key == "ts" else { continue }
            if let exact = element.value.asTimestamp {
                low = max(low, exact)
                high = min(high, exact)
            }
            for operation in element.value.asDocument ?? emptyDocument {
                guard let bound = operation.value.asTimestamp else { continue }
                switch operation.key {
                case "$gte", "$gt": low = max(low, bound)
                case "$lte", "$lt": high = min(high, bound)
                case "$eq":
                    low = max(low, bound)
                    high = min(high, bound)
                default: break
                }
            }
        }
        return (low, high)
    }
}

/// The empty document, for the whole life of the process. Its bytes never change, so any thread may read them.
nonisolated(unsafe) let emptyDocument: DocumentView = {
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 5, alignment: 4)
    bytes.storeBytes(of: Int32(5).littleEndian, as: Int32.self)
    bytes.storeBytes(of: 0, toByteOffset: 4, as: UInt8.self)
    return DocumentView(base: UnsafeRawPointer(bytes))
}()
