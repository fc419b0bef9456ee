import BSON
import Core

/// `$meta`: what is known of a document beside its fields. Of what there is here, nothing: text search, geospatial
/// queries and Atlas search, whose scores it shows, are not there.
enum MetadataOperator {
    static let table: [String: OperatorEntry] = [
        "$meta": .form { (argument, _) throws(ServerError) in
            guard let name = argument.asString else {
                throw ServerError(location: 17307, "$meta only supports string arguments")
            }
            if unshown.contains(name) {
                throw ServerError(.commandNotSupported, "$meta: \"\(name)\" is not supported yet")
            }
            guard let source = sources[name] else {
                throw ServerError(location: 17308, "Unsupported argument to $meta: \(name)")
            }
            throw ServerError(location: 40218, "query requires \(source) metadata, but it is not available")
        }
    ]

    /// What a query here might have, and does not show yet.
    private static let unshown = ["sortKey", "recordId", "indexKey"]
    /// What no query here can have, and what MongoDB calls it.
    private static let sources: [String: String] = [
        "textScore": "text score", "searchScore": "search score", "searchHighlights": "search highlights",
        "searchScoreDetails": "search score details", "searchSequenceToken": "$search sequence token",
        "vectorSearchScore": "vectorSearch distance", "geoNearDistance": "$geoNear distance",
        "geoNearPoint": "$geoNear point", "randVal": "rand val",
    ]
}
