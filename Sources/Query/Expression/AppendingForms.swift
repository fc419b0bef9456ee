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

/// `$concatArrays`.
struct ConcatArrays: ResumableForm, AppendingForm {
    let operands: [ExpressionTree]
    let target: Int?

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        try ConcatArrays.concatenate(try scope.evaluate(operands))
    }

    var inPlace: any ExpressionForm { ArrayAppend(slot: target ?? 0, rest: Array(operands.dropFirst())) }

    @Sendable static func compile(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        try compileAppending(argument, compiler) { ConcatArrays(operands: $0, target: $1) }
    }

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
}

/// `$concatArrays` of the variable in `slot` and others, where the variable is not used again.
private struct ArrayAppend: ResumableForm {
    let slot: Int
    let rest: [ExpressionTree]

    var checksItself: Bool { true }

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        let values = try scope.evaluate(rest)
        var elements: [Value] = []
        for value in values {
            guard let more = value?.asArray else { return try concatenated(values, &scope) }
            elements += more
        }
        guard case .array = scope.slots[slot], case .array(var array) = scope.take(slot) else {
            return try concatenated(values, &scope)
        }
        let count = scope.appendedCount(slot) ?? array.withView { $0.fieldCount }
        array.appendElements(elements, behind: count)
        try EvaluationMemory.check(array.byteCount)
        for value in elements { try value.checkDepth(inside: 1) }
        scope.appended(to: slot, count: count + elements.count)
        return .array(array)
    }

    /// Every other case.
    private func concatenated(_ values: [Value?], _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        let value = try ConcatArrays.concatenate([scope.slots[slot]] + values)
        try value?.checkDepth()
        return value
    }
}

/// `$concat`.
struct ConcatStrings: ResumableForm, AppendingForm {
    let operands: [ExpressionTree]
    let target: Int?

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        try ConcatStrings.concatenate(try scope.evaluate(operands))
    }

    var inPlace: any ExpressionForm { StringAppend(slot: target ?? 0, rest: Array(operands.dropFirst())) }

    @Sendable static func compile(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        try compileAppending(argument, compiler) { ConcatStrings(operands: $0, target: $1) }
    }

    static func concatenate(_ operands: [Value?]) throws(ServerError) -> Value? {
        var bytes: [UInt8] = []
        var isNull = false
        for operand in operands {
            if isNullish(operand) {
                isNull = true
                continue
            }
            guard case .string(let text) = operand else {
                throw ServerError(location: 16702, "$concat only supports strings, not \(typeName(operand))")
            }
            bytes.append(contentsOf: text.utf8)
            try EvaluationMemory.check(bytes.count)
        }
        return isNull ? .null : StringOperators.make(bytes)
    }
}

/// `$concat` of the variable in `slot` and others, where the variable is not used again.
private struct StringAppend: ResumableForm {
    let slot: Int
    let rest: [ExpressionTree]

    var checksItself: Bool { true }

    func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        let values = try scope.evaluate(rest)
        var more = ""
        for value in values {
            guard case .string(let part) = value else { return try concatenated(values, &scope) }
            more += part
        }
        guard case .string(var text) = scope.slots[slot] else { return try concatenated(values, &scope) }
        _ = scope.take(slot)
        text += more
        try EvaluationMemory.check(text.utf8.count)
        return .string(text)
    }

    private func concatenated(_ values: [Value?], _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        try ConcatStrings.concatenate([scope.slots[slot]] + values)
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
