import BSON
import Core
import Frontend
import Query
import Sharding

/// What the merging stages of a pipeline read besides their input: the collections of the cluster, wherever they are.
struct ClusterReach: PipelineReach {
    let database: String
    var context: QueryContext
    let hub: MergeHub
    /// Pipelines around this one.
    var depth = 0

    func nested() throws(ServerError) -> ClusterReach {
        guard depth < Limits.subPipelineDepthMax else {
            throw ServerError(
                .maxSubPipelineDepthExceeded,
                "Maximum number of nested sub-pipelines exceeded. Limit is \(Limits.subPipelineDepthMax)")
        }
        var nested = self
        nested.depth += 1
        return nested
    }

    func binding(_ variables: [String: Value?]) -> ClusterReach {
        var bound = self
        for (name, value) in variables { bound.context.variables.updateValue(value, forKey: name) }
        return bound
    }

    /// A shard that has a view knows it.
    func isView(_ namespace: Namespace) throws -> Bool { false }

    func open(_ namespace: Namespace, filter: Document) throws -> any StageExecution {
        try open(namespace, pipeline: Document(array: [["$match": .document(filter)]]))
    }

    func open(_ namespace: Namespace?, pipeline: Document) throws -> any StageExecution {
        let stages = pipeline.values.compactMap(\.asDocument)
        guard let namespace else { return try documents(stages) }
        return RemoteStage(namespace, stages, self)
    }

    func check(_ namespace: Namespace?, pipeline: Document) throws {
        _ = try pipeline.withView { try Pipeline($0, context: context) }
    }

    /// A pipeline whose first stage makes the documents.
    private func documents(_ stages: [Document]) throws -> any StageExecution {
        guard let first = stages.first?["$documents"] else {
            throw ServerError(.failedToParse, "a pipeline without a collection begins with $documents")
        }
        let wrapped = Document { $0.append("v" as String, first) }
        let value = try wrapped.withView { view in
            try view["v"].flatMap { try Expression($0, context: context).evaluate(root: .empty) }
        }
        guard let values = value?.asArray else {
            throw ServerError(ErrorCode(rawValue: 5_858_203), "an array is expected by the $documents stage")
        }
        let source = DocumentsSource(values.compactMap(\.asDocument), hub.clock)
        return try merging(Array(stages.dropFirst()), over: source, part: .whole)
    }

    /// Stages that run here, over others.
    func merging(
        _ stages: [Document], over source: any StageExecution, part: PipelinePart
    ) throws -> any StageExecution {
        guard !stages.isEmpty else { return source }
        let array = Document(array: stages.map { .document($0) })
        let pipeline = try array.withView { try Pipeline($0, context: context, part: part) }
        let reach = self
        return try pipeline.makeExecution(
            over: source,
            PipelineEnvironment(clock: hub.clock) { stage, input in try reach.makeStage(stage, over: input) })
    }
}

/// Brings what the stages of one running pipeline wait for: they ask for it, yield, and are asked again.
final class MergeHub {
    let clock: PipelineClock
    private var wanting: [any MergeSource] = []

    init(_ runtime: any NodeRuntime) { clock = PipelineClock { runtime.now } }

    /// Whether a stage waits for a shard.
    var isWaiting: Bool { !wanting.isEmpty }

    func want(_ source: any MergeSource) {
        if !wanting.contains(where: { $0 === source }) { wanting.append(source) }
    }

    /// Brings all that is waited for.
    func bring(_ context: RouterContext) async throws(ServerError) {
        let sources = wanting
        wanting = []
        _ = try await context.atOnce(sources) { source throws(ServerError) in try await source.load(context) }
    }
}

/// A stage that waits for shards now and then.
protocol MergeSource: StageExecution {
    /// Brings what the next document needs.
    func load(_ context: RouterContext) async throws(ServerError)
}

/// The results of a pipeline over a collection of the cluster; the shards are asked when the first document is wanted.
final class RemoteStage: MergeSource {
    private let namespace: Namespace
    private let stages: [Document]
    private let reach: ClusterReach
    private var inner: (any StageExecution)?
    private var isClosed = false

    init(_ namespace: Namespace, _ stages: [Document], _ reach: ClusterReach) {
        self.namespace = namespace
        self.stages = stages
        self.reach = reach
    }

    func next() throws -> StageOutput {
        if let inner { return try inner.next() }
        reach.hub.want(self)
        return .yield
    }

    func close() {
        isClosed = true
        inner?.close()
    }

    func load(_ context: RouterContext) async throws(ServerError) {
        var attempts = 0
        while inner == nil {
            do throws(ServerError) {
                let opened = try await AggregateRouting.open(context, namespace, stages, reach, isOutermost: false)
                if isClosed { opened.close() }
                inner = opened
            } catch {
                attempts += 1
                guard attempts <= Limits.routerStaleRetriesMax, try await context.noteStale(error) else { throw error }
                try await context.pauseBeforeRetry(attempts)
            }
        }
    }
}

/// The documents of shards as the first stage of what merges them: in an order, or as they come.
final class ShardsSource: MergeSource {
    private let streams: [ShardStream]
    private let sort: SortPattern?
    private let hub: MergeHub
    private let buffer = ByteBuffer(capacity: 4096)
    /// The keys of the streams' first documents; nil where they are not known.
    private var keys: [[UInt8]?]

    init(_ streams: [ShardStream], sort: SortPattern?, _ hub: MergeHub) {
        self.streams = streams
        self.sort = sort
        self.hub = hub
        keys = Array(repeating: nil, count: streams.count)
    }

    func close() { for stream in streams { stream.close() } }

    func next() throws -> StageOutput {
        if hub.clock.isOver() { return .yield }
        guard streams.contains(where: { !$0.isOver }) else { return .end }
        let waits =
            sort == nil
            ? streams.allSatisfy(\.isEmpty) : streams.contains { $0.isEmpty && !$0.isOver }
        guard !waits, let index = try first() else {
            hub.want(self)
            return .yield
        }
        buffer.removeAll(keeping: 1 << 20)
        _ = try streams[index].withFirst { document throws(ServerError) in buffer.append(document.bytes) }
        streams[index].removeFirst()
        keys[index] = nil
        return .document(DocumentView(base: UnsafeRawPointer(buffer.base)))
    }

    private func first() throws(ServerError) -> Int? {
        guard let sort else { return streams.firstIndex { !$0.isEmpty } }
        var best: (index: Int, key: [UInt8])?
        for (index, stream) in streams.enumerated() where !stream.isEmpty {
            let key: [UInt8]
            if let known = keys[index] {
                key = known
            } else {
                key =
                    try stream.withFirst { document throws(ServerError) in
                        let buffer = ByteBuffer(capacity: 64)
                        try sort.appendKey(document, to: buffer)
                        return buffer.toArray()
                    } ?? []
                keys[index] = key
            }
            if best.map({ key.lexicographicallyPrecedes($0.key) }) ?? true { best = (index, key) }
        }
        return best?.index
    }

    func load(_ context: RouterContext) async throws(ServerError) {
        let empty = streams.filter { $0.isEmpty && !$0.isOver }
        _ = try await context.atOnce(empty) { stream throws(ServerError) in
            try await stream.advance(context, batchSize: nil)
        }
    }
}
