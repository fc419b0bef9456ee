public import BSON

/// What a server said it is in its last `hello`.
public enum ServerType: String, Sendable {
    /// Not reached yet, or its last check failed.
    case unknown = "Unknown"
    case standalone = "Standalone"
    /// A router.
    case mongos = "Mongos"
    /// Named as primary by another member, but not reached yet.
    case possiblePrimary = "PossiblePrimary"
    case primary = "RSPrimary"
    case secondary = "RSSecondary"
    case arbiter = "RSArbiter"
    /// A member that serves no reads: starting up, recovering, hidden.
    case other = "RSOther"
    /// Runs with replication but is in no set yet.
    case ghost = "RSGhost"

    /// Whether operations can go to it.
    public var isDataBearing: Bool {
        switch self {
        case .standalone, .mongos, .primary, .secondary: true
        default: false
        }
    }
}

/// The version of a server's own view of the topology: a newer reply has a larger counter of the same process.
public struct TopologyVersion: Hashable, Sendable {
    public var processID: ObjectID
    public var counter: Int64

    public init(processID: ObjectID, counter: Int64) {
        self.processID = processID
        self.counter = counter
    }

    /// Whether this is surely older than `other`. Versions of different processes cannot be compared.
    public func isOlder(than other: TopologyVersion) -> Bool { processID == other.processID && counter < other.counter }
}

/// One server as its last `hello` described it.
public struct ServerDescription: Sendable {
    public var address: Endpoint
    public var type: ServerType
    /// Moving average of its answers' round trips; nil before the first.
    public var roundTripTime: Duration?
    public var tags: [String: String] = [:]
    /// The wall time of its last write, by the primary's clock.
    public var lastWriteDate: WallTime?
    /// When the description was made, by this node's clock.
    public var lastUpdate = Instant.zero
    public var minWireVersion = 0
    public var maxWireVersion = 0
    public var setName: String?
    public var setVersion: Int64?
    public var electionID: ObjectID?
    /// The member's own name for itself.
    public var me: Endpoint?
    /// All members that it names: hosts, passives and arbiters.
    public var members: [Endpoint] = []
    /// Whom it thinks primary.
    public var primary: Endpoint?
    public var topologyVersion: TopologyVersion?
    public var logicalSessionTimeoutMinutes: Int?
    public var maxWriteBatchSize = Limits.writeBatchSizeMax
    public var maxMessageBytes = Limits.messageBytesMax
    /// Why the type is unknown.
    public var error: String?

    public init(address: Endpoint, type: ServerType = .unknown) {
        self.address = address
        self.type = type
    }
}

/// All servers that a client knows of, and what they are together.
public struct TopologyDescription: Sendable {
    public enum Kind: String, Sendable {
        case unknown = "Unknown"
        /// One server, taken as it is.
        case single = "Single"
        case replicaSetNoPrimary = "ReplicaSetNoPrimary"
        case replicaSetWithPrimary = "ReplicaSetWithPrimary"
        case sharded = "Sharded"

        public var isReplicaSet: Bool { self == .replicaSetNoPrimary || self == .replicaSetWithPrimary }
    }

    public var kind: Kind
    public var setName: String?
    /// By address, so that no choice depends on the order in which servers were found.
    public var servers: [ServerDescription]
    /// How often servers are looked at.
    public var heartbeatInterval: Duration = .seconds(10)

    public init(kind: Kind, setName: String? = nil, servers: [ServerDescription] = []) {
        self.kind = kind
        self.setName = setName
        self.servers = servers
    }

    public subscript(address: Endpoint) -> ServerDescription? { servers.first { $0.address == address } }
    public var primary: ServerDescription? { servers.first { $0.type == .primary } }
}

/// The moving average of round trips: each new sample counts a fifth.
public struct RoundTripAverage: Sendable {
    public private(set) var average: Duration?

    public init(average: Duration? = nil) { self.average = average }

    public mutating func add(_ sample: Duration) {
        average = average.map { .nanoseconds(sample.nanoseconds / 5 + $0.nanoseconds / 5 * 4) } ?? sample
    }
}
