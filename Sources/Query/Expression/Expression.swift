public import BSON
public import Core

/// A compiled aggregation expression.
///
/// Compiling resolves names, operators and variables; evaluating only computes. Sub-expressions without variables or
/// paths are kept as constants.
public final class Expression {
    let node: ExpressionTree
    private let slotCount: Int

    /// Compiles an expression: a literal, a `"$path"`, a `"$$variable"`, or an operator document.
    public init(_ value: ValueView, context: QueryContext) throws(ServerError) {
        let compiler = ExpressionCompiler(context: context)
        node = try compiler.compile(value)
        slotCount = compiler.slotCount
    }

    /// The expression's value over `root`; nil when it is missing (a path that leads nowhere, `$$REMOVE`).
    public func evaluate(root: DocumentView) throws(ServerError) -> Value? {
        if case .constant(let value) = node { return value }
        var scope = EvaluationScope(root: root, slots: [Value?](repeating: nil, count: slotCount))
        return try node.evaluate(&scope)
    }
}

/// What evaluating may read: the root document and the variables in scope, each in a slot that compiling assigned.
struct EvaluationScope {
    let root: DocumentView
    var slots: [Value?]
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
    case object([(name: String, node: ExpressionTree)])
    case array([ExpressionTree])
    /// An operator that evaluates all its arguments first.
    case call(OperatorFunction, [ExpressionTree])
    case namedCall(NamedOperatorFunction, [(name: String, node: ExpressionTree)])
    /// An operator that decides itself what to evaluate.
    case form(any ExpressionForm)

    func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        switch self {
        case .constant(let value): return value
        case .root: return .document(Document(copying: scope.root))
        case .path(let path): return path.resolve(in: scope.root)
        case .variable(let slot, let path):
            guard let value = scope.slots[slot] else { return nil }
            return path.map { $0.resolve(in: value) } ?? value
        case .object(let fields): return try evaluateObject(fields, &scope)
        case .array(let items):
            var values: [Value] = []
            values.reserveCapacity(items.count)
            for item in items { values.append(try item.evaluate(&scope) ?? .null) }
            return try checked(.array(values))
        case .call(let function, let operands):
            var values: [Value?] = []
            values.reserveCapacity(operands.count)
            for operand in operands { values.append(try operand.evaluate(&scope)) }
            return try checked(try function(values))
        case .namedCall(let function, let operands):
            var arguments = NamedArguments()
            for operand in operands { arguments.append(operand.name, try operand.node.evaluate(&scope)) }
            return try checked(try function(arguments))
        case .form(let form): return try checked(try form.evaluate(&scope))
        }
    }

    private func evaluateObject(
        _ fields: [(name: String, node: ExpressionTree)], _ scope: inout EvaluationScope
    ) throws(ServerError) -> Value? {
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        for field in fields {
            if let value = try field.node.evaluate(&scope) { writer.append(field.name, value) }
        }
        writer.finish()
        return try checked(.document(Document(trusted: buffer.toArray())))
    }

    /// Refuses values that an expression made too deep or too large: both can grow without bound inside `$reduce`.
    private func checked(_ value: Value?) throws(ServerError) -> Value? {
        guard let value, let bytes = value.nestedByteCount else { return value }
        if bytes > Limits.expressionValueBytesMax {
            throw ServerError(
                .exceededMemoryLimit,
                "an expression's value of \(bytes) bytes exceeds \(Limits.expressionValueBytesMax)")
        }
        try value.checkDepth()
        return value
    }
}

/// An operator that evaluates its own operands, or only some of them.
protocol ExpressionForm {
    func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value?
}

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
