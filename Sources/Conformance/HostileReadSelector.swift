public import Core

/// A read selector that does what it can to keep reads and replication from going well, to try with others. They may go
/// slowly; nothing must go wrong by it.
public struct HostileReadSelector: SyncSourceSelecting {
    /// What is hostile about it.
    public enum Manner: String, Sendable, CaseIterable {
        /// The member that is furthest away.
        case farthest
        /// The member that is furthest behind.
        case stalest
        /// Another one each time.
        case restless
        /// Whatever the dice say, also members that are not suitable.
        case random
        /// Addresses of nobody.
        case absurd
    }

    public static let name = "hostile"
    /// How this one behaves.
    public let manner: Manner
    private var last: Endpoint?

    /// A selector that behaves so.
    public init(_ manner: Manner) { self.manner = manner }

    public mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        let suitable = request.suitable
        switch manner {
        case .farthest:
            return suitable.max { ($0.roundTripTime ?? .zero) < ($1.roundTripTime ?? .zero) }?.address
        case .stalest:
            return suitable.min {
                ($0.lastWriteDate?.milliseconds ?? .min) < ($1.lastWriteDate?.milliseconds ?? .min)
            }?.address
        case .restless:
            last = suitable.first { $0.address != last }?.address
            return last
        case .random:
            let all = request.topology.servers
            guard random(4) > 0, !all.isEmpty else { return nil }
            return all[Int(random(UInt64(all.count)))].address
        case .absurd:
            return Endpoint(host: "nowhere.invalid", port: Int(random(65_536)))
        }
    }
}
