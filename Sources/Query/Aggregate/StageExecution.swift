import BSON
import Core

/// What asking a stage for its next document gives.
enum StageOutput {
    /// Valid until the stage is asked again.
    case document(DocumentView)
    /// Nothing until more input comes.
    case needsInput
    /// Nothing yet: ask again, after a look at the time.
    case yield
    case end
}

/// One running stage. Not a plug point. Each asks the one before it, so that only blocking stages hold documents.
protocol StageExecution: AnyObject {
    func next() throws(ServerError) -> StageOutput
}

/// The documents that the caller pushes, one at a time, in place.
final class InputStage: StageExecution {
    var document: DocumentView?
    var isFinished = false

    func next() throws(ServerError) -> StageOutput {
        guard let document else { return isFinished ? .end : .needsInput }
        self.document = nil
        return .document(document)
    }
}

/// The source of a stage that evaluates expressions. When the evaluation for a document is interrupted, the document
/// comes again.
final class InterruptibleSource {
    private let source: any StageExecution
    private let budget: EvaluationBudget?
    /// The document whose evaluation has not come to its end.
    private var current: DocumentView?

    init(_ source: any StageExecution, _ budget: EvaluationBudget?) {
        self.source = source
        self.budget = budget
    }

    func next() throws(ServerError) -> StageOutput {
        if let current { return .document(current) }
        let output = try source.next()
        if case .document(let document) = output { current = document }
        return output
    }

    /// Evaluates something for the document that came last; nil when that was interrupted: the stage then yields.
    func evaluate<R>(_ body: () throws(ServerError) -> R) throws(ServerError) -> R? {
        let result = try budget.interruptibly(body)
        if result != nil { current = nil }
        return result
    }
}

final class MatchStage: StageExecution {
    private let source: InterruptibleSource
    private let filter: Filter

    init(_ source: any StageExecution, _ filter: Filter, _ budget: EvaluationBudget?) {
        self.source = InterruptibleSource(source, budget)
        self.filter = filter
    }

    func next() throws(ServerError) -> StageOutput {
        while true {
            let output = try source.next()
            guard case .document(let document) = output else { return output }
            guard let matches = try source.evaluate({ () throws(ServerError) in try filter.matches(document) }) else {
                return .yield
            }
            if matches { return output }
        }
    }
}

final class TransformStage: StageExecution {
    private let source: InterruptibleSource
    private let transform: any DocumentTransform
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, _ transform: any DocumentTransform, _ budget: EvaluationBudget?) {
        self.source = InterruptibleSource(source, budget)
        self.transform = transform
    }

    func next() throws(ServerError) -> StageOutput {
        let output = try source.next()
        guard case .document(let document) = output else { return output }
        buffer.removeAll(keeping: 1 << 20)
        let isDone: Void? = try source.evaluate { () throws(ServerError) in
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

final class LimitStage: StageExecution {
    private let source: any StageExecution
    private var left: Int64

    init(_ source: any StageExecution, _ limit: Int64) {
        self.source = source
        left = limit
    }

    func next() throws(ServerError) -> StageOutput {
        guard left > 0 else { return .end }
        let output = try source.next()
        if case .document = output { left -= 1 }
        return output
    }
}

final class SkipStage: StageExecution {
    private let source: any StageExecution
    private var left: Int64

    init(_ source: any StageExecution, _ count: Int64) {
        self.source = source
        left = count
    }

    func next() throws(ServerError) -> StageOutput {
        while true {
            let output = try source.next()
            guard case .document = output, left > 0 else { return output }
            left -= 1
        }
    }
}

/// `$sort`, with the best so many kept when a limit follows.
final class SortStage: StageExecution {
    private let source: any StageExecution
    private let sorter: DocumentSorter
    private var isSorted = false
    private var index = 0

    init(_ source: any StageExecution, _ pattern: SortPattern, limit: Int?) {
        self.source = source
        sorter = DocumentSorter(pattern, limit: limit)
    }

    func next() throws(ServerError) -> StageOutput {
        while !isSorted {
            switch try source.next() {
            case .document(let document): try sorter.add(document)
            case .needsInput: return .needsInput
            case .yield: return .yield
            case .end:
                isSorted = sorter.finish { true }
                if !isSorted { return .yield }
            }
        }
        guard index < sorter.count else { return .end }
        index += 1
        return .document(sorter[index - 1].document)
    }
}

/// `$count`: one document at the end, none for no input.
final class CountStage: StageExecution {
    private let source: any StageExecution
    private let name: String
    private var count: Int64 = 0
    private var isDone = false
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, name: String) {
        self.source = source
        self.name = name
    }

    func next() throws(ServerError) -> StageOutput {
        while !isDone {
            switch try source.next() {
            case .document: count += 1
            case .needsInput: return .needsInput
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
final class SampleStage: StageExecution {
    private let source: any StageExecution
    private let size: Int
    private let random: QueryRandom
    private var seen: UInt64 = 0
    private var kept: [Document] = []
    private var bytes = 0
    private var isComplete = false
    private var index = 0
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, size: Int, random: QueryRandom) {
        self.source = source
        self.size = size
        self.random = random
    }

    func next() throws(ServerError) -> StageOutput {
        while !isComplete {
            switch try source.next() {
            case .document(let document): try take(document)
            case .needsInput: return .needsInput
            case .yield: return .yield
            case .end: isComplete = true
            }
        }
        guard index < kept.count else { return .end }
        buffer.removeAll()
        buffer.append(kept[index].bytes)
        index += 1
        return .document(DocumentView(base: UnsafeRawPointer(buffer.base)))
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

/// The memory that one stage may hold.
enum StageMemory {
    static func check(_ bytes: Int, _ name: String) throws(ServerError) {
        guard bytes <= Limits.stageBytesMax else {
            throw ServerError(
                .queryExceededMemoryLimitNoDiskUseAllowed,
                "Exceeded memory limit for \(name) of \(Limits.stageBytesMax) bytes; using the disk is not supported")
        }
    }
}
