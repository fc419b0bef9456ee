import BSON
import Core
import Query

/// What the stages of an aggregation may read besides their input.
struct Reach {
    let store: DataStore
    let database: String
    let point: ReadPoint
    let context: QueryContext
    /// Pipelines around this one.
    let depth: Int

    /// For a pipeline inside a stage.
    func nested(variables: [String: Value] = [:]) throws(ServerError) -> Reach {
        guard depth < Limits.subPipelineDepthMax else {
            throw ServerError(
                .maxSubPipelineDepthExceeded,
                "Maximum number of nested sub-pipelines exceeded. "
                    + "Limit is \(Limits.subPipelineDepthMax)")
        }
        var context = context
        for (name, value) in variables { context.variables[name] = value }
        return Reach(store: store, database: database, point: point, context: context, depth: depth + 1)
    }
}

/// A stage that reads other collections, between two runs of stages that do not. Not a plug point.
protocol ReachingStage: AnyObject {
    /// Writes the next document into `buffer`, taking from `input` what it needs.
    func next(from input: StageInput, into buffer: ByteBuffer) throws -> PipelineProgress
    /// Gives back what it holds.
    func close()
}

/// The documents that come out of the stages before one that reaches out.
struct StageInput {
    fileprivate let chain: StageChain
    fileprivate let link: Int

    /// When the slice is used up: a stage that has more to do then answers `.yield`.
    var deadline: Instant { chain.deadline }

    /// Copies the next document into `buffer`.
    func next(into buffer: ByteBuffer) throws -> PipelineProgress {
        try chain.next(link) { buffer.append($0.bytes) }
    }
}

/// The stages of a pipeline: runs that only look at their input, and between them stages that read other collections.
/// Documents are pushed in front and pulled out at the end.
final class StageChain {
    fileprivate struct Link {
        /// What stands before the run; nil for the first.
        let before: (any ReachingStage)?
        let execution: PipelineExecution
        /// The document that the run is working on.
        let input: ByteBuffer
    }

    fileprivate let links: [Link]
    /// Of the slice that is running.
    var deadline = Instant.distantFuture

    init(_ pipeline: Pipeline, from start: Int, _ reach: Reach) throws {
        var links: [Link] = []
        var position = start
        var before: (any ReachingStage)?
        for external in pipeline.externalStages where external.index >= start {
            links.append(try StageChain.link(pipeline, position..<external.index, behind: before))
            before = try StageChain.stage(external.stage, reach)
            position = external.index + 1
        }
        links.append(try StageChain.link(pipeline, position..<pipeline.stages.count, behind: before))
        self.links = links
    }

    private static func link(
        _ pipeline: Pipeline, _ range: Range<Int>, behind stage: (any ReachingStage)?
    ) throws -> Link {
        Link(before: stage, execution: try pipeline.makeExecution(range), input: ByteBuffer(capacity: 4096))
    }

    private static func stage(_ stage: PipelineStage, _ reach: Reach) throws -> any ReachingStage {
        switch stage.name {
        case "$lookup": return try LookupStage(stage.specification, reach)
        case "$unionWith": return try UnionStage(stage.specification, reach)
        case "$out", "$merge":
            throw ServerError(
                ErrorCode(rawValue: 40601), "\(stage.name) can only be the final stage in the pipeline of a command")
        default:
            throw ServerError(.commandNotSupported, "the aggregation stage \(stage.name) is not supported")
        }
    }

    var isAtEnd: Bool { links[links.count - 1].execution.isAtEnd }

    /// Takes a copy of `document`; false when no more input is needed.
    func push(_ document: DocumentView) throws -> Bool {
        let first = links[0]
        first.input.removeAll(keeping: 1 << 20)
        first.input.append(document.bytes)
        return try first.execution.push(DocumentView(base: UnsafeRawPointer(first.input.base)))
    }

    func finish() { links[0].execution.finish() }

    func close() { for link in links { link.before?.close() } }

    /// Gives the next result, when there is one, to `body`, in place.
    func next(_ body: (DocumentView) -> Void) throws -> PipelineProgress { try next(links.count - 1, body) }

    fileprivate func next(_ index: Int, _ body: (DocumentView) -> Void) throws -> PipelineProgress {
        let link = links[index]
        while true {
            let progress = try link.execution.next(body)
            guard case .needsInput = progress, let before = link.before else { return progress }
            link.input.removeAll(keeping: 1 << 20)
            switch try before.next(from: StageInput(chain: self, link: index - 1), into: link.input) {
            case .document: _ = try link.execution.push(DocumentView(base: UnsafeRawPointer(link.input.base)))
            case .needsInput: return .needsInput
            case .yield: return .yield
            case .end: link.execution.finish()
            }
        }
    }
}

/// `$unionWith`: its input, then the results of a pipeline over another collection.
final class UnionStage: ReachingStage {
    private let other: AggregateCursor
    private let page = ByteBuffer(capacity: 4096)
    /// The batch of the other collection that is being read.
    private var batch: ArrayWriter?
    private var pending: [Document] = []
    private var isInputDone = false
    private var isOtherDone = false

    init(_ specification: Value, _ reach: Reach) throws {
        var collection = specification.asString
        var pipeline = Document(array: [])
        if let fields = specification.asDocument {
            for (key, value) in fields.fields {
                switch (key, value) {
                case ("coll", .string(let name)): collection = name
                case ("pipeline", .array(let stages)): pipeline = stages
                default:
                    throw ServerError(
                        .failedToParse, "the field '\(key)' of $unionWith is unknown or of a wrong type")
                }
            }
        }
        guard let collection else {
            throw ServerError(.failedToParse, "$unionWith needs a collection: a string, or {coll, pipeline}")
        }
        let namespace = try Namespace(validating: reach.database, collection: collection)
        let nested = try reach.nested()
        other = try pipeline.withView { try AggregateCursor(nested, namespace, pipeline: $0) }
    }

    func next(from input: StageInput, into buffer: ByteBuffer) throws -> PipelineProgress {
        if !isInputDone {
            let outcome = try input.next(into: buffer)
            guard case .end = outcome else { return outcome }
            isInputDone = true
        }
        while pending.isEmpty, !isOtherDone {
            guard try refill(until: input.deadline) else { return .yield }
        }
        guard let document = pending.popLast() else { return .end }
        document.withView { buffer.append($0.bytes) }
        return .document
    }

    /// Takes one batch of the other collection; false when the slice was used up first.
    private func refill(until deadline: Instant) throws -> Bool {
        if batch == nil { page.removeAll(keeping: 1 << 20) }
        var array = batch ?? ArrayWriter(startingIn: page)
        let progress = try other.next(
            into: &array, maxDocuments: Limits.cursorFirstBatchDefault - array.count,
            maxBytes: Limits.cursorBatchBytesMax - page.count, deadline: deadline)
        if case .yield = progress {
            batch = array
            return false
        }
        batch = nil
        array.finish()
        var documents: [Document] = []
        for element in DocumentView(base: UnsafeRawPointer(page.base)) {
            if let document = element.value.asDocument { documents.append(document.document) }
        }
        isOtherDone = progress == .exhausted
        pending = documents.reversed()
        return true
    }

    func close() { other.close() }
}
