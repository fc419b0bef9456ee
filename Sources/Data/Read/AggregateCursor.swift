public import BSON
public import Core
public import Query

/// A running aggregation: asks the last stage of its pipeline for documents, and makes batches of them.
public final class AggregateCursor {
    /// The documents of a first stage that makes its own (`$collStats`, `$currentOp`, …), for the collection that is
    /// read; nil for a stage that is not known.
    public typealias Generator = (PipelineStage, Namespace) throws -> [Document]?

    private let pipeline: CollectionPipeline
    private let clock: PipelineClock
    /// Watches over the evaluations of the pipeline.
    public let budget: EvaluationBudget?
    /// A result that was too large for what was left of a batch: the first of the next.
    private var held: DocumentView?
    private var isOver = false

    /// Compiles a pipeline over a collection. Stages that write are refused.
    /// - Parameters:
    ///   - allowsDiskUse: whether stages may spill.
    ///   - part: which part of a pipeline this is, whose input lies on several shards.
    public init(
        _ store: DataStore, _ namespace: Namespace, pipeline: DocumentView, hint: ValueView? = nil,
        context: QueryContext, at point: ReadPoint = .latest, allowsDiskUse: Bool = true,
        part: PipelinePart = .whole, generator: Generator? = nil
    ) throws {
        let runtime = store.runtime
        budget = context.budget?.value
        clock = PipelineClock { runtime.now }
        let reach = Reach(
            store: store, database: namespace.database, point: point, context: context, clock: clock,
            memory: StageMemory(store: allowsDiskUse ? store.temporary : nil))
        self.pipeline = try CollectionPipeline(
            reach, namespace, pipeline: pipeline, hint: hint, part: part, generator: generator)
    }

    /// The find that the stages ask for documents; nil when the first stage makes them.
    public var query: QueryCursor? { pipeline.query }
    /// The stages behind those that the find stands for, as `explain` shows them.
    public var explainedStages: [Document] { pipeline.explainedStages }

    /// Gives back what the cursor holds. Twice is harmless.
    public func close() {
        isOver = true
        held = nil
        pipeline.output.close()
    }

    /// Appends up to `maxDocuments` results of at most `maxBytes` together to `array`, at least one when there is one.
    /// After `.yield` the caller goes on with the same array, and with what is left of both maxima.
    public func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        budget?.beginSlice(until: deadline)
        clock.begin(until: deadline)
        var batch = BatchWriter(array, documents: maxDocuments, bytes: maxBytes)
        defer { array = batch.array }
        while !batch.isFull {
            if let document = held {
                guard batch.hasRoom(for: document.byteCount) else { return .batchFull }
                batch.array.append(document)
                batch.took(document.byteCount)
                held = nil
                continue
            }
            if isOver { return .exhausted }
            switch try pipeline.output.next() {
            case .document(let document):
                try AggregateCursor.checkSize(document)
                // Valid until the stage is asked again.
                held = document
            case .yield: return .yield
            case .end: close()
            }
        }
        return .batchFull
    }

    /// - Throws: `BSONObjectTooLarge` for a result larger than a document may be.
    private static func checkSize(_ document: DocumentView) throws(ServerError) {
        let most = Limits.documentBytesMax + Limits.documentOverheadBytesMax
        guard document.byteCount <= most else {
            throw ServerError(
                .bsonObjectTooLarge,
                "BSONObj size: \(document.byteCount) is invalid. Size must be between 0 and \(most)(16MB)")
        }
    }
}
