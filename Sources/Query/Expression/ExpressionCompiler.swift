import BSON
import Core

/// Turns BSON into expression nodes, and names of variables into slots.
final class ExpressionCompiler {
    let context: QueryContext
    private(set) var shape = EvaluationShape()
    /// Whether the same document always gives the same value.
    private(set) var isPure = true
    /// Variables in scope, innermost last.
    private var scope: [(name: String, slot: Int, depth: Int)] = []
    /// How often each variable was referred to, by slot.
    private var references: [Int] = []
    /// Loops around what is being compiled.
    private var loopDepth = 0
    /// The depths of the loops that what is being compiled depends on, a bit for each; the highest one stands for what
    /// is never the same.
    private var dependencies: UInt64 = 0
    private static let impure: UInt64 = 1 << 63

    init(context: QueryContext) { self.context = context }

    /// Compiles an expression. What the loops around it do not change is marked, to be computed once.
    func compile(_ value: ValueView) throws(ServerError) -> ExpressionTree {
        let outer = dependencies
        dependencies = 0
        let node = try compileNode(value)
        let own = dependencies == 0 ? 0 : 63 - dependencies.leadingZeroBitCount
        dependencies |= outer
        guard own < loopDepth else { return node }
        switch node {
        case .constant, .variable(_, nil): return node
        default:
            shape.invariantCount += 1
            return .invariant(index: shape.invariantCount - 1, depth: own, node)
        }
    }

    private func compileNode(_ value: ValueView) throws(ServerError) -> ExpressionTree {
        switch value.type {
        case .string:
            let text = value.asString ?? ""
            try StringSize.check(text.utf8.count)
            return text.utf8.first == UInt8(ascii: "$") ? try compileReference(text) : .constant(.string(text))
        case .document: return try compileDocument(DocumentView(base: value.pointer))
        case .array:
            var items: [ExpressionTree] = []
            for element in DocumentView(base: value.pointer) { items.append(try compile(element.value)) }
            return fold(.array(items), items)
        default: return .constant(Value(value))
        }
    }

    /// Compiles the body of a loop at the depth that it is given, with `names` bound to fresh slots at every turn.
    func withLoop<R>(
        _ names: [String], _ body: (_ slots: [Int], _ depth: Int) throws(ServerError) -> R
    ) throws(ServerError) -> R {
        loopDepth += 1
        shape.loopDepth = max(shape.loopDepth, loopDepth)
        defer { loopDepth -= 1 }
        let result = try withVariables(names) { (slots) throws(ServerError) in try body(slots, loopDepth) }
        // What the body depends on in this loop means nothing outside of it.
        dependencies &= ~ExpressionCompiler.bit(loopDepth) | ExpressionCompiler.impure
        return result
    }

    /// Says that what is being compiled has another value each time.
    func noteImpure() {
        isPure = false
        dependencies |= ExpressionCompiler.impure
    }

    private static func bit(_ depth: Int) -> UInt64 { depth == 0 ? 0 : 1 << UInt64(min(depth, 63)) }

    /// How often the variable in a slot was referred to so far.
    func referenceCount(_ slot: Int) -> Int { references[slot] }

    /// Compiles `body` with `names` bound to fresh slots.
    func withVariables<R>(
        _ names: [String], _ body: (_ slots: [Int]) throws(ServerError) -> R
    ) throws(ServerError) -> R {
        let depth = scope.count
        var slots: [Int] = []
        for name in names {
            try Expression.checkVariableName(name)
            scope.append((name, shape.slotCount, loopDepth))
            references.append(0)
            slots.append(shape.slotCount)
            shape.slotCount += 1
        }
        defer { scope.removeSubrange(depth...) }
        return try body(slots)
    }

    /// Makes `$$ROOT` a variable of its own: the whole document, of which the root is a part. Returns its slot.
    func bindWhole() -> Int {
        scope.append(("ROOT", shape.slotCount, loopDepth))
        references.append(0)
        shape.slotCount += 1
        return shape.slotCount - 1
    }

    // MARK: References

    private func compileReference(_ text: String) throws(ServerError) -> ExpressionTree {
        guard text.utf8.count > 1 else {
            throw ServerError(location: 16872, "'$' by itself is not a valid FieldPath")
        }
        guard text.utf8.dropFirst().first == UInt8(ascii: "$") else {
            return .path(try ExpressionPath(String(text.dropFirst())))
        }
        let parts = text.dropFirst(2).split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts.first.map(String.init) ?? ""
        guard !name.isEmpty else { throw ServerError(.failedToParse, "empty variable names are not allowed") }
        let path = parts.count > 1 ? try ExpressionPath(String(parts[1])) : nil
        if let bound = scope.last(where: { $0.name == name }) {
            dependencies |= ExpressionCompiler.bit(bound.depth)
            references[bound.slot] += 1
            return .variable(slot: bound.slot, path)
        }
        return try compileBuiltin(name, path)
    }

    private func compileBuiltin(_ name: String, _ path: ExpressionPath?) throws(ServerError) -> ExpressionTree {
        let value: Value
        switch name {
        case "ROOT", "CURRENT": return path.map { .path($0) } ?? .root
        case "REMOVE": return .constant(nil)
        case "USER_ROLES": value = .array([])
        case "NOW": value = .dateTime(context.nowMillis)
        case "CLUSTER_TIME":
            guard let time = context.clusterTime else {
                throw ServerError(location: 51144, "Builtin variable '$$CLUSTER_TIME' is not available")
            }
            value = .timestamp(time)
        default:
            guard let bound = context.variables[name] else {
                throw ServerError(location: 17276, "Use of undefined variable: \(name)")
            }
            guard let bound else { return .constant(nil) }
            value = bound
        }
        return .constant(path.map { $0.resolve(in: value) } ?? value)
    }

    // MARK: Documents and operators

    private func compileDocument(_ document: DocumentView) throws(ServerError) -> ExpressionTree {
        guard let first = document.first else { return .constant(.document(Document())) }
        if first.key.isOperator {
            guard document.fieldCount == 1 else {
                throw ServerError(
                    location: 15983,
                    "an object representing an expression must have exactly one field, but the one that starts with"
                        + " '\(first.key.string)' has \(document.fieldCount)")
            }
            return try compileOperator(first.key.string, first.value)
        }
        var fields: [(name: String, node: ExpressionTree)] = []
        for element in document {
            try ExpressionPath.checkName(element.key.bytes)
            let name = element.key.string
            guard !fields.contains(where: { $0.name == name }) else {
                throw ServerError(location: 16406, "duplicate field name specified in object literal: \(name)")
            }
            fields.append((name, try compile(element.value)))
        }
        return fold(.object(fields), fields.map { $0.node })
    }

    private func compileOperator(_ name: String, _ argument: ValueView) throws(ServerError) -> ExpressionTree {
        guard let entry = OperatorTable.entries[name] else {
            throw MissingOperators.refusal(of: name, in: MissingOperators.expressions)
                ?? ServerError(.invalidPipelineOperator, "Unrecognized expression '\(name)'")
        }
        switch entry {
        case .positional(let least, let most, let function):
            let operands = try compileOperands(argument)
            try checkCount(name, operands.count, least, most)
            return fold(.call(function, operands), operands)
        case .stepwise(let least, let most, let function):
            let operands = try compileOperands(argument)
            try checkCount(name, operands.count, least, most)
            return fold(.stepwise(function, operands), operands)
        case .named(let required, let optional, let function):
            let operands = try compileNamed(name, argument, required: required, optional: optional)
            return fold(.namedCall(function, operands), operands.map { $0.node })
        case .form(let compile): return try compile(argument, self)
        }
    }

    /// The operands of an operator: the elements of an array, or the one value.
    func compileOperands(_ argument: ValueView) throws(ServerError) -> [ExpressionTree] {
        guard let array = argument.asArray else { return [try compile(argument)] }
        var operands: [ExpressionTree] = []
        for element in array { operands.append(try compile(element.value)) }
        return operands
    }

    func checkCount(_ name: String, _ count: Int, _ least: Int, _ most: Int) throws(ServerError) {
        if count >= least && count <= most { return }
        if least == most {
            throw ServerError(
                location: 16020, "Expression \(name) takes exactly \(least) arguments. \(count) were passed in.")
        }
        throw ServerError(
            location: 28667,
            "Expression \(name) takes at least \(least) arguments, and at most \(most), but \(count) were passed in.")
    }

    func compileNamed(
        _ name: String, _ argument: ValueView, required: [String], optional: [String]
    ) throws(ServerError) -> [(name: String, node: ExpressionTree)] {
        let codes = ArgumentCodes.table[name]
        guard let document = argument.asDocument else {
            throw ServerError(
                location: codes?.shape ?? ErrorCode.failedToParse.rawValue,
                "\(name) requires an object as an argument, found: \(argument.type.operatorName)")
        }
        var operands: [(name: String, node: ExpressionTree)] = []
        for element in document {
            let key = element.key.string
            guard required.contains(key) || optional.contains(key) else {
                throw ServerError(
                    location: codes?.unknown ?? ErrorCode.failedToParse.rawValue,
                    "\(name) found an unknown argument: \(key)")
            }
            operands.append((key, try compile(element.value)))
        }
        for key in required where !operands.contains(where: { $0.name == key }) {
            throw ServerError(
                location: codes?.missing[key] ?? ErrorCode.failedToParse.rawValue,
                "Missing '\(key)' parameter to \(name)")
        }
        return operands
    }

    /// Keeps a node without inputs as its value. One that fails stays, so that its error comes only if it is reached.
    func fold(_ node: ExpressionTree, _ inputs: [ExpressionTree]) -> ExpressionTree {
        for input in inputs { guard case .constant = input else { return node } }
        guard
            case .some(let value) = try? Document().withView({ (root) throws(ServerError) -> Value? in
                var scope = EvaluationScope.folding(root)
                return try node.evaluate(&scope)
            })
        else { return node }
        return .constant(value)
    }
}
