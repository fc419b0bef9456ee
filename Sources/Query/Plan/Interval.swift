import BSON

/// One end of an interval of values: its ascending index key, and the value for `explain`.
struct IntervalEnd {
    let value: Value
    let key: [UInt8]

    /// `shown` is what explain prints in place of the value.
    init(_ value: Value, shownAs shown: Value? = nil) {
        self.value = shown ?? value
        let document = Document { $0.append("", value) }
        let buffer = ByteBuffer(capacity: 64)
        document.withView { view in
            if let value = view.first?.value { IndexKey.append(value, to: buffer) }
        }
        key = buffer.toArray()
    }

    static let minKey = IntervalEnd(.minKey)
    static let maxKey = IntervalEnd(.maxKey)
    static let null = IntervalEnd(.null)

    static func < (a: IntervalEnd, b: IntervalEnd) -> Bool { a.key.lexicographicallyPrecedes(b.key) }
    static func == (a: IntervalEnd, b: IntervalEnd) -> Bool { a.key == b.key }
}

/// A run of values of one field.
struct Interval {
    var low: IntervalEnd
    var includesLow: Bool
    var high: IntervalEnd
    var includesHigh: Bool

    init(_ low: IntervalEnd, _ includesLow: Bool, _ high: IntervalEnd, _ includesHigh: Bool) {
        self.low = low
        self.includesLow = includesLow
        self.high = high
        self.includesHigh = includesHigh
    }

    static func point(_ value: Value) -> Interval {
        let end = IntervalEnd(value)
        return Interval(end, true, end, true)
    }
    static let all = Interval(.minKey, true, .maxKey, true)

    var isPoint: Bool { low == high }
    var isEmpty: Bool { high < low || (low == high && !(includesLow && includesHigh)) }
    var isAll: Bool { low == .minKey && high == .maxKey && includesLow && includesHigh }

    /// As MongoDB prints it: `[1.0, 1.0]`, `(5, inf.0]`.
    func text(isReversed: Bool) -> String {
        let (first, last) = isReversed ? (high, low) : (low, high)
        let (opens, closes) = isReversed ? (includesHigh, includesLow) : (includesLow, includesHigh)
        return (opens ? "[" : "(") + ValueText.text(first.value) + ", " + ValueText.text(last.value)
            + (closes ? "]" : ")")
    }
}

/// The values of one field that a plan looks at: ascending intervals that do not touch.
struct FieldBounds {
    private(set) var intervals: [Interval]

    /// Sorts the intervals and joins those that overlap.
    init(_ intervals: [Interval]) {
        var joined: [Interval] = []
        let sorted = intervals.filter { !$0.isEmpty }.sorted { a, b in
            a.low == b.low ? a.includesLow && !b.includesLow : a.low < b.low
        }
        for interval in sorted {
            guard var last = joined.last else {
                joined.append(interval)
                continue
            }
            let touches =
                interval.low < last.high
                || (interval.low == last.high && (interval.includesLow || last.includesHigh))
            guard touches else {
                joined.append(interval)
                continue
            }
            if last.high < interval.high {
                last.high = interval.high
                last.includesHigh = interval.includesHigh
            } else if last.high == interval.high {
                last.includesHigh = last.includesHigh || interval.includesHigh
            }
            joined[joined.count - 1] = last
        }
        self.intervals = joined
    }

    static let all = FieldBounds([.all])

    var isAll: Bool { intervals.count == 1 && intervals[0].isAll }
    /// Whether single values are all that is looked at.
    var isPoints: Bool { intervals.allSatisfy(\.isPoint) }
    var isSinglePoint: Bool { intervals.count == 1 && intervals[0].isPoint }

    func intersection(_ other: FieldBounds) -> FieldBounds {
        var common: [Interval] = []
        for a in intervals {
            for b in other.intervals {
                var both = a
                if both.low < b.low {
                    both.low = b.low
                    both.includesLow = b.includesLow
                } else if both.low == b.low {
                    both.includesLow = both.includesLow && b.includesLow
                }
                if b.high < both.high {
                    both.high = b.high
                    both.includesHigh = b.includesHigh
                } else if both.high == b.high {
                    both.includesHigh = both.includesHigh && b.includesHigh
                }
                if !both.isEmpty { common.append(both) }
            }
        }
        return FieldBounds(common)
    }

    /// Everything else.
    var complement: FieldBounds {
        var rest: [Interval] = []
        var low = IntervalEnd.minKey
        var includesLow = true
        for interval in intervals {
            rest.append(Interval(low, includesLow, interval.low, !interval.includesLow))
            low = interval.high
            includesLow = !interval.includesHigh
        }
        rest.append(Interval(low, includesLow, .maxKey, true))
        return FieldBounds(rest)
    }
}
