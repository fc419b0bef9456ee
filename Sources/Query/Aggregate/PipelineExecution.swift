public import BSON
public import Core

/// What a pipeline has for its caller.
public enum PipelineProgress: Sendable {
    /// One result.
    case document
    /// No result until more is pushed.
    case needsInput
    /// No result yet: ask again, after a look at the time.
    case yield
    /// No more results.
    case end
}

/// One run of a pipeline: documents are pushed in, results taken out, and between any two calls the caller may yield.
///
/// Push a document, take results until there are none, push the next. Only `$group`, `$sort`, `$sample` and `$facet`
/// hold documents, within `Limits.stageBytesMax`; above that they throw 292, since there is no disk to spill to.
public final class PipelineExecution {
    private let input = InputStage()
    private let output: any StageExecution
    private var hasEnded = false
    /// How many documents have come out.
    public private(set) var returnedCount = 0

    init(_ stages: [PipelineStage], _ budget: EvaluationBudget?) throws(ServerError) {
        var output: any StageExecution = input
        for (index, stage) in stages.enumerated() {
            output = try PipelineExecution.execution(stage, output, following: stages[(index + 1)...], budget)
        }
        self.output = output
    }

    /// Hands in a document, in place: it must stay valid until `next` needs input.
    ///
    /// False when no more input is needed (a `$limit` was reached). Throws `InternalError` when results were left.
    public func push(_ document: DocumentView) throws(ServerError) -> Bool {
        if hasEnded { return false }
        guard input.document == nil, !input.isFinished else {
            throw ServerError(.internalError, "a pipeline got a document before it was done with the last")
        }
        input.document = document
        return true
    }

    /// Says that there is no more input. Blocking stages then give their results.
    public func finish() { input.isFinished = true }

    /// Gives the next result, when there is one, to `body`, in place.
    ///
    /// Throws 10334 for a result larger than a document may be.
    public func next(_ body: (DocumentView) -> Void) throws(ServerError) -> PipelineProgress {
        if hasEnded { return .end }
        switch try output.next() {
        case .document(let document):
            let bytes = document.byteCount
            guard bytes <= Limits.documentBytesMax + Limits.documentOverheadBytesMax else {
                throw ServerError(
                    .bsonObjectTooLarge,
                    "BSONObj size: \(bytes) is invalid. Size must be between 0 and "
                        + "\(Limits.documentBytesMax + Limits.documentOverheadBytesMax)(16MB)")
            }
            returnedCount += 1
            body(document)
            return .document
        case .needsInput: return .needsInput
        case .yield: return .yield
        case .end:
            hasEnded = true
            return .end
        }
    }

    /// Whether all results have been taken.
    public var isAtEnd: Bool { hasEnded }

    private static func execution(
        _ stage: PipelineStage, _ source: any StageExecution, following: ArraySlice<PipelineStage>,
        _ budget: EvaluationBudget?
    ) throws(ServerError) -> any StageExecution {
        switch stage.action {
        case .match(let filter): MatchStage(source, filter, budget)
        case .transform(let transform): TransformStage(source, transform, budget)
        case .group(let specification): GroupStage(source, specification, budget)
        case .sort(let pattern): SortStage(source, pattern, limit: keptBySort(following))
        case .limit(let count): LimitStage(source, count)
        case .skip(let count): SkipStage(source, count)
        case .unwind(let specification): UnwindStage(source, specification)
        case .count(let name): CountStage(source, name: name)
        case .sample(let size, let random): SampleStage(source, size: size, random: random)
        case .facet(let pipelines): try FacetStage(source, pipelines)
        case .external:
            throw ServerError(.internalError, "the stage \(stage.name) needs its caller to carry it out")
        }
    }

    /// How many documents a sort has to keep for the `$skip` and `$limit` right behind it.
    private static func keptBySort(_ following: ArraySlice<PipelineStage>) -> Int? {
        var skipped: Int64 = 0
        for stage in following {
            switch stage.action {
            case .skip(let count):
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                if overflow { return nil }
                skipped = sum
            case .limit(let count):
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                return overflow ? nil : Int(exactly: sum)
            default: return nil
            }
        }
        return nil
    }
}
