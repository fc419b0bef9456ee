internal import BSON
internal import Core

/// Stable API version 1: what `apiStrict` refuses beyond commands and their fields, which declare it themselves.
enum StableAPI {
    private static let unstableStages: Set<String> = [
        "$currentOp", "$indexStats", "$listLocalSessions", "$listSessions", "$planCacheStats", "$search", "$searchMeta",
        "$vectorSearch", "$listSampledQueries", "$querySettings", "$queryStats",
    ]
    private static let unstableIndexOptions: Set<String> = ["background", "bucketSize", "sparse", "storageEngine"]

    /// - Throws: `APIStrictError` for a stage or an index option that is not part of it.
    static func check(_ body: DocumentView) throws(ServerError) {
        if let pipeline = body["pipeline"]?.asArray { try check(pipeline: pipeline) }
        guard body.isFirst("createIndexes"), let indexes = body["indexes"]?.asArray else { return }
        for index in indexes {
            guard let index = index.value.asDocument else { continue }
            for option in index where unstableIndexOptions.contains(option.key.string) {
                throw refusal("The index option \(option.key.string)")
            }
        }
    }

    private static func check(pipeline: DocumentView) throws(ServerError) {
        for element in pipeline {
            guard let stage = element.value.asDocument?.first else { continue }
            let name = stage.key.string
            if unstableStages.contains(name) { throw refusal("The stage \(name)") }
            // Of $collStats only the count is.
            if name == "$collStats", stage.value.asDocument?.contains(where: { !($0.key == "count") }) == true {
                throw refusal("The stage $collStats with other fields than count")
            }
            guard let fields = stage.value.asDocument else { continue }
            for field in fields {
                guard name == "$facet" || field.key == "pipeline", let inner = field.value.asArray else { continue }
                try check(pipeline: inner)
            }
        }
    }

    private static func refusal(_ what: String) -> ServerError {
        ServerError(.apiStrictError, "\(what) is not allowed with apiStrict: true in API Version 1")
    }
}
