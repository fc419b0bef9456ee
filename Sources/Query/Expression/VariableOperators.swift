import BSON
import Core

/// `$let`, `$map`, `$filter`, `$reduce` and `$literal`: operators that bind variables or stop evaluation.
enum VariableOperators {
    static let table: [String: OperatorEntry] = [
        "$literal": .form { (argument, _) throws(ServerError) in .constant(Value(argument)) },
        "$let": .form(compileLet),
        "$map": .form(compileMap),
        "$filter": .form(compileFilter),
        "$reduce": .form(compileReduce),
    ]

    /// The fields of an operator's argument, checked against the names it knows.
    private static func fields(
        _ name: String, _ argument: ValueView, notObject: Int32, unknown: Int32, allowed: [String]
    ) throws(ServerError) -> DocumentView {
        guard let document = argument.asDocument else {
            throw ServerError(location: notObject, "\(name) only supports an object as its argument")
        }
        for element in document where !allowed.contains(element.key.string) {
            throw ServerError(location: unknown, "Unrecognized parameter to \(name): \(element.key.string)")
        }
        return document
    }

    private static func required(
        _ document: DocumentView, _ key: StaticString, _ name: String, _ code: Int32
    ) throws(ServerError) -> ValueView {
        guard let value = document[key] else {
            throw ServerError(location: code, "Missing '\(key)' parameter to \(name)")
        }
        return value
    }

    /// The elements of an evaluated input; nil for null.
    private static func elements(
        _ value: Value?, _ name: String, _ code: Int32
    ) throws(ServerError) -> [Value]? {
        if isNullish(value) { return nil }
        guard let elements = value?.asArray else {
            throw ServerError(location: code, "input to \(name) must be an array not \(typeName(value))")
        }
        return elements
    }

    // MARK: $let

    private struct Let: ExpressionForm {
        let bindings: [(slot: Int, node: ExpressionTree)]
        let body: ExpressionTree

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            for binding in bindings { scope.slots[binding.slot] = try binding.node.evaluate(&scope) }
            return try body.evaluate(&scope)
        }
    }

    @Sendable private static func compileLet(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let document = try fields("$let", argument, notObject: 16874, unknown: 16875, allowed: ["vars", "in"])
        let variables = try required(document, "vars", "$let", 16876)
        let body = try required(document, "in", "$let", 16877)
        guard let bindings = variables.asDocument else {
            throw ServerError(
                .typeMismatch, "invalid parameter: expected an object (vars), found \(variables.type.operatorName)")
        }
        var names: [String] = []
        var nodes: [ExpressionTree] = []
        for element in bindings {
            names.append(element.key.string)
            nodes.append(try compiler.compile(element.value))
        }
        return try compiler.withVariables(names) { (slots) throws(ServerError) -> ExpressionTree in
            let bindings = zip(slots, nodes).map { (slot: $0, node: $1) }
            return .form(Let(bindings: bindings, body: try compiler.compile(body)))
        }
    }

    // MARK: $map

    private struct Map: ExpressionForm {
        let input: ExpressionTree
        let slot: Int
        let body: ExpressionTree

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            guard let elements = try elements(try input.evaluate(&scope), "$map", 16883) else { return .null }
            var results: [Value] = []
            results.reserveCapacity(elements.count)
            for element in elements {
                scope.slots[slot] = element
                results.append(try body.evaluate(&scope) ?? .null)
            }
            return .array(results)
        }
    }

    @Sendable private static func compileMap(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let document = try fields("$map", argument, notObject: 16878, unknown: 16879, allowed: ["input", "as", "in"])
        let input = try compiler.compile(try required(document, "input", "$map", 16880))
        let body = try required(document, "in", "$map", 16882)
        return try compiler.withVariables([document["as"]?.asString ?? "this"]) {
            (slots) throws(ServerError) -> ExpressionTree in
            .form(Map(input: input, slot: slots[0], body: try compiler.compile(body)))
        }
    }

    // MARK: $filter

    private struct FilterElements: ExpressionForm {
        let input: ExpressionTree
        let slot: Int
        let condition: ExpressionTree
        let limit: ExpressionTree?

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            guard let elements = try elements(try input.evaluate(&scope), "$filter", 28651) else { return .null }
            var most = Int64.max
            if let limit, let value = try limit.evaluate(&scope), !isNullish(value) {
                guard let count = value.asInteger, let narrow = Int32(exactly: count) else {
                    throw ServerError(
                        location: 327391,
                        "$filter: limit must be represented as a 32-bit integral value: \(typeName(value))")
                }
                guard narrow > 0 else {
                    throw ServerError(location: 327392, "$filter: limit must be greater than 0: \(narrow)")
                }
                most = count
            }
            var results: [Value] = []
            for element in elements where results.count < most {
                scope.slots[slot] = element
                if try condition.evaluate(&scope)?.truth ?? false { results.append(element) }
            }
            return .array(results)
        }
    }

    @Sendable private static func compileFilter(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let document = try fields(
            "$filter", argument, notObject: 28646, unknown: 28647, allowed: ["input", "as", "cond", "limit"])
        let input = try compiler.compile(try required(document, "input", "$filter", 28648))
        let condition = try required(document, "cond", "$filter", 28650)
        let limit = try document["limit"].map { (limit) throws(ServerError) in try compiler.compile(limit) }
        return try compiler.withVariables([document["as"]?.asString ?? "this"]) {
            (slots) throws(ServerError) -> ExpressionTree in
            .form(
                FilterElements(input: input, slot: slots[0], condition: try compiler.compile(condition), limit: limit))
        }
    }

    // MARK: $reduce

    private struct Reduce: ExpressionForm {
        let input: ExpressionTree
        let initial: ExpressionTree
        let thisSlot: Int
        let valueSlot: Int
        let body: ExpressionTree

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let value = try input.evaluate(&scope)
            if isNullish(value) { return .null }
            guard let elements = value?.asArray else {
                throw ServerError(
                    location: 40080, "$reduce requires that 'input' be an array, found: \(typeName(value))")
            }
            var accumulated = try initial.evaluate(&scope)
            for element in elements {
                scope.slots[thisSlot] = element
                scope.slots[valueSlot] = accumulated
                accumulated = try body.evaluate(&scope)
            }
            return accumulated
        }
    }

    @Sendable private static func compileReduce(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let document = try fields(
            "$reduce", argument, notObject: 40075, unknown: 40076, allowed: ["input", "initialValue", "in"])
        let input = try compiler.compile(try required(document, "input", "$reduce", 40077))
        let initial = try compiler.compile(try required(document, "initialValue", "$reduce", 40078))
        let body = try required(document, "in", "$reduce", 40079)
        return try compiler.withVariables(["this", "value"]) { (slots) throws(ServerError) -> ExpressionTree in
            .form(
                Reduce(
                    input: input, initial: initial, thisSlot: slots[0], valueSlot: slots[1],
                    body: try compiler.compile(body)))
        }
    }
}
