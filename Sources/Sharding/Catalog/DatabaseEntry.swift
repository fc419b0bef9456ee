public import BSON
public import Core

/// A database of the cluster, with the shard that has its unsharded collections: a document of `config.databases`.
///
///     {_id: name, primary: shard, partitioned: true, version: {uuid, timestamp, lastMod}}
public struct DatabaseEntry: CatalogDocument {
    public static let collection = "databases"
    /// Its name.
    public let name: String
    /// The shard that has what is not sharded.
    public let primary: ShardID
    /// A number of the database: one that is created again has another.
    public let uuid: CollectionUUID
    /// What requests for unsharded collections carry.
    public let version: DatabaseVersion

    /// A database.
    public init(_ name: String, primary: ShardID, uuid: CollectionUUID, version: DatabaseVersion) {
        self.name = name
        self.primary = primary
        self.uuid = uuid
        self.version = version
    }

    public var document: Document {
        Document { writer in
            writer.append("_id", string: name)
            writer.append("primary", string: primary.name)
            writer.append("partitioned", bool: true)
            writer.document("version") { version in
                version.append("uuid", uuid)
                version.append("timestamp", timestamp: self.version.epoch.timestamp)
                version.append("lastMod", int64: Int64(self.version.lastMod))
            }
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let name = view.string("_id") else { throw Self.malformed("_id") }
        guard let primary = view.string("primary") else { throw Self.malformed("primary") }
        guard let version = view["version"]?.asDocument, let uuid = CollectionUUID(version["uuid"]) else {
            throw Self.malformed("version")
        }
        self.init(name, primary: ShardID(primary), uuid: uuid, version: try DatabaseVersion(version))
    }
}
