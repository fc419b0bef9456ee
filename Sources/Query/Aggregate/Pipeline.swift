public import BSON
public import Core

/// Which part of a pipeline is compiled, when a `$group` is done in two parts.
public enum PipelinePart: Sendable {
    /// All of it.
    case whole
    /// The one that each shard runs: a `$group` at its end gives partial results.
    case shard
    /// The one that runs behind it: a `$group` at its beginning takes them.
    case merge
}

/// A compiled aggregation pipeline.
///
/// The stages that reach beyond their input (`$lookup`, `$merge`, …) are named, in place, and made by whoever runs the
/// pipeline.
public final class Pipeline {
    public let stages: [PipelineStage]
    let budget: EvaluationBudget?

    /// Compiles the stages of `pipeline`, an array. Owns what it needs of them.
    ///
    /// Throws 40324 for an unknown stage, 7749501 for too many, and the stages' own errors.
    /// - Parameter part: which part of it this is, where its input lies on several shards.
    public convenience init(
        _ pipeline: DocumentView, context: QueryContext, part: PipelinePart = .whole
    ) throws(ServerError) {
        try self.init(pipeline, context: context, part: part, isInFacet: false)
    }

    init(
        _ pipeline: DocumentView, context: QueryContext, part: PipelinePart = .whole, isInFacet: Bool
    ) throws(ServerError) {
        let compiler = StageCompiler(context: context, isInFacet: isInFacet)
        var stages: [PipelineStage] = []
        var count = 0
        for element in pipeline {
            guard let document = element.value.asDocument else {
                throw isInFacet
                    ? ServerError(location: 40171, "elements of arrays in $facet spec must be non-empty objects")
                    : ServerError(.typeMismatch, "Each element of the 'pipeline' array must be an object")
            }
            guard let first = document.first, document.fieldCount == 1 else {
                throw ServerError(
                    location: 40323, "A pipeline stage specification object must contain exactly one field.")
            }
            count += 1
            guard count <= Limits.pipelineStagesMax else { throw Pipeline.tooLong }
            stages += try compiler.compile(first.key.string, first.value)
        }
        try Pipeline.checkPositions(stages)
        switch part {
        case .whole: break
        case .shard: if let last = stages.popLast() { stages.append(last.grouping(.partial)) }
        case .merge: if let first = stages.first { stages[0] = first.grouping(.merging) }
        }
        self.stages = stages
        budget = context.budget?.value
    }

    static var tooLong: ServerError {
        ServerError(
            location: 7_749_501, "Pipeline length must be no longer than \(Limits.pipelineStagesMax) stages")
    }

    private static func checkPositions(_ stages: [PipelineStage]) throws(ServerError) {
        let last: Set<String> = ["$out", "$merge"]
        let first: Set<String> = [
            "$changeStream", "$collStats", "$indexStats", "$currentOp", "$listSessions", "$listLocalSessions",
            "$documents", "$planCacheStats",
        ]
        for (index, stage) in stages.enumerated() {
            if last.contains(stage.name), index + 1 < stages.count {
                throw ServerError(location: 40601, "\(stage.name) can only be the final stage in the pipeline")
            }
            if first.contains(stage.name), index > 0 {
                throw ServerError(
                    location: 40602, "\(stage.name) is only valid as the first stage in a pipeline.")
            }
        }
    }

    /// The stages as `explain` shows them.
    public var explained: [Document] { stages.map { $0.explained } }
}

/// What the first stages of a pipeline say that a find can do better: with indexes, and without reading all.
public struct PipelinePrefix {
    /// The filter; empty when there is none.
    public let filter: Document
    public let sort: Document?
    public let skip: Int64?
    public let limit: Int64?
    /// How many stages it stands for; the execution starts behind them.
    public let stageCount: Int
}

extension Pipeline {
    /// The longest prefix of the form `$match… $sort $skip $limit`, each of them optional, that a find can serve.
    public var leadingMatch: PipelinePrefix {
        var filters: [Document] = []
        var (sort, skip, limit): (Document?, Int64?, Int64?) = (nil, nil, nil)
        var count = 0
        scan: for stage in stages {
            switch stage.action {
            case .match:
                guard sort == nil, skip == nil, limit == nil, let filter = stage.specification.asDocument else {
                    break scan
                }
                if !filter.isEmpty { filters.append(filter) }
            case .sort:
                guard sort == nil, skip == nil, limit == nil else { break scan }
                sort = stage.specification.asDocument
            case .skip(let number):
                guard skip == nil, limit == nil else { break scan }
                skip = number
            case .limit(let number):
                guard limit == nil else { break scan }
                limit = number
            default: break scan
            }
            count += 1
        }
        let filter =
            filters.count < 2
            ? filters.first ?? Document() : ["$and": .array(filters.map { .document($0) })] as Document
        return PipelinePrefix(filter: filter, sort: sort, skip: skip, limit: limit, stageCount: count)
    }
}
