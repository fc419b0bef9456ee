public import Core

/// Always the member with the shortest round trip: the lowest latency, at the price of loading one member.
public struct NearestStrict: SyncSourceSelecting {
    public static let name = "nearest-strict"

    public init() {}

    public mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        // A member that has not been measured comes last.
        request.suitable.min { ($0.roundTripTime ?? .seconds(3600)) < ($1.roundTripTime ?? .seconds(3600)) }?.address
    }
}
