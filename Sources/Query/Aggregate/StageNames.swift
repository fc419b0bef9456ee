import Core

/// The names of pipeline stages.
enum StageNames {
    /// Stages that this module compiles.
    static let local: Set<String> = [
        "$match", "$project", "$set", "$addFields", "$unset", "$group", "$sort", "$limit", "$skip", "$unwind", "$count",
        "$sortByCount", "$replaceRoot", "$replaceWith", "$sample", "$bucket", "$facet",
    ]

    /// Stages that reach beyond their input, for the caller to carry out.
    static let external: Set<String> = [
        "$lookup", "$unionWith", "$out", "$merge", "$changeStream", "$changeStreamSplitLargeEvent", "$collStats",
        "$indexStats", "$currentOp", "$listSessions", "$listLocalSessions", "$graphLookup", "$documents",
    ]

    static let all = local.union(external).union([
        "$redact", "$geoNear", "$bucketAuto", "$setWindowFields", "$densify", "$fill", "$planCacheStats", "$search",
        "$searchMeta", "$vectorSearch", "$listSampledQueries", "$querySettings", "$queryStats",
    ])

    static func unrecognized(_ name: String) -> ServerError {
        ServerError(.unrecognizedPipelineStage, "Unrecognized pipeline stage name: '\(name)'")
    }
}
