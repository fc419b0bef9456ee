public import BSON
public import Core

/// A compiled aggregation expression.
///
/// Compiling resolves names, operators and variables; evaluating only computes. Sub-expressions without variables or
/// paths are kept as constants. Evaluating is pure, except for `$rand`: an evaluation that was interrupted goes on when
/// it is asked for the same document again.
public final class Expression {
    let node: ExpressionTree
    private let shape: EvaluationShape
    private let budget: EvaluationBudget?
    private let isPure: Bool
    /// Where the whole document is, when the root is a part of it.
    private let wholeSlot: Int?
    /// An evaluation that was interrupted, and the document that it is of.
    private var interrupted: (root: Document, scope: EvaluationScope)?
    /// The outcome of a long evaluation, or of a repeated one: others, for the same document, may be interrupted
    /// before it is used.
    private var outcome: (root: Document, value: Value?)?

    /// Compiles an expression: a literal, a `"$path"`, a `"$$variable"`, or an operator document.
    public convenience init(_ value: ValueView, context: QueryContext) throws(ServerError) {
        try self.init(value, context: context, hasWhole: false)
    }

    /// - Parameter hasWhole: whether it is evaluated over parts of documents, with `$$ROOT` for the whole.
    init(_ value: ValueView, context: QueryContext, hasWhole: Bool) throws(ServerError) {
        let compiler = ExpressionCompiler(context: context)
        wholeSlot = hasWhole ? compiler.bindWhole() : nil
        node = try compiler.compile(value)
        shape = compiler.shape
        // The value over a part is another in another whole.
        isPure = compiler.isPure && !hasWhole
        budget = context.budget?.value
    }

    /// The value of an expression that is the same for all documents; nil for one that is not.
    var constantValue: Value?? {
        if case .constant(let value) = node { return .some(value) }
        return nil
    }

    /// The expression's value over `root`; nil when it is missing (a path that leads nowhere, `$$REMOVE`).
    public func evaluate(root: DocumentView) throws(ServerError) -> Value? {
        try evaluate(root: root, whole: nil)
    }

    /// The value over `root`, a part of `whole`.
    func evaluate(root: DocumentView, whole: Document?) throws(ServerError) -> Value? {
        switch node {
        case .constant(let value): return value
        case .path(let path): return path.resolve(in: root)
        default: break
        }
        if let outcome {
            if outcome.root.hasBytes(root) { return outcome.value }
            self.outcome = nil
        }
        var scope = beginning(root)
        if let whole, let wholeSlot { scope.set(wholeSlot, .document(whole)) }
        do throws(ServerError) {
            let value = try node.evaluate(&scope)
            scope.handBackSteps()
            interrupted = nil
            if isPure, let budget, budget.isInterruptible, scope.isLong || budget.isRepeated {
                outcome = (budget.copy(of: root), value)
            }
            return value
        } catch {
            interrupted = scope.isInterrupted ? (interrupted?.root ?? root.document, scope) : nil
            throw error
        }
    }

    private func beginning(_ root: DocumentView) -> EvaluationScope {
        if var (document, scope) = interrupted {
            if document.hasBytes(root) {
                // Only the scope may hold what was found so far, so that it can be added to in place.
                interrupted = (document, EvaluationScope(root: root))
                scope.resume(root: root)
                return scope
            }
            document = Document()
            interrupted = nil
        }
        return EvaluationScope(root: root, shape: shape, budget: budget)
    }
}

extension Expression {
    /// Refuses what cannot be the name of a user's variable.
    public static func checkVariableName(_ name: String) throws(ServerError) {
        guard let first = name.utf8.first else {
            throw ServerError(.failedToParse, "empty variable names are not allowed")
        }
        let lower = UInt8(ascii: "a")...UInt8(ascii: "z")
        guard lower.contains(first) || first >= 0x80 else {
            throw ServerError(
                .failedToParse, "'\(name)' starts with an invalid character for a user variable name")
        }
        for byte in name.utf8 {
            let isLetter = lower.contains(byte | 0x20)
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            guard isLetter || isDigit || byte == UInt8(ascii: "_") || byte >= 0x80 else {
                throw ServerError(
                    .failedToParse, "'\(name)' contains an invalid character for a variable name")
            }
        }
    }
}

extension Document {
    func hasBytes(_ view: DocumentView) -> Bool { withView { $0.bytes.isSame(as: view.bytes) } }
}

/// One node of a compiled expression.
indirect enum ExpressionTree {
    case constant(Value?)
    /// `$$ROOT`, `$$CURRENT`.
    case root
    /// A path from the root document.
    case path(ExpressionPath)
    /// A variable of `$let`, `$map`, … and the path behind it.
    case variable(slot: Int, ExpressionPath?)
    /// What a loop's body asks for at every turn and loops deeper than `depth` do not change.
    case invariant(index: Int, depth: Int, ExpressionTree)
    case object([(name: String, node: ExpressionTree)])
    case array([ExpressionTree])
    /// An operator that evaluates all its arguments first.
    case call(OperatorFunction, [ExpressionTree])
    /// One whose work is then done in steps.
    case stepwise(StepwiseFunction, [ExpressionTree])
    case namedCall(NamedOperatorFunction, [(name: String, node: ExpressionTree)])
    /// An operator that decides itself what to evaluate.
    case form(any ExpressionForm)

    func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        switch self {
        case .constant(let value): return value
        case .root: return counted(.document(Document(copying: scope.root)), &scope)
        case .path(let path): return counted(path.resolve(in: scope.root), &scope)
        case .variable(let slot, let path):
            guard let value = scope.slots[slot] else { return nil }
            return path.map { counted($0.resolve(in: value), &scope) } ?? value
        case .invariant(let index, let depth, let node): return try scope.invariant(index, depth, node)
        case .object(let fields):
            try scope.spend(1)
            return try checked(try evaluateObject(fields, &scope), &scope)
        case .array(let items):
            try scope.spend(1)
            let values = try scope.evaluate(items).map { $0 ?? .null }
            return try checked(.array(values), &scope)
        case .call(let function, let operands):
            try scope.spend(1)
            let values = try scope.evaluate(operands)
            for value in values { _ = counted(value, &scope) }
            return try checked(try function(values), &scope)
        case .stepwise(let function, let operands):
            try scope.spend(1)
            return try checked(try StepwiseCall(function: function, operands: operands).evaluate(&scope), &scope)
        case .namedCall(let function, let operands):
            try scope.spend(1)
            let values = try scope.evaluate(operands.map { $0.node })
            var arguments = NamedArguments()
            for (operand, value) in zip(operands, values) { arguments.append(operand.name, counted(value, &scope)) }
            return try checked(try function(arguments), &scope)
        case .form(let form):
            try scope.spend(1)
            if form.checksItself { return try form.evaluate(&scope) }
            let value =
                form.canResume
                ? try form.evaluate(&scope)
                : try scope.uninterrupted { (scope) throws(ServerError) in try form.evaluate(&scope) }
            return try checked(value, &scope)
        }
    }

    /// Objects are written as their fields are computed.
    private func evaluateObject(
        _ fields: [(name: String, node: ExpressionTree)], _ scope: inout EvaluationScope
    ) throws(ServerError) -> Value? {
        var (writer, index) = scope.kept((DocumentWriter, Int).self) ?? (DocumentWriter(startingIn: ByteBuffer()), 0)
        do throws(ServerError) {
            while index < fields.count {
                if let value = try fields[index].node.evaluate(&scope) { writer.append(fields[index].name, value) }
                index += 1
            }
        } catch {
            scope.keep((writer, index))
            throw error
        }
        writer.finish()
        return .document(Document(trusted: writer.buffer.toArray()))
    }

    /// Counts a value that was copied or is going to be read. Never interrupts: the value would be lost.
    private func counted(_ value: Value?, _ scope: inout EvaluationScope) -> Value? {
        if let bytes = value?.nestedByteCount { scope.count(bytes: bytes) }
        return value
    }

    /// Refuses values that an expression made too deep or too large: both can grow without bound inside `$reduce`.
    private func checked(_ value: Value?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        guard let value, let bytes = value.nestedByteCount else { return value }
        scope.count(bytes: bytes)
        try EvaluationMemory.check(bytes)
        if case .string = value { try StringSize.check(bytes) }
        try value.checkDepth()
        return value
    }
}

/// The memory that one value of an expression may take.
enum EvaluationMemory {
    static func check(_ bytes: Int) throws(ServerError) {
        guard bytes <= Limits.expressionValueBytesMax else {
            throw ServerError(
                .exceededMemoryLimit,
                "an expression's value of \(bytes) bytes exceeds \(Limits.expressionValueBytesMax)")
        }
    }
}

/// The size that one string of an expression may have.
enum StringSize {
    static func check(_ bytes: Int) throws(ServerError) {
        guard bytes < Limits.expressionStringBytesMax else {
            throw ServerError(
                location: 16493,
                "a string of \(bytes) bytes is too large: it must be shorter than \(Limits.expressionStringBytesMax)")
        }
    }
}

/// An operator that evaluates its own operands, or only some of them.
protocol ExpressionForm {
    func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value?
    /// Whether an evaluation that was interrupted inside goes on there; else none is.
    var canResume: Bool { get }
    /// Whether it looks itself at how large and deep its value became.
    var checksItself: Bool { get }
}

extension ExpressionForm {
    var canResume: Bool { false }
    var checksItself: Bool { false }
}

/// A form that keeps its place when the evaluation is interrupted inside of it: all that it has to remember is `State`.
protocol ResumableForm: ExpressionForm {
    associatedtype State
    /// `state` is nil at the beginning, and what it was when the evaluation was interrupted otherwise.
    func evaluate(_ state: inout State?, _ scope: inout EvaluationScope) throws(ServerError) -> Value?
}

extension ResumableForm {
    var canResume: Bool { true }

    func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        var state = scope.kept(FormFrame<State>.self)?.state
        do throws(ServerError) { return try evaluate(&state, &scope) } catch {
            scope.keep(FormFrame(state: state))
            throw error
        }
    }
}

private struct FormFrame<State> { let state: State? }

/// An operator over evaluated operands; nil stands for missing.
typealias OperatorFunction = @Sendable ([Value?]) throws(ServerError) -> Value?
/// An operator whose operands have names.
typealias NamedOperatorFunction = @Sendable (NamedArguments) throws(ServerError) -> Value?

/// The evaluated operands of an operator that names them.
struct NamedArguments {
    private var entries: [(name: String, value: Value?)] = []

    mutating func append(_ name: String, _ value: Value?) { entries.append((name, value)) }

    /// The operand's value; nil when it was not given or is missing.
    subscript(name: String) -> Value? { entries.first { $0.name == name }.flatMap { $0.value } }

    /// Whether the operand was written, whatever its value.
    func has(_ name: String) -> Bool { entries.contains { $0.name == name } }
}
