import BSON
import Core

/// `$unionWith`: its input, then the results of a pipeline over another collection.
final class UnionStage: InnerStage {
    let source: any StageExecution
    private let other: any StageExecution
    private var isInputOver = false

    init(_ source: any StageExecution, _ specification: Value, _ reach: any PipelineReach) throws {
        self.source = source
        var collection = specification.asString
        var pipeline = Document(array: [])
        if let fields = specification.asDocument {
            for (key, value) in fields.fields {
                switch (key, value) {
                case ("coll", .string(let name)): collection = name
                case ("pipeline", .array(let stages)): pipeline = stages
                default:
                    throw ServerError(
                        .failedToParse, "the field '\(key)' of $unionWith is unknown or of a wrong type")
                }
            }
        }
        let namespace = try collection.map { try Namespace(validating: reach.database, collection: $0) }
        guard namespace != nil || SubPipeline.beginsWithDocuments(pipeline) else {
            throw ServerError(
                .failedToParse,
                "$unionWith stage without explicit collection must have a pipeline with $documents as "
                    + "first stage")
        }
        try SubPipeline.check(pipeline, of: "$unionWith", refusal: 31441)
        other = try reach.nested().open(namespace, pipeline: pipeline)
    }

    func next() throws -> StageOutput {
        if !isInputOver {
            let output = try source.next()
            guard case .end = output else { return output }
            isInputOver = true
            source.close()
        }
        return try other.next()
    }

    func close() {
        other.close()
        source.close()
    }
}

/// What the pipelines inside `$lookup` and `$unionWith` have in common.
enum SubPipeline {
    /// Whether a pipeline makes its documents itself.
    static func beginsWithDocuments(_ pipeline: Document) -> Bool {
        pipeline.withView { $0.first?.value.asDocument?.first.map { $0.key == "$documents" } ?? false }
    }

    /// - Throws: `refusal` for a stage that writes.
    static func check(_ pipeline: Document, of stage: String, refusal: Int32) throws(ServerError) {
        for (_, value) in pipeline.fields {
            guard let name = value.asDocument?.keys.first, ["$out", "$merge", "$changeStream"].contains(name) else {
                continue
            }
            throw ServerError(
                ErrorCode(rawValue: refusal), "\(name) is not allowed within a \(stage)'s sub-pipeline")
        }
    }
}
