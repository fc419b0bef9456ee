public import BSON
public import Core
public import Query

/// A running aggregation. Its leading `$match`, `$sort`, `$skip` and `$limit` are a find with a plan of its own; the other
/// stages are fed from it.
public final class AggregateCursor {
    private let runtime: any NodeRuntime
    private let source: QueryCursor
    private let execution: PipelineExecution
    /// The document that the stages are working on: a copy, because it may have to outlive the slice.
    private let input = ByteBuffer(capacity: 4096)
    private var hasResults = false
    private var isSourceDone = false

    /// Compiles a pipeline over a collection. Stages that reach beyond it are refused.
    public init(
        _ store: DataStore, _ namespace: Namespace, pipeline: DocumentView, hint: ValueView? = nil,
        context: QueryContext, at point: ReadPoint = .latest
    ) throws {
        runtime = store.runtime
        let pipeline = try Pipeline(pipeline, context: context)
        if let external = pipeline.externalStages.first {
            throw ServerError(.commandNotSupported, "the aggregation stage \(external.stage.name) is not supported")
        }
        let prefix = pipeline.leadingMatch
        let command = Document { writer in
            writer.append("filter", prefix.filter)
            if let sort = prefix.sort { writer.append("sort", sort) }
            if let skip = prefix.skip { writer.append("skip", int64: skip) }
            if let limit = prefix.limit { writer.append("limit", int64: limit) }
            if let hint { writer.append("hint", hint) }
        }
        let request = try command.withView { try FindRequest(namespace, $0, context: context) }
        source = try QueryCursor(store, request, at: point)
        execution = try pipeline.makeExecution(prefix.stageCount..<pipeline.stages.count)
    }

    /// Gives back what the cursor holds. Twice is harmless.
    public func close() { source.close() }

    /// Appends up to `maxDocuments` results of about `maxBytes` together to `array`: the last one may go beyond.
    /// After `.yield` the caller goes on with the same array, and with what is left of both maxima.
    public func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        var clock = SliceClock(deadline: deadline)
        var batch = BatchWriter(array, documents: maxDocuments, bytes: maxBytes)
        defer { array = batch.array }
        while true {
            try takeResults(into: &batch)
            if batch.isFull { return .batchFull }
            if execution.isAtEnd { return .exhausted }
            if isSourceDone {
                // The blocking stages have been told; what they give is taken above.
                guard hasResults else { return .exhausted }
                continue
            }
            if case .yield = try feed(&batch, &clock) { return .yield }
            if clock.isOver(runtime) { return .yield }
        }
    }

    private func takeResults(into batch: inout BatchWriter) throws {
        while !batch.isFull {
            var size = 0
            hasResults = try execution.next { result in
                size = result.byteCount
                batch.array.append(result)
            }
            guard hasResults else { return }
            batch.took(size)
        }
    }

    /// Pushes documents of the source until the batch is full, the slice is used up or there are no more.
    private func feed(_ batch: inout BatchWriter, _ clock: inout SliceClock) throws -> ScanEnd {
        let end = try source.run(&clock) { document, _ in
            input.removeAll(keeping: 1 << 20)
            input.append(document.bytes)
            guard try execution.push(DocumentView(base: UnsafeRawPointer(input.base))) else {
                isSourceDone = true
                return .stop
            }
            try takeResults(into: &batch)
            return batch.isFull ? .stop : .next
        }
        if case .ended = end { isSourceDone = true }
        if case .stopped = end, source.isAtLimit { isSourceDone = true }
        if isSourceDone {
            execution.finish()
            hasResults = true
        }
        return end
    }
}
