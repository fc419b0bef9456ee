import BSON
import Core
import Query

/// What the stages of an aggregation may read besides their input.
struct Reach {
    let store: DataStore
    let database: String
    let point: ReadPoint
    var context: QueryContext
    /// The slice that all pipelines of one aggregation share.
    let clock: PipelineClock
    /// What each stage may hold.
    let memory: StageMemory
    /// Pipelines around this one.
    var depth = 0

    /// For a pipeline inside a stage.
    func nested() throws(ServerError) -> Reach {
        guard depth < Limits.subPipelineDepthMax else {
            throw ServerError(
                .maxSubPipelineDepthExceeded,
                "Maximum number of nested sub-pipelines exceeded. "
                    + "Limit is \(Limits.subPipelineDepthMax)")
        }
        var nested = self
        nested.depth += 1
        return nested
    }

    /// With the variables of one document.
    func binding(_ variables: [String: Value?]) -> Reach {
        var bound = self
        for (name, value) in variables { bound.context.variables.updateValue(value, forKey: name) }
        return bound
    }

    /// For running pipelines, with the stages that read other collections.
    var environment: PipelineEnvironment {
        PipelineEnvironment(clock: clock, memory: memory) { stage, source in
            switch stage.name {
            case "$lookup": return try LookupStage(source, stage.specification, self)
            case "$unionWith": return try UnionStage(source, stage.specification, self)
            case "$graphLookup": return try GraphLookupStage(source, stage.specification, self)
            case "$out", "$merge":
                throw ServerError(
                    ErrorCode(rawValue: 40601),
                    "\(stage.name) can only be the final stage in the pipeline of a command")
            default:
                throw ServerError(.commandNotSupported, "the aggregation stage \(stage.name) is not supported")
            }
        }
    }
}
