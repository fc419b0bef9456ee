public import Core

/// How a client behaves. The defaults are those of MongoDB's drivers.
public struct ClientOptions: Sendable {
    /// What the client calls itself to servers.
    public var applicationName: String?
    /// Where reads go that do not say.
    public var readPreference = ReadPreference.primary
    /// What reads may see that do not say; nil leaves it to the server.
    public var readConcern: ReadConcern?
    /// When writes count as done that do not say; nil leaves it to the server.
    public var writeConcern: WriteConcern?
    /// Whether a write that may have been lost is sent once more.
    public var retryWrites = true
    /// The same for reads.
    public var retryReads = true
    /// Talks to the one seed only, whatever set it is a member of.
    public var directConnection = false
    /// How long an operation waits for a server that can take it.
    public var serverSelectionTimeout: Duration = .seconds(30)
    /// How long a connection may take to open.
    public var connectTimeout: Duration = .seconds(10)
    /// How long a reply may take; nil for ever.
    public var socketTimeout: Duration?
    /// How often servers are looked at.
    public var heartbeatInterval: Duration = .seconds(10)
    /// The shortest time between two looks, when an operation waits.
    public var minimumHeartbeatInterval: Duration = .milliseconds(500)
    /// How much slower than the fastest member another may be and still serve reads.
    public var localThreshold: Duration = .milliseconds(15)
    /// Connections to one server.
    public var connectionsMax = Limits.clientPoolConnectionsMax
    /// Connections that were not used for this long are closed; nil keeps them.
    public var connectionIdleMax: Duration?
    /// How messages are compressed, the best first: by the first that a server has, too. Empty: not at all.
    public var compressors: [MessageCompressor] = []

    /// The defaults of MongoDB's drivers.
    public init() {}
}

/// A way of compressing messages.
public enum MessageCompressor: String, Sendable, CaseIterable {
    case snappy, zlib, zstd
}
