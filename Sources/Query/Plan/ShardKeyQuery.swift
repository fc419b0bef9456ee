public import Core

extension Filter {
    /// What the filter says of each field of a shard key. No document of a sharded collection has an array at a field
    /// of its key, so everything that is said of one field holds for one value.
    /// - Parameter paths: the fields of the key, in its order.
    public func shardKeyBounds(of paths: [String]) -> [ShardKeyBounds] {
        let constraints = PathConstraint.collect(tree)
        return paths.map { path in
            var bounds = FieldBounds.all
            for constraint in constraints where constraint.path == path {
                bounds = bounds.intersection(constraint.bounds)
            }
            return ShardKeyBounds(
                bounds.intervals.map { interval in
                    ShardKeyBounds.Interval(
                        interval.low.value, includesLow: interval.includesLow, interval.high.value,
                        includesHigh: interval.includesHigh)
                })
        }
    }
}
