import Core

/// The names of pipeline stages.
enum StageNames {
    /// Stages that this module compiles.
    static let local: Set<String> = [
        "$match", "$project", "$set", "$addFields", "$unset", "$group", "$sort", "$limit", "$skip", "$unwind", "$count",
        "$sortByCount", "$replaceRoot", "$replaceWith", "$sample", "$bucket", "$facet",
    ]

    /// Stages that reach beyond their input, made by whoever runs the pipeline.
    static let external: Set<String> = [
        "$lookup", "$unionWith", "$out", "$merge", "$changeStream", "$changeStreamSplitLargeEvent", "$collStats",
        "$indexStats", "$currentOp", "$listSessions", "$listLocalSessions", "$graphLookup", "$documents",
    ]

    /// Of these, the ones that may stand within a `$facet`.
    static let joining: Set<String> = ["$lookup", "$unionWith", "$graphLookup"]

    static let all = local.union(external).union([
        "$redact", "$geoNear", "$bucketAuto", "$setWindowFields", "$densify", "$fill", "$planCacheStats", "$search",
        "$searchMeta", "$vectorSearch", "$listSampledQueries", "$querySettings", "$queryStats",
    ])

    static func unrecognized(_ name: String) -> ServerError {
        ServerError(.unrecognizedPipelineStage, "Unrecognized pipeline stage name: '\(name)'")
    }
}
