public import Core

/// Each suitable member in turn, in order of address: an even spread, whatever the distances.
public struct RoundRobin: ReadSelector {
    public static let name = "round-robin"

    /// Whose turn it was last, so that members that come and go do not disturb the order.
    private var last: String?

    public init() {}

    public mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        let inOrder = request.suitable.sorted { $0.address.description < $1.address.description }
        let next = inOrder.first { server in last.map { server.address.description > $0 } ?? true } ?? inOrder.first
        last = next?.address.description
        return next?.address
    }
}
