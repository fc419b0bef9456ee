/// The bounds that routers, and whole clusters in one process, run into.
extension Limits {
    /// Shards that one command starts.
    public static let clusterShardsStarted = 20
    /// How often a router tells the config servers that it is there, and looks at the list of shards.
    public static let routerPingInterval: Duration = .seconds(10)
    /// How often a router looks at the members of a set that cannot stream their state, and the least time between.
    public static let routerHeartbeatInterval: Duration = .seconds(5)
    /// The least time between two looks at a member.
    public static let routerHeartbeatIntervalMin: Duration = .milliseconds(50)
    /// How long a router's connection to a member may take to open.
    public static let routerConnectTimeout: Duration = .seconds(5)
    /// How long a router waits for a member that may take a request.
    public static let routerSelectionTimeout: Duration = .seconds(20)
    /// How much longer than an operation's time limit a router waits for the member that keeps it.
    public static let routerReplyGrace: Duration = .seconds(1)
    /// How often a router sends one request that could not be carried out.
    public static let routerAttemptsMax = 4
    /// How often a router routes one operation anew because a shard has another version.
    public static let routerStaleRetriesMax = 10
    /// The first pause before an operation is routed anew once more; it doubles.
    public static let routerStalePause: Duration = .milliseconds(5)
    /// Requests of one of a router's channels before it opens another to that member, and how many it opens.
    public static let routerChannelRequestsMax = 128
    /// How many channels a router opens to one member.
    public static let routerChannelsMax = 8
    /// Databases, and collections, of which a router keeps where they are.
    public static let routerCachedNamesMax = 10_000
    /// Documents of the config servers that a router reads at once, and how long that may take.
    public static let routerConfigBatchDocuments = 10_000
    /// How long a router's read of the config servers may take.
    public static let routerConfigReadMax: Duration = .seconds(30)
}
