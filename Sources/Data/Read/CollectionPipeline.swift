import BSON
import Core
import Query

/// A pipeline over a collection: its leading `$match`, `$sort`, `$skip` and `$limit` are a find with a plan of its own,
/// which the other stages ask for documents, one behind the other.
struct CollectionPipeline {
    /// The last stage.
    let output: any StageExecution
    /// The find; nil when the first stage makes the documents.
    let query: QueryCursor?
    /// The stages that the find does not stand for, as `explain` shows them.
    let explainedStages: [Document]

    /// - Parameters:
    ///   - namespace: nil for a pipeline that reads no collection: its first stage has to be `$documents`.
    ///   - generator: gives the documents of first stages that are none of the data's.
    init(
        _ reach: Reach, _ namespace: Namespace?, pipeline: DocumentView, hint: ValueView? = nil,
        part: PipelinePart = .whole, generator: AggregateCursor.Generator? = nil
    ) throws {
        let resolved = try CollectionPipeline.resolve(namespace, pipeline, reach)
        let namespace = resolved?.namespace
        let pipeline = try CollectionPipeline.compile(pipeline, behind: resolved?.stages ?? [], reach.context, part)
        if let documents = try CollectionPipeline.documents(pipeline.stages.first, reach, namespace, generator) {
            query = nil
            output = try pipeline.makeExecution(
                from: 1, over: DocumentsSource(documents, reach.clock), reach.environment)
            explainedStages = pipeline.explained
            return
        }
        guard let namespace else {
            throw ServerError(.failedToParse, "a pipeline without a collection begins with $documents")
        }
        let prefix = pipeline.leadingMatch
        let command = Document { writer in
            writer.append("filter", prefix.filter)
            if let sort = prefix.sort { writer.append("sort", sort) }
            if let skip = prefix.skip { writer.append("skip", int64: skip) }
            if let limit = prefix.limit { writer.append("limit", int64: limit) }
            if let hint { writer.append("hint", hint) }
            writer.append("allowDiskUse", bool: reach.memory.store != nil)
        }
        let request = try command.withView { try FindRequest(namespace, $0, context: reach.context) }
        let cursor = try QueryCursor(reach.store, request, at: reach.point)
        do {
            output = try pipeline.makeExecution(
                from: prefix.stageCount, over: CursorSource(cursor, reach.clock), reach.environment)
        } catch {
            // A stage that is wrong: the snapshot is not to outlive it.
            cursor.close()
            throw error
        }
        query = cursor
        explainedStages = Array(pipeline.explained[prefix.stageCount...])
    }

    private static func compile(
        _ pipeline: DocumentView, behind stages: [Value], _ context: QueryContext, _ part: PipelinePart
    ) throws -> Pipeline {
        if stages.isEmpty { return try Pipeline(pipeline, context: context, part: part) }
        let whole = Document(array: stages + pipeline.map { Value($0.value) })
        return try whole.withView { try Pipeline($0, context: context, part: part) }
    }

    /// Statistics of a view are its own, those that it has.
    private static func resolve(
        _ namespace: Namespace?, _ pipeline: DocumentView, _ reach: Reach
    ) throws -> ResolvedNamespace? {
        guard let namespace else { return nil }
        if let first = pipeline.first?.value.asDocument?.first, first.key == "$collStats" {
            return ResolvedNamespace(namespace: namespace)
        }
        return try reach.store.resolve(namespace, at: reach.point)
    }

    /// What a first stage makes by itself; nil for one that asks for documents.
    private static func documents(
        _ first: PipelineStage?, _ reach: Reach, _ namespace: Namespace?, _ generator: AggregateCursor.Generator?
    ) throws -> [Document]? {
        guard let first, first.isExternal else { return nil }
        guard first.name == "$documents" else {
            guard let namespace else { return nil }
            return try generator?(first, namespace)
        }
        if let namespace, !namespace.isWithoutCollection {
            throw ServerError(.invalidNamespace, "$documents can only be run with {aggregate: 1}")
        }
        let wrapped = Document { $0.append("v", first.specification) }
        let value = try wrapped.withView { view in
            try view["v"].flatMap { try Expression($0, context: reach.context).evaluate(root: emptyDocument) }
        }
        guard let values = value?.asArray else {
            throw ServerError(ErrorCode(rawValue: 5_858_203), "an array is expected by the $documents stage")
        }
        return try values.map {
            guard let document = $0.asDocument else {
                throw ServerError(ErrorCode(rawValue: 40228), "$documents needs an array of objects")
            }
            return document
        }
    }
}
