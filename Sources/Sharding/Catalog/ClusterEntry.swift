public import BSON
public import Core

/// The cluster's identity: the document of `config.version`, made when a config set gets its first primary.
///
///     {_id: 1, clusterId: ObjectId}
public struct ClusterEntry: CatalogDocument {
    public static let collection = "version"
    /// Never the same for two clusters.
    public let clusterID: ObjectID

    /// The cluster of an id.
    public init(_ clusterID: ObjectID) { self.clusterID = clusterID }

    public var document: Document {
        Document { writer in
            writer.append("_id", int32: 1)
            writer.append("clusterId", objectID: clusterID)
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let clusterID = view["clusterId"]?.asObjectID else { throw Self.malformed("clusterId") }
        self.clusterID = clusterID
    }
}
