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

    func intersection(_ other: Interval) -> Interval {
        var both = self
        if both.low < other.low {
            both.low = other.low
            both.includesLow = other.includesLow
        } else if both.low == other.low {
            both.includesLow = both.includesLow && other.includesLow
        }
        if other.high < both.high {
            both.high = other.high
            both.includesHigh = other.includesHigh
        } else if both.high == other.high {
            both.includesHigh = both.includesHigh && other.includesHigh
        }
        return both
    }

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

    /// What both hold. Walks the two lists side by side: lists of a client's `$in` are long.
    func intersection(_ other: FieldBounds) -> FieldBounds {
        var common: [Interval] = []
        var a = 0
        var b = 0
        while a < intervals.count, b < other.intervals.count {
            let both = intervals[a].intersection(other.intervals[b])
            if !both.isEmpty { common.append(both) }
            // The one that ends first meets nothing further.
            let ends = (intervals[a].high, other.intervals[b].high)
            if ends.0 < ends.1 || (ends.0 == ends.1 && !intervals[a].includesHigh) { a += 1 } else { b += 1 }
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
