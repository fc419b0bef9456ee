import BSON
import Core

/// `$setWindowFields`: adds to each document what functions make of those around it in its partition.
///
/// Documents are collected and sorted, by partition first. Then each is read once more and shown as soon as all that
/// its windows reach are there, and forgotten when no window of a later document begins with it.
final class WindowStage: InnerStage {
    private let input: InterruptibleSource
    var source: any StageExecution { input }
    private let specification: WindowSpecification
    private let clock: PipelineClock
    private let budget: EvaluationBudget?
    private let sorter: StageSorter
    private let memory: StageMemory
    private var isCollected = false
    private let prefix = ByteBuffer()
    private let buffer = ByteBuffer()
    private var partition: WindowPartition
    /// The sorted document whose values could not be evaluated to the end.
    private var waiting: StageSorter.Row?
    private var isOver = false

    init(
        _ source: any StageExecution, _ specification: WindowSpecification, _ clock: PipelineClock,
        _ budget: EvaluationBudget?, _ memory: StageMemory
    ) throws {
        self.memory = memory
        input = InterruptibleSource(source, budget)
        self.specification = specification
        self.clock = clock
        self.budget = budget
        sorter = StageSorter(try specification.sort ?? SortPattern.none(), clock, memory)
        partition = WindowPartition(specification, memory)
    }

    func close() {
        sorter.close()
        partition.close()
        input.close()
    }

    func next() throws -> StageOutput {
        while !isCollected { if try !collect() { return .yield } }
        while true {
            if try partition.canShow() {
                if clock.isOver() { return .yield }
                while try !partition.advance() { if clock.isOverNow() { return .yield } }
                buffer.removeAll(keeping: 1 << 20)
                try partition.show(in: buffer)
                return .document(try buffer.stageDocument())
            }
            if partition.isComplete {
                if isOver { return .end }
                partition = WindowPartition(specification, memory)
            }
            if try !read() { return .yield }
        }
    }

    /// Takes a document of the input; false when the slice was used up.
    private func collect() throws -> Bool {
        switch try input.next() {
        case .document(let document):
            let key = try input.evaluate { () throws(ServerError) -> Value? in
                try specification.partition?.evaluate(root: document) ?? .null
            }
            guard let key else { return false }
            let partition = key ?? .null
            guard partition.type != .array else {
                throw ServerError(
                    .typeMismatch, "An expression used to partition cannot evaluate to value of type array")
            }
            prefix.removeAll()
            partition.withView { IndexKey.append($0, to: prefix) }
            try sorter.add(document, behind: prefix, tag: UInt64(prefix.count))
        case .yield: return false
        case .end:
            isCollected = true
            input.close()
        }
        return true
    }

    /// Takes the next sorted document into the partition; false when the slice was used up.
    private func read() throws -> Bool {
        if waiting == nil {
            switch try sorter.next() {
            case .row(let row): waiting = row
            case .yield: return false
            case .end:
                isOver = true
                partition.isComplete = true
                return true
            }
        }
        guard let row = waiting else { return false }
        let length = min(Int(truncatingIfNeeded: row.tag), row.key.count)
        let key = UnsafeRawBufferPointer(rebasing: row.key[..<length])
        guard partition.begins(with: key) else {
            partition.isComplete = true
            return true
        }
        let values = try budget.interruptibly { () throws(ServerError) in
            try specification.outputs.map { (output) throws(ServerError) in
                try output.expression?.evaluate(root: row.document)
            }
        }
        guard let values else { return false }
        waiting = nil
        try partition.add(row.document, values, order: UnsafeRawBufferPointer(rebasing: row.key[length...]))
        return true
    }
}
