import BSON
import Core

/// The work of an operator on operands that may be large, done in steps: between two of them the time is looked at.
protocol StepwiseWork: AnyObject {
    func step() throws(ServerError) -> StepwiseProgress
}

/// What a step came to.
enum StepwiseProgress {
    /// There is more to do; so much was done.
    case more(steps: Int)
    case value(Value?)
}

/// What an operator makes of its operands at once.
enum StepwiseResult {
    case value(Value?)
    case work(any StepwiseWork)
}

/// An operator whose work is done in steps; nil stands for a missing operand.
typealias StepwiseFunction = @Sendable ([Value?]) throws(ServerError) -> StepwiseResult

/// Runs such an operator.
struct StepwiseCall: ResumableForm {
    let function: StepwiseFunction
    let operands: [ExpressionTree]

    func evaluate(_ state: inout (any StepwiseWork)?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        let work: any StepwiseWork
        if let state {
            work = state
        } else {
            switch try function(try scope.evaluate(operands)) {
            case .value(let value): return value
            case .work(let made): work = made
            }
            state = work
        }
        while true {
            switch try work.step() {
            case .value(let value): return value
            case .more(let steps): try scope.spend(steps)
            }
        }
    }
}

/// The array that an operator makes, within the limits of an expression's values.
struct ArrayResult {
    private(set) var array: ArrayWriter
    private let buffer: ByteBuffer

    init() {
        buffer = ByteBuffer()
        array = ArrayWriter(startingIn: buffer)
    }

    var byteCount: Int { buffer.count }

    mutating func append(_ value: Value) throws(ServerError) {
        array.append(value)
        try EvaluationMemory.check(buffer.count)
    }

    mutating func append(_ value: ValueView) throws(ServerError) {
        array.append(value)
        try EvaluationMemory.check(buffer.count)
    }

    mutating func append(_ build: (DocumentWriter) -> Void) throws(ServerError) {
        array.document { build($0) }
        try EvaluationMemory.check(buffer.count)
    }

    /// Ends the array.
    func finish() -> Value {
        array.finish()
        return .array(Document(trusted: buffer.toArray()))
    }
}
