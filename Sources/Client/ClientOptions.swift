import BSON
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

/// Which state of the data a read may see.
public struct ReadConcern: Hashable, Sendable {
    /// As in a command's `readConcern`.
    public var level: String
    /// A read concern by its name.
    public init(_ level: String) { self.level = level }
    /// The newest data of the member, which may be rolled back.
    public static let local = ReadConcern("local")
    /// As `local` in a replica set.
    public static let available = ReadConcern("available")
    /// What a majority has.
    public static let majority = ReadConcern("majority")
    /// As `majority`, and not older than any write that was acknowledged before the read began.
    public static let linearizable = ReadConcern("linearizable")
    /// What a majority had at one time, over several reads.
    public static let snapshot = ReadConcern("snapshot")
}

/// When a write counts as done.
public struct WriteConcern: Hashable, Sendable {
    /// How many members must have the write: a number, or a name such as `majority`.
    public enum Members: Hashable, Sendable {
        case count(Int)
        case named(String)
    }

    /// How many members.
    public var w: Members
    /// Whether it must be in their journals; nil leaves it to the server.
    public var journal: Bool?
    /// How long the server waits for them; nil for ever.
    public var timeout: Duration?

    /// A write concern of these parts.
    public init(w: Members, journal: Bool? = nil, timeout: Duration? = nil) {
        self.w = w
        self.journal = journal
        self.timeout = timeout
    }

    /// The majority of voters.
    public static let majority = WriteConcern(w: .named("majority"))
    /// So many members, the primary among them; 0 waits for no answer.
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
