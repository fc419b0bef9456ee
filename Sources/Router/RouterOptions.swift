public import Core

/// How a router is set up. The parts (transport, selector, strategies) are handed over beside it.
public struct RouterOptions: Sendable {
    /// Where it listens. Port 0 lets the transport choose.
    public var endpoint: Endpoint
    /// The host name under which clients reach it; the default is `endpoint.host`.
    public var advertisedHost: String?
    /// The name of the config servers' replica set.
    public var configSetName: String
    /// Some of its members.
    public var configSeeds: [Endpoint]
    /// Whether `configureFailPoint` and the like are there.
    public var enableTestCommands = false
    /// For `getCmdLineOpts`: the command line as it was given.
    public var arguments: [String] = []
    /// For `hostInfo` and `serverStatus`.
    public var processID: Int32 = 0
    public var coreCount = 1
    public var memoryBytes: Int64 = 0
    public var hostname = "localhost"

    public init(endpoint: Endpoint, configSetName: String, configSeeds: [Endpoint]) {
        self.endpoint = endpoint
        self.configSetName = configSetName
        self.configSeeds = configSeeds
    }
}
