public import BSON
public import Core

/// What a node of a sharded cluster says of itself in `hello` to another: `internalCluster`, beside the
/// `internalMember` by which members of one set know each other. Only connections that were introduced so may send
/// versions and internal commands.
///
///     {clusterId: ObjectId or null, kind: "router" | "shard" | "config", name: String}
public struct ClusterIntroduction: Hashable, Sendable {
    /// What a node is in the cluster.
    public enum Kind: String, Hashable, Sendable {
        /// It routes.
        case router
        /// It is a member of a shard.
        case shard
        /// It is a config server.
        case config
    }

    /// The field of `hello`.
    public static let field: StaticString = "internalCluster"
    /// The cluster that it belongs to; nil while it does not know.
    public let clusterID: ObjectID?
    /// What it is.
    public let kind: Kind
    /// The shard's name, or `host:port` of a router or config server; for messages.
    public let name: String

    /// An introduction.
    public init(clusterID: ObjectID?, kind: Kind, name: String) {
        self.clusterID = clusterID
        self.kind = kind
        self.name = name
    }

    /// Adds it to a `hello`.
    public func append(to hello: DocumentWriter) {
        hello.document(ClusterIntroduction.field) { writer in
            if let clusterID { writer.append("clusterId", objectID: clusterID) } else { writer.appendNull("clusterId") }
            writer.append("kind", string: kind.rawValue)
            writer.append("name", string: name)
        }
    }

    /// Reads it from a `hello`; nil when there is none.
    /// - Throws: `FailedToParse` when it is there and not whole.
    public static func decode(_ hello: DocumentView) throws(ServerError) -> ClusterIntroduction? {
        guard let value = hello[field] else { return nil }
        guard let view = value.asDocument, let kind = view["kind"]?.asString.flatMap(Kind.init),
            let name = view["name"]?.asString, let id = view["clusterId"]
        else { throw ServerError(.failedToParse, "'internalCluster' of hello needs clusterId, kind and name") }
        let clusterID = id.asObjectID
        guard clusterID != nil || id.type == .null else {
            throw ServerError(.failedToParse, "'clusterId' of internalCluster must be an object id or null")
        }
        return ClusterIntroduction(clusterID: clusterID, kind: kind, name: name)
    }

    /// Whether the one who says this belongs to a cluster.
    /// - Throws: `Unauthorized` when it names another.
    public func check(own: ObjectID?) throws(ServerError) {
        guard let own, let clusterID, own != clusterID else { return }
        throw ServerError(
            .unauthorized,
            "The \(kind.rawValue) \(name) belongs to the cluster \(clusterID), this node to \(own)")
    }
}
