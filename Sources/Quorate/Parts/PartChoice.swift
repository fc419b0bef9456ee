public import Core

/// Which part a cluster is to be made with: one that a registry knows by name, or one of your own.
public struct PartChoice<Product>: Sendable {
    /// The part's name.
    public let name: String
    /// Nil for a part that is looked up.
    private var own: Part<Product>?
    private(set) var options = PartOptions()

    /// A registered part. Whether there is one of that name and with those options is found out at the start.
    public static func named(_ name: String, _ options: [String: String] = [:]) -> PartChoice {
        PartChoice(name: name, options: PartOptions(options))
    }

    private init(name: String, own: Part<Product>? = nil, options: PartOptions = PartOptions()) {
        self.name = name
        self.own = own
        self.options = options
    }

    /// A part that no registry needs to know.
    static func unregistered(_ part: Part<Product>) -> PartChoice { PartChoice(name: part.name, own: part) }

    /// Makes the part.
    /// - Throws: `PartOptionError` when it is not registered, has not such options, or cannot do with their values.
    public func make(_ kind: PartKind<Product>, from registry: PartRegistry) throws -> Product {
        try (own ?? registry.part(kind, name)).make(options)
    }
}

/// The storage of a cluster's members.
public typealias StorageChoice = PartChoice<StorageMaker>
/// The election policy of a cluster's members.
public typealias ElectionChoice = PartChoice<any ElectionPolicy>
/// How clients choose among the members that a read preference allows, and members among those they may copy.
public typealias ReadSelectorChoice = PartChoice<any ReadSelector>

extension PartChoice where Product == StorageMaker {
    /// A B+tree in memory, forgotten when the member stops.
    public static var memory: PartChoice { .named("memory") }
    /// The same tree with a journal and checkpoints in files: needs a directory, and survives restarts.
    public static var file: PartChoice { .named("file") }
    /// RocksDB, for data larger than memory: needs a directory, and Quorate built with the trait `RocksDB`.
    /// - Parameter cacheMegabytes: how much data each member keeps in memory.
    public static func rocksdb(cacheMegabytes: Int = Limits.storageCacheBytesDefault >> 20) -> PartChoice {
        .named("rocksdb", ["cache-mb": "\(cacheMegabytes)"])
    }
    /// An engine of your own; made once for each start of a member, on its loop.
    public static func custom(
        _ name: String, directory: StorageDirectory = .refused, _ make: @escaping StorageMaker
    ) -> PartChoice {
        .unregistered(Part(name, summary: "", directory: directory, make: make))
    }
}

extension PartChoice where Product == any ElectionPolicy {
    /// Stands as soon as the connection to the primary breaks.
    public static var fast: PartChoice { .named("fast") }
    /// MongoDB's protocol version 1.
    public static var mongodb: PartChoice { .named("mongodb") }
    /// As `fast`, but members of the zone `home` stand first. A member's zone is the value of its tag `tag`.
    /// - Parameters:
    ///   - home: nil for the zone with the most voters.
    ///   - tag: the name of the tag.
    public static func zoneAware(home: String? = nil, tag: String = "dc") -> PartChoice {
        .named("zone-aware", ["tag": tag, "home": home ?? ""])
    }
    /// Only the member that the configuration names so, `host:port`, ever stands.
    public static func fixed(host: String) -> PartChoice { .named("fixed", ["member": host]) }
    /// A policy of your own.
    public static func custom(_ policy: any ElectionPolicy) -> PartChoice {
        .unregistered(Part(policy.name, summary: "") { _ in policy })
    }
}

extension PartChoice where Product == any ReadSelector {
    /// As MongoDB's drivers choose. Members choose whom they copy by their own rule: the primary, if none is nearer.
    public static var mongodb: PartChoice { .named("mongodb") }
    /// Always the member with the shortest round trip.
    public static var nearestStrict: PartChoice { .named("nearest-strict") }
    /// The member whose data are newest.
    public static var leastLag: PartChoice { .named("least-lag") }
    /// Each member in turn.
    public static var roundRobin: PartChoice { .named("round-robin") }
    /// A selector of your own; made anew for each client and each start of a member, on its loop.
    public static func custom(
        _ name: String, _ make: @escaping @Sendable () throws -> any ReadSelector
    ) -> PartChoice {
        .unregistered(Part(name, summary: "") { _ in try make() })
    }
}

/// How documents are spread over shards.
public typealias ShardKeyChoice = PartChoice<any ShardKeyStrategy>

extension PartChoice where Product == any ShardKeyStrategy {
    /// As the key says: MongoDB's hash with a hashed field, else in the order of values.
    public static var mongodb: PartChoice { .named("mongodb") }
    /// In the order of values.
    public static var ranged: PartChoice { .named("ranged") }
    /// MongoDB's hash of one field.
    public static var hashed: PartChoice { .named("hashed") }
    /// The same by XXH3.
    public static var xxhash: PartChoice { .named("xxhash") }
    /// A hash behind a prefix that zones are made of.
    public static var zoned: PartChoice { .named("zoned") }
    /// A strategy of your own.
    public static func custom(_ strategy: any ShardKeyStrategy) -> PartChoice {
        .unregistered(Part(strategy.name, summary: "") { _ in strategy })
    }
}

/// The transport of a cluster.
public struct TransportChoice: Sendable {
    let network: PartChoice<any TransportNetwork>
    /// Where the first member listens, the others behind it; 0 for any free ports.
    let firstPort: Int
    /// Whether clients of other processes come in, by sockets where the transport does not reach them.
    let admitsOtherProcesses: Bool

    init(_ network: PartChoice<any TransportNetwork>, firstPort: Int, admitsOtherProcesses: Bool = false) {
        self.network = network
        self.firstPort = firstPort
        self.admitsOtherProcesses = admitsOtherProcesses
    }

    /// Inside this process only.
    public static let loopback = TransportChoice(.named("loopback"), firstPort: 0)
    /// TCP on 127.0.0.1: members listen on `port` and the ports behind it; 0 for any free ones.
    public static func socket(port: Int = 0) -> TransportChoice {
        TransportChoice(.named("socket"), firstPort: port)
    }
    /// A registered transport. Clients of other processes always come in, by sockets where it does not reach them.
    public static func named(_ network: PartChoice<any TransportNetwork>, firstPort: Int = 0) -> TransportChoice {
        TransportChoice(network, firstPort: firstPort, admitsOtherProcesses: true)
    }
    /// A transport of your own.
    public static func custom(
        _ name: String, firstPort: Int = 0, _ make: @escaping @Sendable () throws -> any TransportNetwork
    ) -> TransportChoice {
        TransportChoice(.unregistered(Part(name, summary: "") { _ in try make() }), firstPort: firstPort)
    }

    /// The same with another first port.
    func at(port: Int) -> TransportChoice {
        TransportChoice(network, firstPort: port, admitsOtherProcesses: admitsOtherProcesses)
    }

    func make(from registry: PartRegistry) throws -> any TransportNetwork {
        let network = try network.make(.transport, from: registry)
        return network.reachesOtherProcesses || !admitsOtherProcesses ? network : NetworkWithSockets(network)
    }
}
