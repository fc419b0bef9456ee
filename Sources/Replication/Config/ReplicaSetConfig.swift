public import BSON
public import Core

/// One member as the replica set's configuration describes it.
public struct MemberConfig: Sendable, Equatable {
    public var id: MemberID
    /// `host:port`, as clients and members dial it.
    public var host: String
    public var isArbiter = false
    public var isHidden = false
    public var priority = 1.0
    public var votes: Int32 = 1
    public var secondaryDelaySeconds: Int64 = 0
    public var tags: [Tag] = []
    /// Neither votes nor counts until its initial sync is known to be complete. Internal: users neither see nor set it.
    public var isNewlyAdded = false
    /// The incarnation of the member whose votes and positions count, nil when any does. Internal, as `isNewlyAdded`.
    public var incarnation: Incarnation?

    public init(id: MemberID, host: String) {
        self.id = id
        self.host = host
    }

    public struct Tag: Sendable, Equatable {
        public var name: String
        public var value: String
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Whether the host means whoever says it: `localhost`, or an address of the loopback.
    public var isLocal: Bool {
        let name = Endpoint(host)?.host.lowercased() ?? host
        return name == "localhost" || name.hasPrefix("127.") || name == "::1" || name == "[::1]"
    }
    public var isVoter: Bool { votes > 0 && !isNewlyAdded }
    public var isElectable: Bool { !isArbiter && priority > 0 && !isNewlyAdded }
    public var isDataBearing: Bool { !isArbiter }
}

/// The order of configurations: term first, then version; by version alone when one of the terms is uninitialised, as a
/// forced reconfiguration leaves it.
public struct ConfigVersion: Hashable, Sendable, CustomStringConvertible {
    public var version: Int64
    public var term: Int64

    public init(version: Int64, term: Int64) {
        self.version = version
        self.term = term
    }

    /// What a member without a configuration reports.
    public static let none = ConfigVersion(version: -2, term: -1)
    public static let uninitializedTerm: Int64 = -1

    public func isOlder(than other: ConfigVersion) -> Bool {
        if term == other.term || term == ConfigVersion.uninitializedTerm
            || other.term == ConfigVersion.uninitializedTerm
        {
            return version < other.version
        }
        return term < other.term
    }
    public var description: String { "(version \(version), term \(term))" }
}

/// The configuration of a replica set, as `replSetGetConfig` shows it.
public struct ReplicaSetConfig: Sendable, Equatable {
    public var setName: String
    public var version: Int64
    public var term: Int64 = ConfigVersion.uninitializedTerm
    /// The version of the last configuration that a user gave, when the set has changed it since (members that were
    /// taken in, or back). Internal, as `isNewlyAdded`.
    public var userVersion: Int64?
    public var members: [MemberConfig]
    public var writeConcernMajorityJournalDefault = true
    public var settings = Settings()

    public init(setName: String, version: Int64 = 1, members: [MemberConfig]) {
        self.setName = setName
        self.version = version
        self.members = members
    }

    /// `settings`, with MongoDB's defaults.
    public struct Settings: Sendable, Equatable {
        public var chainingAllowed = true
        public var heartbeatIntervalMillis: Int64 = 2000
        public var heartbeatTimeoutSecs: Int64 = 10
        public var electionTimeoutMillis: Int64 = 10_000
        /// -1: as long as it takes; 0: not at all.
        public var catchUpTimeoutMillis: Int64 = -1
        /// -1: never.
        public var catchUpTakeoverDelayMillis: Int64 = 30_000
        public var writeConcernModes: [WriteConcernMode] = []
        /// nil when the user did not set it: then the implicit default write concern applies.
        public var writeConcernDefault: WriteConcern?
        public var replicaSetID: ObjectID?
        public init() {}

        public var heartbeatInterval: Duration { .milliseconds(heartbeatIntervalMillis) }
        public var heartbeatTimeout: Duration { .seconds(heartbeatTimeoutSecs) }
        public var electionTimeout: Duration { .milliseconds(electionTimeoutMillis) }
    }

    /// A named write concern: so many distinct values of each tag.
    public struct WriteConcernMode: Sendable, Equatable {
        public var name: String
        public var tags: [(name: String, count: Int32)]
        public init(name: String, tags: [(name: String, count: Int32)]) {
            self.name = name
            self.tags = tags
        }
        public static func == (a: WriteConcernMode, b: WriteConcernMode) -> Bool {
            a.name == b.name && a.tags.elementsEqual(b.tags, by: ==)
        }
    }

    /// What a user's next version must be above: who read the configuration before the set itself changed it has missed
    /// nothing.
    public var lastUserVersion: Int64 { userVersion ?? version }
    public var configVersion: ConfigVersion { ConfigVersion(version: version, term: term) }

    // MARK: Majorities

    public var voterCount: Int { members.reduce(0) { $0 + ($1.isVoter ? 1 : 0) } }
    public var writableVoterCount: Int { members.reduce(0) { $0 + ($1.isVoter && $1.isDataBearing ? 1 : 0) } }
    public var dataBearingCount: Int { members.reduce(0) { $0 + ($1.isDataBearing ? 1 : 0) } }
    /// How many votes elect a primary.
    public var votingMajority: Int { voterCount / 2 + 1 }
    /// How many voters hold what is majority-committed: arbiters vote but cannot hold.
    public var writeMajority: Int { min(votingMajority, writableVoterCount) }

    /// Without a default set by the user: 1 when arbiters could keep a majority of data from ever acknowledging, else
    /// the majority (MongoDB's manual, "Write Concern", implicit default).
    public var implicitDefaultIsMajority: Bool {
        // Those that are being taken in, or back, are counted: the default must not change because one restarts.
        let voters = members.count { $0.votes > 0 }
        let arbiters = members.count { $0.isArbiter }
        return arbiters == 0 || voters - arbiters > voters / 2 + 1
    }

    public func index(of id: MemberID) -> Int? { members.firstIndex { $0.id == id } }
    public func index(ofHost host: String) -> Int? { members.firstIndex { $0.host == host } }
}
