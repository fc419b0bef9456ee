import Query

/// Finds the record that comes first in an order which no index gives, in slices.
///
/// Between two slices the record may change: who is given it looks at it again.
struct FirstInOrder {
    private let scan: MatchedScan
    private let sorter: DocumentSorter

    init(_ scan: MatchedScan, _ sort: SortPattern) {
        self.scan = scan
        sorter = DocumentSorter(sort, limit: 1)
    }

    /// Goes on until everything has been looked at or the slice is used up.
    func next(_ clock: inout SliceClock) throws -> RecordSelection.Next {
        let end = try scan.run(&clock) { document, record, _ in
            try sorter.add(document, tag: record.id)
            return .next
        }
        guard case .ended = end, sorter.finish() else { return .yield }
        return sorter.count > 0 ? .record(RecordKey(sorter[0].tag)) : .ended
    }
}
