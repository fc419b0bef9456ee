public import BSON
public import Core
public import Query

/// A running aggregation. Its leading `$match`, `$sort`, `$skip` and `$limit` are a find with a plan of its own; the
/// other stages are fed from it.
public final class AggregateCursor {
    /// The documents of a first stage that makes its own (`$collStats`, `$currentOp`, …); nil for a stage that is not
    /// known.
    public typealias Generator = (PipelineStage) throws -> [Document]?

    private enum Source {
        case query(QueryCursor)
        /// Documents that the first stage made, and how many of them were shown.
        case documents([Document], shown: Int)
    }

    private let runtime: any NodeRuntime
    /// Watches over the evaluations of the pipeline.
    public let budget: EvaluationBudget?
    private var source: Source
    private let chain: StageChain
    private var isSourceDone = false
    /// Of the slice that is running, for taking results.
    private var resultClock = SliceClock(deadline: .distantFuture)
    /// The stages behind those that the plan stands for, as `explain` shows them.
    public let explainedStages: [Document]

    /// Compiles a pipeline over a collection. Stages that write are refused.
    public convenience init(
        _ store: DataStore, _ namespace: Namespace, pipeline: DocumentView, hint: ValueView? = nil,
        context: QueryContext, at point: ReadPoint = .latest, generator: Generator? = nil
    ) throws {
        let reach = Reach(store: store, database: namespace.database, point: point, context: context, depth: 0)
        try self.init(reach, namespace, pipeline: pipeline, hint: hint, generator: generator)
    }

    init(
        _ reach: Reach, _ namespace: Namespace, pipeline: DocumentView, hint: ValueView? = nil,
        generator: Generator? = nil
    ) throws {
        runtime = reach.store.runtime
        budget = reach.context.budget?.value
        let pipeline = try Pipeline(pipeline, context: reach.context)
        if let first = pipeline.stages.first, first.isExternal, let documents = try generator?(first) {
            source = .documents(documents, shown: 0)
            chain = try StageChain(pipeline, from: 1, reach)
            explainedStages = pipeline.explained
            return
        }
        let prefix = pipeline.leadingMatch
        let command = Document { writer in
            writer.append("filter", prefix.filter)
            if let sort = prefix.sort { writer.append("sort", sort) }
            if let skip = prefix.skip { writer.append("skip", int64: skip) }
            if let limit = prefix.limit { writer.append("limit", int64: limit) }
            if let hint { writer.append("hint", hint) }
        }
        chain = try StageChain(pipeline, from: prefix.stageCount, reach)
        let request = try command.withView { try FindRequest(namespace, $0, context: reach.context) }
        source = .query(try QueryCursor(reach.store, request, at: reach.point))
        explainedStages = Array(pipeline.explained[prefix.stageCount...])
    }

    /// Gives back what the cursor holds. Twice is harmless.
    public func close() {
        if case .query(let cursor) = source { cursor.close() }
        chain.close()
    }

    /// The find that feeds the stages; nil when the first stage makes the documents.
    public var query: QueryCursor? { if case .query(let cursor) = source { cursor } else { nil } }

    /// Appends up to `maxDocuments` results of about `maxBytes` together to `array`: the last one may go beyond.
    /// After `.yield` the caller goes on with the same array, and with what is left of both maxima.
    public func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        budget?.beginSlice(until: deadline)
        var clock = SliceClock(deadline: deadline)
        resultClock = SliceClock(deadline: deadline)
        chain.deadline = deadline
        var batch = BatchWriter(array, documents: maxDocuments, bytes: maxBytes)
        defer { array = batch.array }
        while true {
            if try takeResults(into: &batch, deadline) { return .yield }
            if batch.isFull { return .batchFull }
            // Blocking stages that were told of the end have given all they have.
            if chain.isAtEnd || isSourceDone { return .exhausted }
            if case .yield = try feed(&batch, &clock, deadline) { return .yield }
            if clock.isOver(runtime) { return .yield }
        }
    }

    /// Takes what the stages have; true when the slice is used up first.
    private func takeResults(into batch: inout BatchWriter, _ deadline: Instant) throws -> Bool {
        while !batch.isFull {
            var size = 0
            let progress = try chain.next { result in
                size = result.byteCount
                batch.array.append(result)
            }
            switch progress {
            case .document:
                batch.took(size)
                if resultClock.isOver(runtime) { return true }
            case .yield: if runtime.now >= deadline { return true }
            case .needsInput, .end: return false
            }
        }
        return false
    }

    /// Pushes documents of the source until the batch is full, the slice is used up or there are no more.
    private func feed(_ batch: inout BatchWriter, _ clock: inout SliceClock, _ deadline: Instant) throws -> ScanEnd {
        var isLate = false
        let end = try runSource(&clock) { document in
            guard try chain.push(document) else {
                isSourceDone = true
                return .stop
            }
            isLate = try takeResults(into: &batch, deadline)
            return isLate || batch.isFull ? .stop : .next
        }
        if case .ended = end { isSourceDone = true }
        if case .stopped = end, query?.isAtLimit == true { isSourceDone = true }
        if isSourceDone { chain.finish() }
        return isLate ? .yield : end
    }

    private func runSource(_ clock: inout SliceClock, _ body: (DocumentView) throws -> ScanVerdict) throws -> ScanEnd {
        switch source {
        case .query(let cursor): return try cursor.run(&clock) { document, _ in try body(document) }
        case .documents(let documents, var shown):
            defer { source = .documents(documents, shown: shown) }
            while shown < documents.count {
                shown += 1
                if case .next = try documents[shown - 1].withView(body) { continue }
                return .stopped
            }
            return .ended
        }
    }
}
