public import BSON
public import Core

/// What asking a stage for its next document gives.
public enum StageOutput {
    /// Valid until the stage is asked again.
    case document(DocumentView)
    /// None yet, because the slice is used up: ask again in another one.
    case yield
    case end
}

/// One running stage. Not a plug point. Each asks the one before it, so that only blocking stages hold documents; who
/// wants no more just does not ask any more, and closes.
public protocol StageExecution: AnyObject {
    /// The next document. May be asked again whatever the answer was; behind the end it stays `.end`.
    func next() throws -> StageOutput
    /// Gives back what this stage and those before it hold elsewhere: cursors, snapshots. Twice is harmless; nobody
    /// asks for documents afterwards.
    func close()
}

/// A stage that makes its documents of another one's.
public protocol InnerStage: StageExecution {
    /// The stage that it asks.
    var source: any StageExecution { get }
}

extension InnerStage {
    public func close() { source.close() }
}

/// Documents that are all there already, as a first stage.
public final class DocumentsSource: StageExecution {
    private let documents: [Document]
    private let clock: PipelineClock
    private var shown = 0
    private let buffer = ByteBuffer()

    /// - Parameter documents: shown in that order.
    public init(_ documents: [Document], _ clock: PipelineClock) {
        self.documents = documents
        self.clock = clock
    }

    public func next() -> StageOutput {
        guard shown < documents.count else { return .end }
        if clock.isOver() { return .yield }
        shown += 1
        return .document(buffer.show(documents[shown - 1]))
    }

    public func close() {}
}

extension ByteBuffer {
    /// A copy of `document`, valid until the buffer is changed.
    func show(_ document: Document) -> DocumentView {
        removeAll(keeping: 1 << 20)
        document.withView { append($0.bytes) }
        return DocumentView(base: UnsafeRawPointer(base))
    }
}

/// The source of a stage that evaluates expressions. When the evaluation for a document is interrupted, the document
/// comes again.
final class InterruptibleSource: StageExecution {
    private let source: any StageExecution
    private let budget: EvaluationBudget?
    /// The document whose evaluation has not come to its end; valid, since the source is not asked meanwhile.
    private var current: DocumentView?

    init(_ source: any StageExecution, _ budget: EvaluationBudget?) {
        self.source = source
        self.budget = budget
    }

    func next() throws -> StageOutput {
        if let current { return .document(current) }
        let output = try source.next()
        if case .document(let document) = output { current = document }
        return output
    }

    func close() { source.close() }

    /// Evaluates something for the document that came last; nil when that was interrupted: the stage then yields.
    func evaluate<R>(_ body: () throws(ServerError) -> R) throws(ServerError) -> R? {
        let result = try budget.interruptibly(body)
        if result != nil { current = nil }
        return result
    }
}

final class MatchStage: InnerStage {
    private let input: InterruptibleSource
    var source: any StageExecution { input }
    private let filter: Filter

    init(_ source: any StageExecution, _ filter: Filter, _ budget: EvaluationBudget?) {
        input = InterruptibleSource(source, budget)
        self.filter = filter
    }

    func next() throws -> StageOutput {
        while true {
            let output = try input.next()
            guard case .document(let document) = output else { return output }
            guard let matches = try input.evaluate({ () throws(ServerError) in try filter.matches(document) }) else {
                return .yield
            }
            if matches { return output }
        }
    }
}

final class TransformStage: InnerStage {
    private let input: InterruptibleSource
    var source: any StageExecution { input }
    private let transform: any DocumentTransform
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, _ transform: any DocumentTransform, _ budget: EvaluationBudget?) {
        input = InterruptibleSource(source, budget)
        self.transform = transform
    }

    func next() throws -> StageOutput {
        let output = try input.next()
        guard case .document(let document) = output else { return output }
        buffer.removeAll(keeping: 1 << 20)
        let isDone: Void? = try input.evaluate { () throws(ServerError) in
            try transform.apply(document, to: buffer)
        }
        if isDone == nil { return .yield }
        return .document(try buffer.stageDocument())
    }
}

extension ByteBuffer {
    /// The document that a stage wrote, checked against what documents between stages may be.
    func stageDocument() throws(ServerError) -> DocumentView {
        let document = DocumentView(base: UnsafeRawPointer(base))
        guard count <= Limits.expressionValueBytesMax else {
            throw ServerError(
                .bsonObjectTooLarge,
                "a document between two stages of \(count) bytes exceeds \(Limits.expressionValueBytesMax)")
        }
        guard count <= 7 * Limits.documentDepthMax || document.isNested(atMost: Limits.documentDepthMax) else {
            throw ServerError(.overflow, "documents may not nest deeper than \(Limits.documentDepthMax) levels")
        }
        return document
    }
}

/// `$limit`: what comes before it is closed as soon as no more is wanted.
final class LimitStage: InnerStage {
    let source: any StageExecution
    private var left: Int64

    init(_ source: any StageExecution, _ limit: Int64) {
        self.source = source
        left = limit
    }

    func next() throws -> StageOutput {
        guard left > 0 else {
            source.close()
            return .end
        }
        let output = try source.next()
        if case .document = output { left -= 1 }
        return output
    }
}

final class SkipStage: InnerStage {
    let source: any StageExecution
    private var left: Int64

    init(_ source: any StageExecution, _ count: Int64) {
        self.source = source
        left = count
    }

    func next() throws -> StageOutput {
        while true {
            let output = try source.next()
            guard case .document = output, left > 0 else { return output }
            left -= 1
        }
    }
}

/// `$sort`, with the best so many kept when a limit follows.
final class SortStage: InnerStage {
    let source: any StageExecution
    private let sorter: StageSorter
    /// Everything is in the sorter.
    private var isCollected = false

    init(
        _ source: any StageExecution, _ pattern: SortPattern, limit: Int?, _ clock: PipelineClock, _ memory: StageMemory
    ) {
        self.source = source
        sorter = StageSorter(pattern, limit: limit, clock, memory)
    }

    func close() {
        sorter.close()
        source.close()
    }

    func next() throws -> StageOutput {
        while !isCollected {
            switch try source.next() {
            case .document(let document): try sorter.add(document, behind: nil, tag: 0)
            case .yield: return .yield
            case .end: isCollected = true
            }
        }
        switch try sorter.next() {
        case .row(let row): return .document(row.document)
        case .yield: return .yield
        case .end:
            sorter.close()
            return .end
        }
    }
}

/// `$count`: one document at the end, none for no input.
final class CountStage: InnerStage {
    let source: any StageExecution
    private let name: String
    private var count: Int64 = 0
    private var isDone = false
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, name: String) {
        self.source = source
        self.name = name
    }

    func next() throws -> StageOutput {
        while !isDone {
            switch try source.next() {
            case .document: count += 1
            case .yield: return .yield
            case .end:
                isDone = true
                guard count > 0 else { return .end }
                let writer = DocumentWriter(startingIn: buffer)
                writer.append(name, Number.integer(count, narrow: true).value)
                writer.finish()
                return .document(DocumentView(base: UnsafeRawPointer(buffer.base)))
            }
        }
        return .end
    }
}

/// `$sample`: every document with the same chance (reservoir sampling), in no particular order.
final class SampleStage: InnerStage {
    let source: any StageExecution
    private let size: Int
    private let random: QueryRandom
    private let clock: PipelineClock
    private var seen: UInt64 = 0
    private var kept: [Document] = []
    private var bytes = 0
    private var isComplete = false
    private var index = 0
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, size: Int, random: QueryRandom, _ clock: PipelineClock) {
        self.source = source
        self.clock = clock
        self.size = size
        self.random = random
    }

    func next() throws -> StageOutput {
        while !isComplete {
            switch try source.next() {
            case .document(let document): try take(document)
            case .yield: return .yield
            case .end: isComplete = true
            }
        }
        guard index < kept.count else { return .end }
        if clock.isOver() { return .yield }
        index += 1
        return .document(buffer.show(kept[index - 1]))
    }

    private func take(_ document: DocumentView) throws(ServerError) {
        seen += 1
        if kept.count < size {
            kept.append(document.document)
            bytes += document.byteCount
        } else {
            let slot = random.next(below: seen)
            guard slot < UInt64(size) else { return }
            bytes += document.byteCount - kept[Int(slot)].byteCount
            kept[Int(slot)] = document.document
        }
        try StageMemory.check(bytes, "$sample")
    }
}

/// The memory that one stage may hold, and where it goes on when that is used up.
public struct StageMemory {
    let bytesMax: Int
    /// Nil where a stage has to do with its memory (`allowDiskUse: false`).
    public let store: (any SpillStore)?

    /// - Parameter store: where a stage spills; nil when it must not.
    public init(bytesMax: Int = Limits.stageBytesMax, store: (any SpillStore)?) {
        self.bytesMax = bytesMax
        self.store = store
    }

    /// - Throws: 292 when there is more than there may be, and no way to go on.
    func check(_ bytes: Int, _ name: String) throws(ServerError) {
        guard bytes > bytesMax else { return }
        throw ServerError(
            .queryExceededMemoryLimitNoDiskUseAllowed,
            store == nil
                ? "Exceeded memory limit for \(name) of \(bytesMax) bytes, but did not allow external sort. Pass "
                    + "allowDiskUse:true to opt in."
                : "Exceeded memory limit for \(name) of \(bytesMax) bytes, and what it holds cannot be spilled")
    }

    /// - Throws: 292 for a stage that has no way to go on.
    static func check(_ bytes: Int, _ name: String) throws(ServerError) {
        try StageMemory(store: nil).check(bytes, name)
    }
}
