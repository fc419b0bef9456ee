public import BSON
public import Core

/// What compiling and evaluating a query may know besides the query: user variables (`let`), the clock, limits.
public struct QueryContext: Sendable {
    /// Values of `let`, without the leading `$$`.
    public var variables: [String: Value]
    /// `$$NOW`, in milliseconds since 1970.
    public var nowMillis: Int64
    /// `$$CLUSTER_TIME`, on members of a set.
    public var clusterTime: Timestamp?
    /// Where `$rand` and `$sample` draw from; both are refused without it.
    public var random: Confined<QueryRandom>?

    public init(
        variables: [String: Value] = [:], nowMillis: Int64 = 0, clusterTime: Timestamp? = nil, randomSeed: UInt64? = nil
    ) {
        self.variables = variables
        self.nowMillis = nowMillis
        self.clusterTime = clusterTime
        // Confined: a context lives and dies on the loop of the node that runs the query.
        random = randomSeed.map { Confined(QueryRandom(seed: $0)) }
    }
}

/// The numbers of one query, from a seed that the node draws (SplitMix64): the same seed replays the same results.
public final class QueryRandom {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// The next 64 random bits.
    public func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public func next(below bound: UInt64) -> UInt64 { bound == 0 ? 0 : next().multipliedFullWidth(by: bound).high }

    /// A number in `0 ..< 1`.
    public func nextUnit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
}
