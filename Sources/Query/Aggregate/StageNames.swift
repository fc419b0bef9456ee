import Core

/// The names of pipeline stages.
enum StageNames {
    /// Stages that this module compiles.
    static let local: Set<String> = [
        "$match", "$project", "$set", "$addFields", "$unset", "$group", "$sort", "$limit", "$skip", "$unwind", "$count",
        "$sortByCount", "$replaceRoot", "$replaceWith", "$sample", "$bucket", "$facet", "$setWindowFields",
        "$bucketAuto",
        "$densify", "$fill", "$redact",
    ]

    /// Stages that reach beyond their input, made by whoever runs the pipeline.
    static let external: Set<String> = [
        "$lookup", "$unionWith", "$out", "$merge", "$collStats", "$indexStats", "$currentOp", "$listSessions",
        "$listLocalSessions", "$documents", "$graphLookup", "$planCacheStats",
    ]

    /// Of these, the ones that may stand within a `$facet`.
    static let joining: Set<String> = ["$lookup", "$unionWith", "$graphLookup"]

    /// Those of MongoDB 8.0, built or not.
    static let all = local.union(external).union(MissingOperators.stages.map(\.name))

    static func unrecognized(_ name: String) -> ServerError {
        ServerError(.unrecognizedPipelineStage, "Unrecognized pipeline stage name: '\(name)'")
    }
}
