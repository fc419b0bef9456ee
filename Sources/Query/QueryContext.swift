public import BSON
public import Core

/// What compiling and evaluating a query may know besides the query: user variables (`let`), the clock, limits.
public struct QueryContext: Sendable {
    /// Values of `let`, without the leading `$$`; nil for one that is missing, as a field can be.
    public var variables: [String: Value?]
    /// `$$NOW`, in milliseconds since 1970.
    public var nowMillis: Int64
    /// `$$CLUSTER_TIME`, on members of a set.
    public var clusterTime: Timestamp?
    /// Where `$rand` and `$sample` draw from; both are refused without it.
    public var random: Confined<QueryRandom>?
    /// Watches over how long evaluations take; only steps are counted without it. Confined like `random`.
    public var budget: Confined<EvaluationBudget>?

    public init(
        variables: [String: Value?] = [:], nowMillis: Int64 = 0, clusterTime: Timestamp? = nil,
        randomSeed: UInt64? = nil
    ) {
        self.variables = variables
        self.nowMillis = nowMillis
        self.clusterTime = clusterTime
        // Confined: a context lives and dies on the loop of the node that runs the query.
        random = randomSeed.map { Confined(QueryRandom(seed: $0)) }
    }
}

/// The numbers of one query, from a seed that the node draws: the same seed replays the same results.
public final class QueryRandom {
    private var numbers: SplitMix64

    public init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public func next(below bound: UInt64) -> UInt64 { numbers.next(below: bound) }

    /// A number in `0 ..< 1`.
    public func nextUnit() -> Double { numbers.nextUnit() }
}
