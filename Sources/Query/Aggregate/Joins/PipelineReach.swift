public import Core
public import BSON

/// What the stages of a pipeline may read besides their input: the collections of a data node, or those of a cluster
/// through its router. Not a plug point.
public protocol PipelineReach {
    /// The database that names without one mean.
    var database: String { get }
    /// What compiling may know, with the variables of the pipelines around this one.
    var context: QueryContext { get }
    /// For a pipeline inside a stage.
    /// - Throws: `MaxSubPipelineDepthExceeded`.
    func nested() throws(ServerError) -> Self
    /// With the variables of one document.
    func binding(_ variables: [String: Value?]) -> Self
    /// Whether reading a collection takes a pipeline.
    func isView(_ namespace: Namespace) throws -> Bool
    /// The documents of a collection that match a filter.
    func open(_ namespace: Namespace, filter: Document) throws -> any StageExecution
    /// The results of a pipeline over a collection; nil for one whose first stage makes the documents.
    func open(_ namespace: Namespace?, pipeline: Document) throws -> any StageExecution
    /// Looks at a pipeline that is to be opened for each document.
    /// - Throws: what is wrong with it.
    func check(_ namespace: Namespace?, pipeline: Document) throws
}

extension PipelineReach {
    /// A stage that reads other collections.
    /// - Throws: `CommandNotSupported` for one that does not, and what is wrong with the stage.
    public func makeStage(_ stage: PipelineStage, over source: any StageExecution) throws -> any StageExecution {
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
