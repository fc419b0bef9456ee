public import Core
internal import ElectionPolicies
internal import LoopbackTransport
internal import MemoryStorage

/// The storage of a cluster's members.
public struct StorageChoice: Sendable {
    let name: String
    let make: StorageMaker
    /// A B+tree in memory, forgotten when the member stops.
    public static let memory = StorageChoice(name: "memory") { MemoryStorage() }
    /// An engine of your own; called once for each start of a member, on its loop.
    public static func custom(_ name: String, _ make: @escaping StorageMaker) -> StorageChoice {
        StorageChoice(name: name, make: make)
    }
}

/// The transport of a cluster.
public struct TransportChoice: Sendable {
    let name: String
    let firstPort: Int
    let make: @Sendable () throws -> any TransportNetwork
    /// Inside this process only.
    public static let loopback = TransportChoice(name: "loopback", firstPort: 0) { LoopbackTransportNetwork() }
    /// TCP on 127.0.0.1: members listen on `port` and the ports behind it; 0 for any free ones.
    public static func socket(port: Int = 0) -> TransportChoice {
        TransportChoice(name: "socket", firstPort: port) { SocketNetwork() }
    }
    /// A transport of your own.
    public static func custom(
        _ name: String, firstPort: Int = 0, _ make: @escaping @Sendable () throws -> any TransportNetwork
    ) -> TransportChoice {
        TransportChoice(name: name, firstPort: firstPort, make: make)
    }
}

/// The election policy of a cluster's members.
public struct ElectionChoice: Sendable {
    let name: String
    let policy: any ElectionPolicy
    /// Stands as soon as the connection to the primary breaks.
    public static let fast = ElectionChoice(name: "fast", policy: FastElectionPolicy())
    /// MongoDB's protocol version 1.
    public static let mongodb = ElectionChoice(name: "mongodb", policy: MongoDBElectionPolicy())
    /// As `fast`, but members of the zone `home` stand first. A member's zone is the value of its tag `tag`.
    /// - Parameter home: nil for the zone with the most voters.
    public static func zoneAware(home: String? = nil, tag: String = "dc") -> ElectionChoice {
        custom(ZoneAwareElectionPolicy(tag: tag, home: home))
    }
    /// Only the member that the configuration names so, `host:port`, ever stands.
    public static func fixed(host: String) -> ElectionChoice { custom(FixedElectionPolicy(host: host)) }
    /// A policy of your own.
    public static func custom(_ policy: any ElectionPolicy) -> ElectionChoice {
        ElectionChoice(name: policy.name, policy: policy)
    }
}
