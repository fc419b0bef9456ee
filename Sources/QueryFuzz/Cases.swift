import BSON
import Core
import Query

/// What is tried: one role of the query language over generated documents.
enum Role: Int, CaseIterable {
    case expression, pipeline, filter, update, projection, index, sort
}

/// One case: made from a seed, run, and its results looked at.
struct FuzzCase {
    let seed: UInt64
    let role: Role
    private var generator: Generator
    private let vocabulary: Vocabulary
    /// What was made, for people.
    private(set) var specification: Value = .null
    private(set) var documents: [Document] = []

    init(seed: UInt64, _ vocabulary: Vocabulary) {
        self.seed = seed
        self.vocabulary = vocabulary
        generator = Generator(seed: SplitMix64.mix(seed), vocabulary)
        let roll = generator.random.below(12)
        role = roll < 5 ? .expression : Role(rawValue: roll - 4) ?? .pipeline
        documents = (0..<(1 + generator.random.below(3))).map { _ in generator.document() }
        switch role {
        case .expression: specification = generator.expression()
        case .pipeline:
            specification = .array((0..<(1 + generator.random.below(3))).map { _ in .document(generator.stage()) })
        case .filter: specification = .document(generator.filter())
        case .update: specification = generator.update()
        case .projection: specification = .document(generator.projection())
        case .index: specification = .document(generator.index())
        case .sort: specification = .document(Document { $0.append(generator.path(), generator.value()) })
        }
    }

    /// Runs the case. Errors of the query language are outcomes; what it throws is a fault.
    mutating func run() throws {
        do {
            try (["v": specification] as Document).withView { view in
                guard let value = view.first?.value else { return }
                try run(value)
            }
        } catch let error as ServerError {
            // An internal error is a promise that was broken, an interruption must not come out.
            if error.code == .internalError || error.isInterruption { throw Fault("\(error)") }
        }
    }

    private func context(_ budget: EvaluationBudget? = nil) -> QueryContext {
        var context = QueryContext(
            variables: ["x": ["a": 1]], nowMillis: 1_700_000_000_000, clusterTime: Timestamp(seconds: 1, increment: 1),
            randomSeed: seed)
        context.budget = budget.map { Confined($0) }
        return context
    }

    private mutating func run(_ value: ValueView) throws {
        switch role {
        case .expression: try runExpression(value)
        case .pipeline: try runPipeline(value)
        case .filter: try runFilter(value)
        case .update: try runUpdate(value)
        case .projection:
            guard let document = value.asDocument else { return }
            let projection = try Projection(document, context: context())
            for document in documents {
                let buffer = ByteBuffer()
                try document.withView { try projection.apply($0, position: 0, to: buffer) }
                try Fault.check(buffer.toArray())
            }
        case .index: try runIndex(value)
        case .sort:
            guard let pattern = value.asDocument else { return }
            let sorter = DocumentSorter(try SortPattern(pattern), limit: generator.random.oneIn(2) ? 2 : nil)
            for document in documents { try document.withView { try sorter.add($0) } }
            while !sorter.finish(until: { true }) {}
        }
    }

    /// An evaluation that is interrupted wherever it can be ends as one that is not.
    private func runExpression(_ value: ValueView) throws {
        let expression = try Expression(value, context: context())
        let budget = EvaluationBudget(StandingClock(), looksPerSlice: 0)
        let interrupted = try Expression(value, context: context(budget))
        for document in documents {
            let whole = outcome { try document.withView { try expression.evaluate(root: $0) } }
            let parts = outcome {
                while true {
                    budget.beginSlice(until: .distantFuture)
                    let part = try document.withView { view in
                        try budget.interruptibly { () throws(ServerError) in try interrupted.evaluate(root: view) }
                    }
                    if let part { return part }
                }
            }
            guard whole.isSame(as: parts) || hasRandom(specification) else {
                throw Fault("interrupted: \(parts), whole: \(whole)")
            }
            if case .success(let result?) = whole { try Fault.check(result) }
        }
    }

    private func hasRandom(_ value: Value) -> Bool {
        (["v": value] as Document).extendedJSON(.canonical).contains("$rand")
    }

    private func outcome(_ body: () throws -> Value?) -> Result<Value?, Outcome> {
        do { return .success(try body()) } catch {
            return .failure(Outcome(code: (error as? ServerError)?.code.rawValue ?? 0))
        }
    }

    private func runPipeline(_ value: ValueView) throws {
        guard let stages = value.asArray else { return }
        let budget = EvaluationBudget(StandingClock(), looksPerSlice: 1)
        let clock = PipelineClock { .zero }
        let environment = PipelineEnvironment(clock: clock) { stage, _ in
            throw ServerError(.commandNotSupported, "\(stage.name) reads elsewhere")
        }
        let output = try Pipeline(stages, context: context(budget)).makeExecution(
            over: DocumentsSource(documents, clock), environment)
        defer { output.close() }
        for _ in 0..<20_000 {
            clock.begin(until: .zero)
            budget.beginSlice(until: .distantFuture)
            switch try output.next() {
            case .document(let document): try Fault.check([UInt8](document.bytes))
            case .yield: continue
            case .end: return
            }
        }
    }

    private mutating func runFilter(_ value: ValueView) throws {
        guard let document = value.asDocument else { return }
        let filter = try Filter(document, context: context())
        _ = filter.parsedQuery
        for document in documents {
            var position: Int?
            _ = try document.withView { try filter.matches($0, position: &position) }
        }
        var indexes: [IndexSpec] = []
        for _ in 0..<2 {
            if let index = try? generator.index().withView({ try IndexSpec(validating: $0) }) { indexes.append(index) }
        }
        _ = try Planner.plan(filter: filter, sort: nil, hint: nil, indexes: indexes)
    }

    private func runUpdate(_ value: ValueView) throws {
        let program = try UpdateProgram(value, context: context())
        for document in documents {
            let buffer = ByteBuffer()
            let position: Int? = program.needsPosition ? 0 : nil
            _ = try document.withView { try program.apply(to: $0, position: position, into: buffer) }
            try Fault.check(buffer.toArray())
            try compare(document, Document(trusted: buffer.toArray()))
        }
        let inserted = ByteBuffer()
        _ = try program.upsert(from: [], newID: { ObjectID(high: 1, low: 2) }, into: inserted)
        try Fault.check(inserted.toArray())
    }

    /// The difference of two documents, applied to the first, gives the second.
    private func compare(_ old: Document, _ new: Document) throws {
        let difference = ByteBuffer()
        let writer = DocumentWriter(startingIn: difference)
        let isSmaller = old.withView { old in new.withView { DocumentDiff.compute(from: old, to: $0, into: writer) } }
        guard isSmaller else { return }
        writer.finish()
        let result = ByteBuffer()
        try old.withView { old in
            let entry = DocumentView(base: UnsafeRawPointer(difference.base))
            guard let delta = entry["diff"]?.asDocument else { throw Fault("a difference without its delta") }
            try DocumentDiff.apply(delta, to: old, into: result)
        }
        guard result.toArray() == new.bytes else { throw Fault("the difference does not lead to the new document") }
    }

    private func runIndex(_ value: ValueView) throws {
        guard let specification = value.asDocument else { return }
        let generator = IndexKeyGenerator(try IndexSpec(validating: specification, context: context()))
        for document in documents {
            let keys = IndexKeys()
            try document.withView { try generator.generate($0, into: keys) }
        }
    }
}

extension Result<Value?, Outcome> {
    /// Whether both are the same to the bit: NaN is not equal to itself.
    func isSame(as other: Self) -> Bool {
        func bytes(_ result: Self) -> Result<[UInt8]?, Outcome> {
            result.map { $0.map { (["v": $0] as Document).bytes } }
        }
        return bytes(self) == bytes(other)
    }
}

/// The code of an error.
struct Outcome: Error, Equatable { let code: Int32 }

/// Something that must not happen.
struct Fault: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    static func check(_ value: Value) throws {
        switch value {
        case .document(let document), .array(let document): try check(document.bytes)
        default: try check((["v": value] as Document).bytes)
        }
    }

    /// Results are well-formed documents.
    static func check(_ bytes: [UInt8]) throws {
        do { _ = try Document(validating: bytes) } catch { throw Fault("a result is malformed: \(error)") }
    }
}

/// A clock that stands still.
final class StandingClock: MonotonicClock {
    let now = Instant.zero
}
