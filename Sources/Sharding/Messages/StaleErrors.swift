public import BSON
public import Core

/// A shard refuses what was routed by another placement than its own: nothing was done. The error's fields, beside code
/// and message; in a write batch the `errInfo` of each statement that was not started.
///
///     {ns, vReceived: {t, v}, vWanted?: {t, v}, shardId}
public struct StaleConfigInfo: Hashable, Sendable {
    /// The collection.
    public let namespace: Namespace
    /// What the request carried.
    public let received: PlacementVersion
    /// What the shard has; nil when it does not know.
    public let wanted: PlacementVersion?
    /// The shard.
    public let shard: ShardID

    /// A refusal.
    public init(_ namespace: Namespace, received: PlacementVersion, wanted: PlacementVersion?, shard: ShardID) {
        self.namespace = namespace
        self.received = received
        self.wanted = wanted
        self.shard = shard
    }

    /// The fields.
    public var document: Document {
        Document { writer in
            writer.append("ns", string: namespace.fullName)
            writer.append("vReceived", received.document)
            if let wanted { writer.append("vWanted", wanted.document) }
            writer.append("shardId", string: shard.name)
        }
    }

    /// The error of a whole command.
    public var error: ServerError {
        ServerError(
            .staleConfig,
            "The shard \(shard) has version \(wanted.map { "\($0)" } ?? "unknown") of \(namespace.fullName), the "
                + "request was for \(received)", details: document)
    }

    /// Reads the fields from an error reply or an `errInfo`.
    /// - Throws: `FailedToParse`.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let full = view["ns"]?.asString, let namespace = Namespace(fullName: full),
            let received = view["vReceived"]?.asDocument, let shard = view["shardId"]?.asString
        else { throw ServerError(.failedToParse, "A StaleConfig error needs ns, vReceived and shardId") }
        var wanted: PlacementVersion?
        if let version = view["vWanted"]?.asDocument { wanted = try PlacementVersion(version) }
        self.init(
            namespace, received: try PlacementVersion(received), wanted: wanted, shard: ShardID(shard))
    }
}

/// The same for the version of a database, of collections that are not sharded.
///
///     {db, vReceived: {timestamp, lastMod}, vWanted?: {timestamp, lastMod}}
public struct StaleDatabaseInfo: Hashable, Sendable {
    /// The database.
    public let database: String
    /// What the request carried.
    public let received: DatabaseVersion
    /// What the shard has; nil when it is not the database's primary or does not know.
    public let wanted: DatabaseVersion?

    /// A refusal.
    public init(_ database: String, received: DatabaseVersion, wanted: DatabaseVersion?) {
        self.database = database
        self.received = received
        self.wanted = wanted
    }

    /// The fields.
    public var document: Document {
        Document { writer in
            writer.append("db", string: database)
            writer.append("vReceived", received.document)
            if let wanted { writer.append("vWanted", wanted.document) }
        }
    }

    /// The error of a whole command.
    public var error: ServerError {
        let has = wanted.map { "\($0.lastMod) of \($0.epoch.timestamp)" } ?? "unknown"
        return ServerError(
            .staleDbVersion,
            "The version of the database \(database) is \(has) here, the request was for \(received.lastMod) of "
                + "\(received.epoch.timestamp)", details: document)
    }

    /// Reads the fields from an error reply or an `errInfo`.
    /// - Throws: `FailedToParse`.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let database = view["db"]?.asString, let received = view["vReceived"]?.asDocument else {
            throw ServerError(.failedToParse, "A StaleDbVersion error needs db and vReceived")
        }
        var wanted: DatabaseVersion?
        if let version = view["vWanted"]?.asDocument { wanted = try DatabaseVersion(version) }
        self.init(database, received: try DatabaseVersion(received), wanted: wanted)
    }
}
