import BSON
import Core
import Query

/// The records that a multi-document write goes over: chosen first, written then, so that no write is met again by the
/// scan that found it. A collection scan is chosen from in portions, because writes do not move records; an index scan
/// as a whole.
struct RecordSelection {
    private let scan: MatchedScan
    private let isStable: Bool
    private var chosen: [UInt64] = []
    private var position = 0
    private var isEnded = false
    /// Whether the slice ended before enough was chosen.
    private var isChoosing = false

    private static let portion = 256

    init(_ scan: MatchedScan) {
        self.scan = scan
        if case .collectionScan = scan.plan?.access { isStable = true } else { isStable = false }
    }

    enum Next {
        case record(RecordKey)
        case ended
        case yield
    }

    /// The next record. It matched when it was chosen; the caller looks again.
    mutating func next(_ clock: inout SliceClock) throws -> Next {
        while position >= chosen.count || isChoosing {
            if isEnded { return .ended }
            if !isChoosing {
                chosen.removeAll(keepingCapacity: true)
                position = 0
            }
            isChoosing = try !choose(&clock)
            if isChoosing { return .yield }
        }
        position += 1
        return .record(RecordKey(chosen[position - 1]))
    }

    /// Chooses a portion, or all; false when the slice ended first.
    private mutating func choose(_ clock: inout SliceClock) throws -> Bool {
        var found: [UInt64] = []
        swap(&found, &chosen)
        defer { swap(&found, &chosen) }
        let most = isStable ? RecordSelection.portion : .max
        switch try scan.run(
            &clock,
            { _, record, _ in
                found.append(record.id)
                return found.count >= most ? .stop : .next
            })
        {
        case .ended:
            isEnded = true
            return true
        case .stopped: return true
        case .yield: return isStable && !found.isEmpty
        }
    }
}

extension DocumentView {
    /// The value of a filter `{_id: value}` that asks for one document; nil for any other filter.
    @inline(__always)
    var onlyIDEquality: ValueView? {
        var fields = makeIterator()
        guard let first = fields.next(), first.key == "_id", fields.next() == nil else { return nil }
        switch first.value.type {
        case .document:
            if let nested = first.value.asDocument?.first, nested.key.isOperator { return nil }
            return first.value
        case .regex, .array, .undefined, .null: return nil
        default: return first.value
        }
    }
}
