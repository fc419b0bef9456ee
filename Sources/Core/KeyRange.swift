/// A run of encoded keys: from `lower` (inclusive) to `upper` (exclusive), as bytes that `memcmp` orders; nil is the
/// end of all keys. An empty `lower` is before every key.
public struct KeyRange: Hashable, Sendable {
    /// The first key that may be in it.
    public let lower: [UInt8]
    /// The first key behind it; nil when there is none.
    public let upper: [UInt8]?

    /// A range between two keys.
    public init(lower: [UInt8], upper: [UInt8]?) {
        self.lower = lower
        self.upper = upper
    }

    /// The keys that begin with `prefix`.
    public init(prefix: [UInt8]) { self.init(lower: prefix, upper: KeyRange.successor(of: prefix)) }

    /// Every key.
    public static let all = KeyRange(lower: [], upper: nil)

    /// The smallest bytes behind all that start with `prefix`; nil when there are none.
    public static func successor(of prefix: [UInt8]) -> [UInt8]? {
        var bytes = prefix
        while let last = bytes.popLast() {
            if last < 0xFF { return bytes + [last + 1] }
        }
        return nil
    }

    /// Whether no key can be in it.
    public var isEmpty: Bool { upper.map { !lower.lexicographicallyPrecedes($0) } ?? false }

    /// Whether a key is in it.
    public func contains(_ key: some Sequence<UInt8>) -> Bool {
        !key.lexicographicallyPrecedes(lower) && (upper.map { key.lexicographicallyPrecedes($0) } ?? true)
    }

    /// Whether all keys of another range are in it.
    public func contains(_ other: KeyRange) -> Bool {
        other.isEmpty || !other.lower.lexicographicallyPrecedes(lower) && !KeyRange.ends(upper, before: other.upper)
    }

    /// The keys that are in both; nil when there are none.
    public func intersection(_ other: KeyRange) -> KeyRange? {
        let both = KeyRange(
            lower: lower.lexicographicallyPrecedes(other.lower) ? other.lower : lower,
            upper: KeyRange.ends(upper, before: other.upper) ? upper : other.upper)
        return both.isEmpty ? nil : both
    }

    /// Whether some key is in both.
    public func overlaps(_ other: KeyRange) -> Bool { intersection(other) != nil }

    /// Whether an upper end comes before another.
    public static func ends(_ a: [UInt8]?, before b: [UInt8]?) -> Bool {
        guard let a else { return false }
        return b.map { a.lexicographicallyPrecedes($0) } ?? true
    }

    /// The same keys in ascending ranges that neither overlap nor touch.
    public static func joined(_ ranges: [KeyRange]) -> [KeyRange] {
        var joined: [KeyRange] = []
        for range in ranges.filter({ !$0.isEmpty }).sorted(by: { $0.lower.lexicographicallyPrecedes($1.lower) }) {
            guard let last = joined.last, !ends(last.upper, before: range.lower) else {
                joined.append(range)
                continue
            }
            if ends(last.upper, before: range.upper) {
                joined[joined.count - 1] = KeyRange(lower: last.lower, upper: range.upper)
            }
        }
        return joined
    }

    /// What of the range is in none of `others`, in ascending order.
    public func subtracting(_ others: [KeyRange]) -> [KeyRange] {
        var rest: [KeyRange] = []
        var from: [UInt8]? = lower
        for other in KeyRange.joined(others.compactMap { intersection($0) }) {
            guard let start = from else { break }
            rest.append(KeyRange(lower: start, upper: other.lower))
            from = other.upper
        }
        if let from { rest.append(KeyRange(lower: from, upper: upper)) }
        return rest.filter { !$0.isEmpty }
    }
}
