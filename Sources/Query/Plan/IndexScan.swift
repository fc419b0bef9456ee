import BSON
public import Core

/// A walk over part of an index.
public struct IndexScan {
    public let index: IndexSpec
    /// What to read, ascending by key bytes and without overlap. A backward scan reads them last to first, each from
    /// its end. A non-unique index's entries have bytes behind the key: they are within the range too.
    public let ranges: [KeyRange]
    public let direction: ScanDirection
    /// The bounds of each field of the index, for explain. Fields behind the first range only show what is known.
    let bounds: [FieldBounds]

    /// Whether a document may be met more than once: the reader must drop repeated record ids.
    public var needsDeduplication: Bool { index.isMultikey }
    /// Whether every key of the index is read.
    public var isFull: Bool { bounds.allSatisfy(\.isAll) }

    /// The bounds of each field as MongoDB prints them.
    public var boundsText: [(field: String, intervals: [String])] {
        zip(index.pattern.fields, bounds).map { field, bounds in
            let isReversed = (field.kind == .descending) != (direction == .backward)
            let intervals = isReversed ? bounds.intervals.reversed() : bounds.intervals
            return (field.path.string, intervals.map { $0.text(isReversed: isReversed) })
        }
    }

    init(index: IndexSpec, bounds: [FieldBounds], direction: ScanDirection) {
        self.index = index
        self.direction = direction
        let shown = zip(index.pattern.fields, bounds).map { field, bounds in
            field.kind == .hashed ? IndexScan.hashed(bounds, index.hash) : bounds
        }
        self.bounds = shown
        ranges = IndexScan.ranges(zip(index.pattern.fields, shown).map { ($0.kind == .descending, $1) })
    }

    /// One range that was given as it is.
    init(index: IndexSpec, range: KeyRange, direction: ScanDirection) {
        self.index = index
        self.direction = direction
        bounds = index.pattern.fields.map { _ in .all }
        ranges = [range]
    }

    private static func hashed(_ bounds: FieldBounds, _ hash: ((ValueView) -> Int64)?) -> FieldBounds {
        guard let hash, !bounds.isAll else { return bounds }
        return FieldBounds(
            bounds.intervals.map { interval in
                let document = Document { $0.append("", interval.low.value) }
                return .point(.int64(document.withView { view in view.first.map { hash($0.value) } ?? 0 }))
            })
    }

    /// Cuts the product of the leading points, and the intervals of the next field, into ranges of key bytes.
    private static func ranges(_ fields: [(isDescending: Bool, bounds: FieldBounds)]) -> [KeyRange] {
        var prefixes: [[UInt8]] = [[]]
        for (isDescending, bounds) in fields {
            if bounds.isAll { break }
            let intervals = isDescending ? bounds.intervals.reversed() : bounds.intervals
            // The first field's list is as long as the client made it; only products can outgrow the query.
            guard prefixes.count == 1 || prefixes.count * intervals.count <= Limits.indexScanRangesMax else { break }
            if bounds.isPoints {
                prefixes = prefixes.flatMap { prefix in
                    intervals.map { prefix + bytes($0.low, isDescending) }
                }
                continue
            }
            return prefixes.flatMap { prefix in intervals.map { range($0, prefix, isDescending) } }
        }
        return prefixes.map { KeyRange(prefix: $0) }
    }

    private static func bytes(_ end: IntervalEnd, _ isDescending: Bool) -> [UInt8] {
        isDescending ? end.key.map { ~$0 } : end.key
    }

    private static func range(_ interval: Interval, _ prefix: [UInt8], _ isDescending: Bool) -> KeyRange {
        let (first, includesFirst) =
            isDescending
            ? (interval.high, interval.includesHigh) : (interval.low, interval.includesLow)
        let (last, includesLast) =
            isDescending
            ? (interval.low, interval.includesLow) : (interval.high, interval.includesHigh)
        let lower = prefix + bytes(first, isDescending)
        let upper = prefix + bytes(last, isDescending)
        return KeyRange(
            lower: includesFirst ? lower : KeyRange.successor(of: lower) ?? lower,
            upper: includesLast ? KeyRange.successor(of: upper) : upper)
    }
}
