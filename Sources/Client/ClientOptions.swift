import BSON
public import Core

/// How a client behaves. The defaults are those of MongoDB's drivers.
public struct ClientOptions: Sendable {
    public var applicationName: String?
    public var readPreference = ReadPreference.primary
    public var readConcern: ReadConcern?
    public var writeConcern: WriteConcern?
    public var retryWrites = true
    public var retryReads = true
    /// Talks to the one seed only, whatever set it is a member of.
    public var directConnection = false
    /// How long an operation waits for a server that can take it.
    public var serverSelectionTimeout: Duration = .seconds(30)
    /// How long a connection may take to open.
    public var connectTimeout: Duration = .seconds(10)
    /// How long a reply may take; nil for ever.
    public var socketTimeout: Duration?
    /// How often servers are looked at, and how often at most when an operation waits.
    public var heartbeatInterval: Duration = .seconds(10)
    public var minimumHeartbeatInterval: Duration = .milliseconds(500)
    /// How much slower than the fastest member another may be and still serve reads.
    public var localThreshold: Duration = .milliseconds(15)
    public var connectionsMax = Limits.clientPoolConnectionsMax
    /// Connections that were not used for this long are closed; nil keeps them.
    public var connectionIdleMax: Duration?
    /// How messages are compressed, the best first: by the first that a server has, too. Empty: not at all.
    public var compressors: [MessageCompressor] = []

    public init() {}
}

/// A way of compressing messages.
public enum MessageCompressor: String, Sendable, CaseIterable {
    case snappy, zlib, zstd
}

/// Which state of the data a read may see.
public struct ReadConcern: Hashable, Sendable {
    public var level: String
    public init(_ level: String) { self.level = level }
    public static let local = ReadConcern("local")
    public static let available = ReadConcern("available")
    public static let majority = ReadConcern("majority")
    public static let linearizable = ReadConcern("linearizable")
    public static let snapshot = ReadConcern("snapshot")
}

/// When a write counts as done.
public struct WriteConcern: Hashable, Sendable {
    /// How many members must have the write: a number, or a name such as `majority`.
    public enum Members: Hashable, Sendable {
        case count(Int)
        case named(String)
    }

    public var w: Members
    /// Whether it must be in their journals; nil leaves it to the server.
    public var journal: Bool?
    public var timeout: Duration?

    public init(w: Members, journal: Bool? = nil, timeout: Duration? = nil) {
        self.w = w
        self.journal = journal
        self.timeout = timeout
    }

    public static let majority = WriteConcern(w: .named("majority"))
    public static func w(_ count: Int) -> WriteConcern { WriteConcern(w: .count(count)) }

    /// Whether the server answers at all.
    public var isAcknowledged: Bool { w != .count(0) || journal == true }

    var document: Document {
        Document { writer in
            switch w {
            case .count(let count): writer.append("w", int32: Int32(clamping: count))
            case .named(let name): writer.append("w", string: name)
            }
            if let journal { writer.append("j", bool: journal) }
            if let timeout { writer.append("wtimeout", int64: timeout.wholeMilliseconds) }
        }
    }
}
