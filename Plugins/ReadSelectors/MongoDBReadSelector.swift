public import Core

/// Picks as MongoDB's drivers do: among the members whose round trip is within the local threshold of the fastest,
/// draws two and takes the one with fewer operations in flight (server-selection specification, "Selecting servers
/// within the latency window").
public struct MongoDBReadSelector: ReadSelector {
    public static let name = "mongodb"

    public init() {}

    /// The members that are near enough.
    public func latencyWindow(_ request: ReadSelectionRequest) -> [ServerDescription] {
        guard let fastest = request.suitable.compactMap(\.roundTripTime).min() else { return request.suitable }
        let limit = fastest + request.localThreshold
        return request.suitable.filter { $0.roundTripTime.map { $0 <= limit } ?? false }
    }

    public mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        let window = latencyWindow(request)
        guard window.count > 1 else { return window.first?.address }
        let first = Int(random(UInt64(window.count)))
        var second = Int(random(UInt64(window.count - 1)))
        if second >= first { second += 1 }
        let (a, b) = (window[first].address, window[second].address)
        let inFlight = { (address: Endpoint) in request.statistics[address]?.operationsInFlight ?? 0 }
        return inFlight(b) < inFlight(a) ? b : a
    }
}
