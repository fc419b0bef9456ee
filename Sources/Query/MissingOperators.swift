import Core

/// What MongoDB 8.0's query language has and this module has not built: refused by name, and listed by
/// docs/compatibility.md.
public enum MissingOperators {
    public static let expressions: [(name: String, meaning: String)] = [
        ("$function", "there is no JavaScript")
    ]

    public static let accumulators: [(name: String, meaning: String)] = [
        ("$accumulator", "there is no JavaScript")
    ]

    public static let stages: [(name: String, meaning: String)] = [
        ("$changeStream", "change streams"), ("$changeStreamSplitLargeEvent", "change streams"),
        ("$geoNear", "geospatial queries"), ("$listSampledQueries", "sampled queries"),
        ("$querySettings", "query settings"), ("$queryStats", "query statistics"), ("$search", "Atlas search"),
        ("$searchMeta", "Atlas search"), ("$vectorSearch", "Atlas search"), ("$listSearchIndexes", "Atlas search"),
        ("$shardedDataDistribution", "sharding"), ("$listClusterCatalog", "sharding"),
    ]

    /// At the top of a filter, or in place of a field's value.
    public static let queries: [(name: String, meaning: String)] =
        [
            ("$where", "there is no JavaScript; $expr does the same"), ("$function", "there is no JavaScript"),
            ("$text", "text indexes"),
        ]
        + [
            "$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$within", "$maxDistance", "$minDistance",
            "$geoNear",
        ].map { ($0, "geospatial queries") }

    /// The error for a name that MongoDB knows; nil for one that it does not.
    static func refusal(
        of name: String, in list: [(name: String, meaning: String)], code: ErrorCode = .notImplemented
    ) -> ServerError? {
        guard let entry = list.first(where: { $0.name == name }) else { return nil }
        return ServerError(code, "\(name) is not supported yet: \(entry.meaning)")
    }
}
