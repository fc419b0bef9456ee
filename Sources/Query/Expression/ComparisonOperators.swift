import BSON
import Core

/// `$cmp`, `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`: MongoDB's order across all types, a missing value below all.
enum ComparisonOperators {
    static let table: [String: OperatorEntry] = [
        "$cmp": .binary { operands in .int32(Int32(clamping: order(operands).signum())) },
        "$eq": .binary { operands in .bool(order(operands) == 0) },
        "$ne": .binary { operands in .bool(order(operands) != 0) },
        "$gt": .binary { operands in .bool(order(operands) > 0) },
        "$gte": .binary { operands in .bool(order(operands) >= 0) },
        "$lt": .binary { operands in .bool(order(operands) < 0) },
        "$lte": .binary { operands in .bool(order(operands) <= 0) },
    ]

    private static func order(_ operands: [Value?]) -> Int { order(operands[0], operands[1]) }

    static func order(_ a: Value?, _ b: Value?) -> Int {
        switch (a, b) {
        case (nil, nil): 0
        case (nil, .some(.minKey)): 1
        case (.some(.minKey), nil): -1
        case (nil, _): -1
        case (_, nil): 1
        case (.some(let a), .some(let b)): Value.order(a, b)
        }
    }
}

/// `$and`, `$or`, `$not`, `$cond`, `$ifNull`, `$switch`: only what is needed is evaluated.
enum LogicOperators {
    static let table: [String: OperatorEntry] = [
        "$and": .form { (argument, compiler) throws(ServerError) in
            connective(try compiler.compileOperands(argument), stopsAt: false)
        },
        "$or": .form { (argument, compiler) throws(ServerError) in
            connective(try compiler.compileOperands(argument), stopsAt: true)
        },
        "$not": .unary { operands in .bool(!(operands[0]?.truth ?? false)) },
        "$cond": .form(compileCondition),
        "$ifNull": .form(compileIfNull),
        "$switch": .form(compileSwitch),
    ]

    /// A constant at the end that decides makes the others unnecessary, as in MongoDB: they may fail.
    private static func connective(_ operands: [ExpressionTree], stopsAt: Bool) -> ExpressionTree {
        if case .constant(let last) = operands.last, (last?.truth ?? false) == stopsAt {
            return .constant(.bool(stopsAt))
        }
        return .form(Connective(operands: operands, stopsAt: stopsAt))
    }

    private struct Connective: ResumableForm {
        let operands: [ExpressionTree]
        let stopsAt: Bool

        func evaluate(_ reached: inout Int?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            for index in (reached ?? 0)..<operands.count {
                reached = index
                if try (operands[index].evaluate(&scope)?.truth ?? false) == stopsAt { return .bool(stopsAt) }
            }
            return .bool(!stopsAt)
        }
    }

    private struct Condition: ResumableForm, TailForm {
        let test: ExpressionTree
        let then: ExpressionTree
        let otherwise: ExpressionTree

        func evaluate(_ outcome: inout Bool?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let holds = if let outcome { outcome } else { try test.evaluate(&scope)?.truth ?? false }
            outcome = holds
            return holds ? try then.evaluate(&scope) : try otherwise.evaluate(&scope)
        }

        func mappingTails(_ map: (ExpressionTree) -> ExpressionTree) -> any ExpressionForm {
            Condition(test: test, then: map(then), otherwise: map(otherwise))
        }
    }

    @Sendable private static func compileCondition(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument else {
            let operands = try compiler.compileOperands(argument)
            try compiler.checkCount("$cond", operands.count, 3, 3)
            return .form(Condition(test: operands[0], then: operands[1], otherwise: operands[2]))
        }
        for element in document where !["if", "then", "else"].contains(element.key.string) {
            throw ServerError(location: 17083, "Unrecognized parameter to $cond: \(element.key.string)")
        }
        guard let test = document["if"] else { throw ServerError(location: 17080, "Missing 'if' parameter to $cond") }
        guard let then = document["then"] else {
            throw ServerError(location: 17081, "Missing 'then' parameter to $cond")
        }
        guard let otherwise = document["else"] else {
            throw ServerError(location: 17082, "Missing 'else' parameter to $cond")
        }
        return .form(
            Condition(
                test: try compiler.compile(test), then: try compiler.compile(then),
                otherwise: try compiler.compile(otherwise)))
    }

    private struct IfNull: ResumableForm {
        let operands: [ExpressionTree]

        func evaluate(_ reached: inout Int?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            var value: Value?
            for index in (reached ?? 0)..<operands.count {
                reached = index
                value = try operands[index].evaluate(&scope)
                if !isNullish(value) { return value }
            }
            return value
        }
    }

    @Sendable private static func compileIfNull(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let operands = try compiler.compileOperands(argument)
        guard operands.count >= 2 else {
            throw ServerError(
                location: 1_257_300, "$ifNull needs at least two arguments, had: \(operands.count)")
        }
        return .form(IfNull(operands: operands))
    }

    private struct Switch: ResumableForm, TailForm {
        let branches: [(test: ExpressionTree, then: ExpressionTree)]
        let otherwise: ExpressionTree?

        enum State {
            case testing(Int)
            case chosen(Int)
        }

        func evaluate(_ state: inout State?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            if case .chosen(let index) = state { return try branches[index].then.evaluate(&scope) }
            var reached = 0
            if case .testing(let index) = state { reached = index }
            for index in reached..<branches.count {
                state = .testing(index)
                guard try branches[index].test.evaluate(&scope)?.truth ?? false else { continue }
                state = .chosen(index)
                return try branches[index].then.evaluate(&scope)
            }
            state = .testing(branches.count)
            guard let otherwise else {
                throw ServerError(
                    location: 40066,
                    "$switch could not find a matching branch for an input, and no default was specified.")
            }
            return try otherwise.evaluate(&scope)
        }

        func mappingTails(_ map: (ExpressionTree) -> ExpressionTree) -> any ExpressionForm {
            Switch(branches: branches.map { (test: $0.test, then: map($0.then)) }, otherwise: otherwise.map(map))
        }
    }

    @Sendable private static func compileSwitch(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 40060, "$switch requires an object as an argument, found: \(argument.type.operatorName)")
        }
        var branches: [(test: ExpressionTree, then: ExpressionTree)] = []
        var otherwise: ExpressionTree?
        for element in document {
            switch element.key {
            case "branches":
                guard let array = element.value.asArray else {
                    throw ServerError(
                        location: 40061,
                        "$switch expected an array for 'branches', found: \(element.value.type.operatorName)")
                }
                for branch in array { branches.append(try compileBranch(branch.value, compiler)) }
            case "default": otherwise = try compiler.compile(element.value)
            default: throw ServerError(location: 40067, "$switch found an unknown argument: \(element.key.string)")
            }
        }
        let canMatch = branches.contains { branch in
            guard case .constant(let test) = branch.test else { return true }
            return test?.truth ?? false
        }
        guard canMatch || otherwise != nil || branches.isEmpty else {
            throw ServerError(
                location: 40069,
                "Cannot execute a switch statement where all the cases evaluate to false without a default.")
        }
        guard !branches.isEmpty else { throw ServerError(location: 40068, "$switch requires at least one branch.") }
        return .form(Switch(branches: branches, otherwise: otherwise))
    }

    private static func compileBranch(
        _ branch: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> (test: ExpressionTree, then: ExpressionTree) {
        guard let document = branch.asDocument else {
            throw ServerError(
                location: 40062, "$switch expected each branch to be an object, found: \(branch.type.operatorName)")
        }
        for element in document where !(element.key == "case" || element.key == "then") {
            throw ServerError(location: 40063, "$switch found an unknown argument to a branch: \(element.key.string)")
        }
        guard let test = document["case"] else {
            throw ServerError(location: 40064, "$switch requires each branch have a 'case' expression")
        }
        guard let then = document["then"] else {
            throw ServerError(location: 40065, "$switch requires each branch have a 'then' expression.")
        }
        return (try compiler.compile(test), try compiler.compile(then))
    }
}
