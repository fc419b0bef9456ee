import BSON
import Core

/// Access to elements and search: `$arrayElemAt`, `$first`, `$last`, `$in`, `$indexOfArray`, `$isArray`, `$size`,
/// `$slice`, `$reverseArray`, `$concatArrays`.
enum ArrayOperators {
    static let table: [String: OperatorEntry] = [
        "$arrayElemAt": .form { (argument, compiler) throws(ServerError) in
            let operands = try compiler.compileOperands(argument)
            try compiler.checkCount("$arrayElemAt", operands.count, 2, 2)
            return compiler.fold(
                .form(ElementAt(what: "$arrayElemAt's first argument", array: operands[0], index: operands[1])),
                operands
            )
        },
        "$first": .form { (argument, compiler) throws(ServerError) in
            try compileEnd("$first", index: 0, argument, compiler)
        },
        "$last": .form { (argument, compiler) throws(ServerError) in
            try compileEnd("$last", index: -1, argument, compiler)
        },
        "$in": .form { (argument, compiler) throws(ServerError) in
            let operands = try compiler.compileOperands(argument)
            try compiler.checkCount("$in", operands.count, 2, 2)
            return compiler.fold(.form(Membership(operands: operands)), operands)
        },
        "$indexOfArray": .positional(2, 4, index),
        "$isArray": .unary { operands in
            if case .array = operands[0] { .bool(true) } else { .bool(false) }
        },
        "$size": .unary(size),
        "$slice": .positional(2, 3, slice),
        "$reverseArray": .unary(reverse),
        "$concatArrays": .form(Concatenate<ConcatArrays>.compile),
    ]

    private static func compileEnd(
        _ name: String, index: Int32, _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let operands = try compiler.compileOperands(argument)
        try compiler.checkCount(name, operands.count, 1, 1)
        let form = ElementAt(what: "\(name)'s argument", array: operands[0], index: .constant(.int32(index)))
        return compiler.fold(.form(form), operands)
    }

    /// `$arrayElemAt`, `$first`, `$last`. A form, because loops look into one array again and again.
    private struct ElementAt: ResumableForm {
        let what: String
        let array: ExpressionTree
        let index: ExpressionTree

        func evaluate(_ values: inout [Value?]?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let operands = if let values { values } else { try scope.evaluate([array, index]) }
            values = operands
            if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
            guard case .array(let array) = operands[0] else {
                throw ServerError(location: 28689, "\(what) must be an array, but is \(typeName(operands[0]))")
            }
            guard let number = Number(operands[1]) else {
                throw ServerError(
                    location: 28690,
                    "$arrayElemAt's second argument must be a numeric value, but is \(typeName(operands[1]))")
            }
            guard let whole = number.exactInteger, let narrow = Int32(exactly: whole) else {
                throw ServerError(
                    location: 28691,
                    "$arrayElemAt's second argument must be representable as a 32-bit integer: \(number.doubleValue)")
            }
            return try scope.element(array, at: Int(narrow))
        }
    }

    /// `$in`.
    private struct Membership: ResumableForm {
        let operands: [ExpressionTree]

        func evaluate(_ values: inout [Value?]?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let operands = if let values { values } else { try scope.evaluate(operands) }
            values = operands
            guard case .array(let array) = operands[1] else {
                throw ServerError(
                    location: 40081, "$in requires an array as a second argument, found: \(typeName(operands[1]))")
            }
            guard let wanted = operands[0] else { return .bool(false) }
            return .bool(try scope.contains(array, wanted))
        }
    }

    private static func index(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard case .array(let array) = operands[0] else {
            throw ServerError(
                location: 40090,
                "$indexOfArray requires an array as a first argument, found: \(typeName(operands[0]))")
        }
        let start =
            operands.count > 2
            ? try StringSearchOperators.bound("$indexOfArray", operands[2], "starting") : 0
        let end =
            operands.count > 3 ? try StringSearchOperators.bound("$indexOfArray", operands[3], "ending") : Int.max
        guard let wanted = operands[1], start < end else { return .int32(-1) }
        return .int32(Int32(clamping: array.firstIndex(of: wanted, in: start..<end) ?? -1))
    }

    private static func size(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard case .array(let array) = operands[0] else {
            throw ServerError(
                location: 17124, "The argument to $size must be an array, but was of type: \(typeName(operands[0]))")
        }
        return .int32(Int32(truncatingIfNeeded: array.withView { $0.fieldCount }))
    }

    private static func slice(_ operands: [Value?]) throws(ServerError) -> Value? {
        if operands.contains(where: { isNullish($0) }) { return .null }
        guard case .array(let array) = operands[0] else {
            throw ServerError(
                location: 28724, "First argument to $slice must be an array, but is of type: \(typeName(operands[0]))")
        }
        let second = try sliceBound(operands[1], "Second", 28725, 28726)
        var count = Int.max
        if operands.count > 2 {
            count = try sliceBound(operands[2], "Third", 28727, 28728)
            guard count > 0 else {
                throw ServerError(location: 28729, "Third argument to $slice must be positive: \(count)")
            }
        }
        return .array(array.slice(second, count, isPrefix: operands.count == 2))
    }

    private static func sliceBound(
        _ value: Value?, _ which: String, _ notNumber: Int32, _ notWhole: Int32
    ) throws(ServerError) -> Int {
        guard let number = Number(value) else {
            throw ServerError(
                location: notNumber,
                "\(which) argument to $slice must be a numeric value, but is of type: \(typeName(value))")
        }
        guard let whole = number.exactInteger, let narrow = Int32(exactly: whole) else {
            throw ServerError(
                location: notWhole,
                "\(which) argument to $slice can't be represented as a 32-bit integer: \(number.doubleValue)")
        }
        return Int(narrow)
    }

    private static func reverse(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard let elements = operands[0]?.asArray else {
            throw ServerError(
                location: 34435,
                "The argument to $reverseArray must be an array, but was of type: \(typeName(operands[0]))")
        }
        return .array(Array(elements.reversed()))
    }
}

extension Document {
    /// Elements of an array: `count` of them from `start` on, which counts from the end when it is negative; as a
    /// prefix, the first `start` ones or the last.
    fileprivate func slice(_ start: Int, _ count: Int, isPrefix: Bool) -> Document {
        withView { view in
            let total = view.fieldCount
            let range: Range<Int>
            if isPrefix {
                range = start >= 0 ? 0..<min(start, total) : max(0, total + start)..<total
            } else {
                let first = start < 0 ? max(0, total + start) : min(start, total)
                range = first..<(first + min(count, total - first))
            }
            let buffer = ByteBuffer()
            var array = ArrayWriter(startingIn: buffer)
            var index = 0
            for element in view {
                if index >= range.upperBound { break }
                if index >= range.lowerBound { array.append(element.value) }
                index += 1
            }
            array.finish()
            return Document(trusted: buffer.toArray())
        }
    }
}
