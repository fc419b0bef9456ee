public import BSON
public import Core

/// What a router says with a request of where it believes the data to be. Refused from clients.
///
///     shardVersion: {t, v}, databaseVersion: {timestamp, lastMod}, $configTime: Timestamp, $topologyTime: Timestamp
public struct RoutedRequest: Hashable, Sendable {
    /// The placement version that the shard is believed to have; `unsharded` for a collection that is not sharded; nil
    /// when the request is about no collection.
    public var placement: PlacementVersion?
    /// The database's version, for a collection that is not sharded.
    public var database: DatabaseVersion?
    /// The newest time of the config servers that the router knows of.
    public var configTime: Timestamp?
    /// When the list of shards last changed, as the router knows it.
    public var topologyTime: Timestamp?

    /// The fields' names, in the order in which they are written.
    public static let fields: [StaticString] = ["shardVersion", "databaseVersion", "$configTime", "$topologyTime"]

    /// A request.
    public init(
        placement: PlacementVersion? = nil, database: DatabaseVersion? = nil, configTime: Timestamp? = nil,
        topologyTime: Timestamp? = nil
    ) {
        self.placement = placement
        self.database = database
        self.configTime = configTime
        self.topologyTime = topologyTime
    }

    /// Whether it says nothing of versions.
    public var isUnversioned: Bool { placement == nil && database == nil }

    /// Adds the fields to a command.
    public func append(to command: DocumentWriter) {
        if let placement { command.append("shardVersion", placement.document) }
        if let database { command.append("databaseVersion", database.document) }
        if let configTime { command.append("$configTime", timestamp: configTime) }
        if let topologyTime { command.append("$topologyTime", timestamp: topologyTime) }
    }

    /// Reads the fields of a command; those that are not there stay nil.
    /// - Throws: `TypeMismatch`, `FailedToParse`.
    public init(_ command: DocumentView) throws(ServerError) {
        self.init()
        if let view = try RoutedRequest.document(command, "shardVersion") { placement = try PlacementVersion(view) }
        if let view = try RoutedRequest.document(command, "databaseVersion") { database = try DatabaseVersion(view) }
        configTime = try RoutedRequest.timestamp(command, "$configTime")
        topologyTime = try RoutedRequest.timestamp(command, "$topologyTime")
    }

    private static func document(_ view: DocumentView, _ field: StaticString) throws(ServerError) -> DocumentView? {
        guard let value = view[field] else { return nil }
        guard let document = value.asDocument else { throw wrongType("\(field)", value, "object") }
        return document
    }

    private static func timestamp(_ view: DocumentView, _ field: StaticString) throws(ServerError) -> Timestamp? {
        guard let value = view[field] else { return nil }
        guard let timestamp = value.asTimestamp else { throw wrongType("\(field)", value, "timestamp") }
        return timestamp
    }
}
