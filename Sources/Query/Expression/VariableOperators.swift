import BSON
import Core

/// `$let`, `$map`, `$filter`, `$reduce` and `$literal`: operators that bind variables or stop evaluation.
enum VariableOperators {
    static let table: [String: OperatorEntry] = [
        "$literal": .form { (argument, _) throws(ServerError) in .constant(Value(argument)) },
        "$const": .form { (argument, _) throws(ServerError) in .constant(Value(argument)) },
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

    /// The name that `as` gives to the elements.
    private static func variableName(_ name: ValueView?) throws(ServerError) -> String {
        guard let name else { return "this" }
        guard let text = name.asString else {
            throw ServerError(.failedToParse, "'as' must be a string, found: \(name.type.operatorName)")
        }
        return text
    }

    /// The array that an evaluated input is; nil for null.
    private static func array(_ value: Value?, _ name: String, _ code: Int32) throws(ServerError) -> Document? {
        if isNullish(value) { return nil }
        guard case .array(let array) = value else {
            throw ServerError(location: code, "input to \(name) must be an array not \(typeName(value))")
        }
        return array
    }

    /// Where a loop over an array is.
    private final class Loop {
        var elements: ElementCursor
        /// The element of the turn that has begun and not ended.
        var current: Value?
        var results = ArrayResult()

        init(_ array: Document) { elements = ElementCursor(array) }

        /// Begins the next turn, or goes on with the one that was interrupted; false at the end.
        func turn(_ scope: inout EvaluationScope, _ depth: Int, _ slot: Int) throws(ServerError) -> Bool {
            if current == nil {
                guard let element = elements.next() else { return false }
                current = element
                scope.beginTurn(depth)
                scope.set(slot, element)
            }
            try scope.spend(1)
            return true
        }
    }

    // MARK: $let

    private struct Let: ResumableForm, TailForm {
        let bindings: [(slot: Int, node: ExpressionTree)]
        let body: ExpressionTree

        func evaluate(_ bound: inout Int?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            for index in (bound ?? 0)..<bindings.count {
                bound = index
                scope.set(bindings[index].slot, try bindings[index].node.evaluate(&scope))
            }
            bound = bindings.count
            return try body.evaluate(&scope)
        }

        func mappingTails(_ map: (ExpressionTree) -> ExpressionTree) -> any ExpressionForm {
            Let(bindings: bindings, body: map(body))
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
                variables.type == .array ? .failedToParse : ErrorCode(rawValue: 10065),
                "invalid parameter: expected an object (vars), found \(variables.type.operatorName)")
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

    private struct Map: ResumableForm {
        let input: ExpressionTree
        let slot: Int
        let depth: Int
        let body: ExpressionTree

        func evaluate(_ loop: inout Loop?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            if loop == nil {
                guard let array = try array(try input.evaluate(&scope), "$map", 16883) else { return .null }
                loop = Loop(array)
            }
            guard let loop else { return .null }
            while try loop.turn(&scope, depth, slot) {
                try loop.results.append(try body.evaluate(&scope) ?? .null)
                loop.current = nil
            }
            return loop.results.finish()
        }
    }

    @Sendable private static func compileMap(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let document = try fields("$map", argument, notObject: 16878, unknown: 16879, allowed: ["input", "as", "in"])
        let input = try compiler.compile(try required(document, "input", "$map", 16880))
        let body = try required(document, "in", "$map", 16882)
        return try compiler.withLoop([try variableName(document["as"])]) {
            (slots, depth) throws(ServerError) -> ExpressionTree in
            .form(Map(input: input, slot: slots[0], depth: depth, body: try compiler.compile(body)))
        }
    }

    // MARK: $filter

    private struct FilterElements: ResumableForm {
        let input: ExpressionTree
        let slot: Int
        let depth: Int
        let condition: ExpressionTree
        let limit: ExpressionTree?

        enum State {
            case limit(Document)
            case elements(Loop, left: Int64)
        }

        func evaluate(_ state: inout State?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            if state == nil {
                guard let array = try array(try input.evaluate(&scope), "$filter", 28651) else { return .null }
                state = .limit(array)
            }
            if case .limit(let array) = state { state = .elements(Loop(array), left: try most(&scope)) }
            guard case .elements(let loop, let most) = state else { return .null }
            while loop.results.array.count < most, try loop.turn(&scope, depth, slot) {
                if try condition.evaluate(&scope)?.truth ?? false, let element = loop.current {
                    try loop.results.append(element)
                }
                loop.current = nil
            }
            return loop.results.finish()
        }

        /// How many elements are wanted.
        private func most(_ scope: inout EvaluationScope) throws(ServerError) -> Int64 {
            guard let limit, let value = try limit.evaluate(&scope), !isNullish(value) else { return .max }
            guard let count = value.asInteger, let narrow = Int32(exactly: count) else {
                throw ServerError(
                    location: 327391,
                    "$filter: limit must be represented as a 32-bit integral value: \(typeName(value))")
            }
            guard narrow > 0 else {
                throw ServerError(location: 327392, "$filter: limit must be greater than 0: \(narrow)")
            }
            return count
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
        return try compiler.withLoop([try variableName(document["as"])]) {
            (slots, depth) throws(ServerError) -> ExpressionTree in
            .form(
                FilterElements(
                    input: input, slot: slots[0], depth: depth, condition: try compiler.compile(condition), limit: limit
                ))
        }
    }

    // MARK: $reduce

    private struct Reduce: ResumableForm {
        let input: ExpressionTree
        let initial: ExpressionTree
        let thisSlot: Int
        let valueSlot: Int
        let depth: Int
        let body: ExpressionTree

        enum State {
            case initial(Document)
            case elements(Loop)
        }

        func evaluate(_ state: inout State?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            if state == nil {
                let value = try input.evaluate(&scope)
                if isNullish(value) { return .null }
                guard case .array(let array) = value else {
                    throw ServerError(
                        location: 40080, "$reduce requires that 'input' be an array, found: \(typeName(value))")
                }
                state = .initial(array)
            }
            if case .initial(let array) = state {
                scope.carry(valueSlot, try initial.evaluate(&scope))
                state = .elements(Loop(array))
            }
            guard case .elements(let loop) = state else { return .null }
            while try loop.turn(&scope, depth, thisSlot) {
                scope.carry(valueSlot, try body.evaluate(&scope))
                loop.current = nil
            }
            return scope.take(valueSlot)
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
        return try compiler.withLoop(["this", "value"]) { (slots, depth) throws(ServerError) -> ExpressionTree in
            .form(
                Reduce(
                    input: input, initial: initial, thisSlot: slots[0], valueSlot: slots[1], depth: depth,
                    body: try compiler.compile(body).appending(to: slots[1])))
        }
    }
}
