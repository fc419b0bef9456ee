public import Core

/// The member that lags least behind the primary, by its last write; of equal ones the nearest. For reads that want the
/// newest data a secondary has.
public struct LeastLag: SyncSourceSelecting {
    public static let name = "least-lag"

    public init() {}

    public mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        var best: (lag: Duration, roundTrip: Duration, address: Endpoint)?
        for server in request.suitable {
            let lag = ServerSelection.staleness(of: server, in: request.topology) ?? .seconds(1_000_000_000)
            let roundTrip = server.roundTripTime ?? .seconds(3600)
            if let best, (best.lag, best.roundTrip) <= (lag, roundTrip) { continue }
            best = (lag, roundTrip, server.address)
        }
        return best?.address
    }
}
