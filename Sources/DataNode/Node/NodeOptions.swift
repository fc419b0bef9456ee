public import Core

/// How a node is set up. The parts (transport, engine, policy) are handed over beside it.
public struct NodeOptions: Sendable {
    /// Where it listens. Port 0 lets the transport choose.
    public var endpoint: Endpoint
    /// The host name under which clients and members reach it; the default is `endpoint.host`.
    public var advertisedHost: String?
    /// The set that it belongs to; nil for a standalone.
    public var replicaSetName: String?
    /// What its set is in a sharded cluster; nil for a set by itself.
    public var clusterRole: ClusterRole?
    /// The name of the shard key strategy that `shardCollection` takes where it is given none.
    public var shardKeyStrategy = "mongodb"
    /// `orphanCleanupDelaySecs` at the start: how long documents of a range stay that was given to another shard.
    public var orphanCleanupDelay = Limits.orphanCleanupDelay
    /// The data are to become a new set's: those of a backup may, those of a member may not.
    public var startsNewSet = false
    /// Oplog size in bytes; nil for the default of the storage engine.
    public var oplogBytesMax: Int?
    /// How many hours entries of the oplog are kept whatever its size.
    public var oplogMinRetentionHours: Double = 0
    /// `ttlMonitorSleepSecs` at the start.
    public var ttlMonitorPause = Limits.ttlMonitorPauseDefault
    /// `TransactionRecordMinimumLifetimeMinutes`: how long what a session has written is remembered.
    public var sessionRecordLifetimeMinutes = Int32(Limits.sessionRecordLifetime.wholeMilliseconds / 60_000)
    /// Whether documents that a rollback takes back are kept.
    public var createRollbackDataFiles = true
    /// Whether `configureFailPoint` and the like are there.
    public var enableTestCommands = false
    /// A standalone that looks at data whosever they are, and deletes nothing of itself.
    public var isInspection = false
    /// For `getCmdLineOpts`: the command line as it was given.
    public var arguments: [String] = []
    /// For `getCmdLineOpts` and `serverStatus`.
    public var storageName = "memory"
    public var transportName = "socket"
    public var electionPolicyName = "mongodb"
    /// For `hostInfo` and `serverStatus`.
    public var processID: Int32 = 0
    public var coreCount: Int = 1
    public var memoryBytes: Int64 = 0
    public var hostname = "localhost"

    public init(endpoint: Endpoint) { self.endpoint = endpoint }
}
