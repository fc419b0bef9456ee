public import BSON
public import Core

/// A router asks the config servers for a database, which is created when there is none:
/// `{_configsvrCreateDatabase: 1, db, primaryShard?}`.
public struct CreateDatabaseRequest: Hashable, Sendable {
    /// The command's name.
    public static let name: StaticString = "_configsvrCreateDatabase"
    /// The database.
    public let database: String
    /// Where it is to be; nil for the shard with the least data. One that exists elsewhere is refused.
    public let primary: ShardID?

    /// A request.
    public init(_ database: String, primary: ShardID? = nil) {
        self.database = database
        self.primary = primary
    }

    /// Writes the command.
    public func encode(to writer: DocumentWriter) {
        writer.append(CreateDatabaseRequest.name, int32: 1)
        writer.append("db", string: database)
        if let primary { writer.append("primaryShard", string: primary.name) }
    }

    /// Reads the command.
    /// - Throws: `BadValue`, `InvalidNamespace`.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let database = view["db"]?.asString else {
            throw ServerError(.badValue, "_configsvrCreateDatabase needs the name of a database in 'db'")
        }
        try Namespace.checkDatabase(database)
        self.init(database, primary: view["primaryShard"]?.asString.map { ShardID($0) })
    }
}

/// Where the database is: `{primary, version: {timestamp, lastMod}}`.
public struct CreateDatabaseReply: Hashable, Sendable {
    /// The database's primary shard.
    public let primary: ShardID
    /// Its version.
    public let version: DatabaseVersion

    /// A reply.
    public init(primary: ShardID, version: DatabaseVersion) {
        self.primary = primary
        self.version = version
    }

    /// Writes the reply's fields.
    public func encode(to writer: DocumentWriter) {
        writer.append("primary", string: primary.name)
        writer.append("version", version.document)
    }

    /// Reads the reply.
    /// - Throws: `FailedToParse`.
    public init(_ view: DocumentView) throws(ServerError) {
        guard let primary = view["primary"]?.asString, let version = view["version"]?.asDocument else {
            throw ServerError(.failedToParse, "The reply to _configsvrCreateDatabase needs primary and version")
        }
        self.init(primary: ShardID(primary), version: try DatabaseVersion(version))
    }
}
