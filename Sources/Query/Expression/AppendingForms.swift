import BSON
import Core

// `{$reduce: {…, in: {$concatArrays: ["$$value", …]}}}` is how arrays are built. Copying the array at every turn would
// make that quadratic; so where the value of a `$reduce` is used for the last time in its turn, it is appended to.

/// A form that may hand on the value of one of its nodes as its own.
protocol TailForm: ExpressionForm {
    /// The same form with those nodes replaced.
    func mappingTails(_ map: (ExpressionTree) -> ExpressionTree) -> any ExpressionForm
}

/// A form that may append to the value of a variable.
protocol AppendingForm: ExpressionForm {
    /// The variable that is its first operand, when no other operand refers to it.
    var target: Int? { get }
    /// The form that appends to it, in place.
    var inPlace: any ExpressionForm { get }
}

extension ExpressionTree {
    /// The same node as the body of a loop that sets the variable in `slot` to the node's value: no other use of the
    /// variable's old value comes behind it.
    func appending(to slot: Int) -> ExpressionTree {
        guard case .form(let form) = self else { return self }
        if let form = form as? any AppendingForm, form.target == slot { return .form(form.inPlace) }
        if let form = form as? any TailForm { return .form(form.mappingTails { $0.appending(to: slot) }) }
        return self
    }

    /// The variable that the node is, without a path.
    fileprivate var variable: Int? { if case .variable(let slot, nil) = self { slot } else { nil } }
}

/// What is known of the array that was appended to last: the value of the variable in `slot`, as long as the loop that
/// sets that variable says so.
struct AppendedArray {
    let slot: Int
    let count: Int
    /// Whether that was in the turn that runs.
    var isNew: Bool
}

/// What `$concatArrays` and `$concat` make of their operands. Not a plug point.
protocol Concatenation {
    /// The operands one behind the other, in a new value.
    static func concatenate(_ operands: [Value?]) throws(ServerError) -> Value?
    /// The variable in `slot` with the others behind it, in place; nil when they are not all of the right type.
    static func append(
        _ values: [Value?], to slot: Int, _ scope: inout EvaluationScope
    ) throws(ServerError) -> Value?
}

/// A concatenation of all its operands.
struct Concatenate<Kind: Concatenation>: ResumableForm, AppendingForm {
    let operands: [ExpressionTree]
    let target: Int?

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        try Kind.concatenate(try scope.evaluate(operands))
    }

    var inPlace: any ExpressionForm { Append<Kind>(slot: target ?? 0, rest: Array(operands.dropFirst())) }

    @Sendable static func compile(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        try compileAppending(argument, compiler) { Concatenate(operands: $0, target: $1) }
    }
}

/// A concatenation of the variable in `slot` and others, where the variable is not used again.
private struct Append<Kind: Concatenation>: ResumableForm {
    let slot: Int
    let rest: [ExpressionTree]

    var checksItself: Bool { true }

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        let values = try scope.evaluate(rest)
        if let value = try Kind.append(values, to: slot, &scope) { return value }
        let value = try Kind.concatenate([scope.slots[slot]] + values)
        try value?.checkDepth()
        return value
    }
}

/// `$concatArrays`.
enum ConcatArrays: Concatenation {
    static func concatenate(_ operands: [Value?]) throws(ServerError) -> Value? {
        var result = ArrayResult()
        for operand in operands {
            if isNullish(operand) { return .null }
            guard case .array(let array) = operand else {
                throw ServerError(location: 28664, "$concatArrays only supports arrays, not \(typeName(operand))")
            }
            try array.withChecked { (view) throws(ServerError) in
                for element in view { try result.append(element.value) }
            }
        }
        return result.finish()
    }

    static func append(
        _ values: [Value?], to slot: Int, _ scope: inout EvaluationScope
    ) throws(ServerError) -> Value? {
        var elements: [Value] = []
        for value in values {
            guard let more = value?.asArray else { return nil }
            elements += more
        }
        guard case .array = scope.slots[slot], case .array(var array) = scope.take(slot) else { return nil }
        let count = scope.appendedCount(slot) ?? array.withView { $0.fieldCount }
        array.appendElements(elements, behind: count)
        try EvaluationMemory.check(array.byteCount)
        for value in elements { try value.checkDepth(inside: 1) }
        scope.appended(to: slot, count: count + elements.count)
        return .array(array)
    }
}

/// `$concat`.
enum ConcatStrings: Concatenation {
    static func concatenate(_ operands: [Value?]) throws(ServerError) -> Value? {
        var bytes: [UInt8] = []
        for operand in operands {
            if isNullish(operand) { return .null }
            guard case .string(let text) = operand else {
                throw ServerError(location: 16702, "$concat only supports strings, not \(typeName(operand))")
            }
            bytes.append(contentsOf: text.utf8)
            try EvaluationMemory.check(bytes.count)
        }
        return StringOperators.make(bytes)
    }

    static func append(
        _ values: [Value?], to slot: Int, _ scope: inout EvaluationScope
    ) throws(ServerError) -> Value? {
        var more = ""
        for value in values {
            guard case .string(let part) = value else { return nil }
            more += part
        }
        guard case .string(var text) = scope.slots[slot] else { return nil }
        _ = scope.take(slot)
        text += more
        try EvaluationMemory.check(text.utf8.count)
        return .string(text)
    }
}

/// Compiles operands, and finds out whether the first is a variable that the others do not refer to.
private func compileAppending(
    _ argument: ValueView, _ compiler: ExpressionCompiler, _ make: ([ExpressionTree], Int?) -> any ExpressionForm
) throws(ServerError) -> ExpressionTree {
    var operands: [ExpressionTree] = []
    var target: Int?
    var references = 0
    for value in argument.asArray.map({ $0.map { $0.value } }) ?? [argument] {
        operands.append(try compiler.compile(value))
        guard operands.count == 1, let slot = operands[0].variable else { continue }
        target = slot
        references = compiler.referenceCount(slot)
    }
    if let slot = target, compiler.referenceCount(slot) > references { target = nil }
    return compiler.fold(.form(make(operands, target)), operands)
}
