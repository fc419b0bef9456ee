public import BSON

/// What a filter says of one field of a shard key: every document that matches has a value within one of the
/// intervals, where null stands for a missing field. The planner makes these; no strategy has to know the query
/// language.
public struct ShardKeyBounds: Sendable {
    /// A run of values in MongoDB's order.
    public struct Interval: Sendable {
        /// The least value, and whether it belongs to the interval.
        public let low: Value
        /// Whether `low` is in it.
        public let includesLow: Bool
        /// The greatest value.
        public let high: Value
        /// Whether `high` is in it.
        public let includesHigh: Bool

        /// An interval between two values.
        public init(_ low: Value, includesLow: Bool = true, _ high: Value, includesHigh: Bool = true) {
            self.low = low
            self.includesLow = includesLow
            self.high = high
            self.includesHigh = includesHigh
        }

        /// A single value.
        public static func point(_ value: Value) -> Interval { Interval(value, value) }
    }

    /// In ascending order, without overlap; none when nothing matches.
    public let intervals: [Interval]

    /// Bounds of one field.
    public init(_ intervals: [Interval]) { self.intervals = intervals }

    /// A field that the filter says nothing about.
    public static let all = ShardKeyBounds([Interval(.minKey, .maxKey)])
    /// A field that is equal to one of some values.
    public static func points(_ values: [Value]) -> ShardKeyBounds { ShardKeyBounds(values.map { .point($0) }) }
}
