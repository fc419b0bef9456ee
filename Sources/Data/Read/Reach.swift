import BSON
import Core
import Query

/// What the stages of an aggregation may read besides their input.
struct Reach: PipelineReach {
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
            try makeStage(stage, over: source)
        }
    }

    func isView(_ namespace: Namespace) throws -> Bool { try store.resolve(namespace, at: point).isView }

    func open(_ namespace: Namespace, filter: Document) throws -> any StageExecution {
        try store.checkWhole(namespace)
        let command = Document { $0.append("filter", filter) }
        let request = try command.withView { try FindRequest(namespace, $0, context: context) }
        return CursorSource(try QueryCursor(store, request, at: point), clock)
    }

    func open(_ namespace: Namespace?, pipeline: Document) throws -> any StageExecution {
        if let namespace { try store.checkWhole(namespace) }
        return try pipeline.withView { try CollectionPipeline(self, namespace, pipeline: $0).output }
    }

    func check(_ namespace: Namespace?, pipeline: Document) throws { try open(namespace, pipeline: pipeline).close() }
}
