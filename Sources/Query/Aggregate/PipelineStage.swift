public import BSON
import Core

/// One stage of a compiled pipeline.
public struct PipelineStage {
    /// What a stage does.
    enum Action {
        case match(Filter)
        case transform(any DocumentTransform)
        case group(GroupSpecification)
        case sort(SortPattern)
        case limit(Int64)
        case skip(Int64)
        case unwind(UnwindSpecification)
        case count(String)
        case sample(size: Int, QueryRandom)
        case window(WindowSpecification)
        case bucketAuto(BucketAutoSpecification)
        case densify(DensifySpecification)
        case redact(Expression)
        case facet([(name: String, pipeline: Pipeline)])
        /// A stage that reaches beyond its input: made by whoever runs the pipeline.
        case external
    }

    /// The stage's name, with its dollar sign.
    public let name: String
    /// What the user wrote behind the name.
    public let specification: Value
    let action: Action

    /// Whether it is made by whoever runs the pipeline: `$lookup`, `$merge`, `$changeStream`, …
    public var isExternal: Bool { if case .external = action { true } else { false } }

    /// The stage's entry of `explain`.
    public var explained: Document { Document { $0.append(name, specification) } }

    /// The stage, if it is a group, with a part of the work.
    func grouping(_ part: GroupPart) -> PipelineStage {
        guard case .group(var group) = action else { return self }
        group.part = part
        return PipelineStage(name: name, specification: specification, action: .group(group))
    }
}
