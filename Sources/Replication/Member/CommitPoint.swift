import Core

/// Picks what a majority has reached. Not a plug point.
enum CommitPoint {
    /// The newest position that at least `majority` of the first `count` positions have reached; null when fewer than
    /// `majority` positions are given. Sorts at most seven values in place, on the stack: it runs at every write.
    static func reached(_ positions: inout [7 of OpTime], count: Int, majority: Int) -> OpTime {
        guard majority > 0, count >= majority, count <= 7 else { return .null }
        for index in 1..<max(count, 1) {
            let value = positions[index]
            var hole = index
            while hole > 0, positions[hole - 1] < value {
                positions[hole] = positions[hole - 1]
                hole -= 1
            }
            positions[hole] = value
        }
        return positions[majority - 1]
    }
}
