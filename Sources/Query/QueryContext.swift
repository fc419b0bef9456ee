public import BSON

/// What compiling and evaluating a query may know besides the query: user variables (`let`), the clock, limits.
public struct QueryContext: Sendable {
    /// Values of `let`, without the leading `$$`.
    public var variables: [String: Value]
    /// `$$NOW`, in milliseconds since 1970.
    public var nowMillis: Int64
    /// `$$CLUSTER_TIME`, on members of a set.
    public var clusterTime: Timestamp?

    public init(variables: [String: Value] = [:], nowMillis: Int64 = 0, clusterTime: Timestamp? = nil) {
        self.variables = variables
        self.nowMillis = nowMillis
        self.clusterTime = clusterTime
    }
}
