import BSON
import Core

/// Access to elements and search: `$arrayElemAt`, `$first`, `$last`, `$in`, `$indexOfArray`, `$isArray`, `$size`,
/// `$slice`, `$reverseArray`, `$concatArrays`.
enum ArrayOperators {
    static let table: [String: OperatorEntry] = [
        "$arrayElemAt": .binary { (operands) throws(ServerError) in
            try element("$arrayElemAt's first argument", operands[0], operands[1])
        },
        "$first": .unary { (operands) throws(ServerError) in
            try element("$first's argument", operands[0], .int32(0))
        },
        "$last": .unary { (operands) throws(ServerError) in
            try element("$last's argument", operands[0], .int32(-1))
        },
        "$in": .binary(contains),
        "$indexOfArray": .positional(2, 4, index),
        "$isArray": .unary { operands in
            if case .array = operands[0] { .bool(true) } else { .bool(false) }
        },
        "$size": .unary(size),
        "$slice": .positional(2, 3, slice),
        "$reverseArray": .unary(reverse),
        "$concatArrays": .variadic(concatenate),
    ]

    private static func element(_ what: String, _ array: Value?, _ index: Value?) throws(ServerError) -> Value? {
        if isNullish(array) || isNullish(index) { return .null }
        guard let elements = array?.asArray else {
            throw ServerError(location: 28689, "\(what) must be an array, but is \(typeName(array))")
        }
        guard let number = Number(index) else {
            throw ServerError(
                location: 28690, "$arrayElemAt's second argument must be a numeric value, but is \(typeName(index))")
        }
        guard let whole = number.exactInteger, let narrow = Int32(exactly: whole) else {
            throw ServerError(
                location: 28691,
                "$arrayElemAt's second argument must be representable as a 32-bit integer: \(number.doubleValue)")
        }
        let at = narrow < 0 ? elements.count + Int(narrow) : Int(narrow)
        // Spelled out: a bare nil beside a Value would be taken for null.
        return elements.indices.contains(at) ? elements[at] : Value?.none
    }

    private static func contains(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let elements = operands[1]?.asArray else {
            throw ServerError(
                location: 40081, "$in requires an array as a second argument, found: \(typeName(operands[1]))")
        }
        guard let wanted = operands[0] else { return .bool(false) }
        return .bool(elements.contains { Value.equal($0, wanted) })
    }

    private static func index(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard let elements = operands[0]?.asArray else {
            throw ServerError(
                location: 40090,
                "$indexOfArray requires an array as a first argument, found: \(typeName(operands[0]))")
        }
        let start =
            operands.count > 2
            ? try StringSearchOperators.bound("$indexOfArray", operands[2], "starting") : 0
        let end =
            operands.count > 3
            ? min(elements.count, try StringSearchOperators.bound("$indexOfArray", operands[3], "ending"))
            : elements.count
        guard let wanted = operands[1], start < end else { return .int32(-1) }
        for at in start..<end where Value.equal(elements[at], wanted) {
            return .int32(Int32(truncatingIfNeeded: at))
        }
        return .int32(-1)
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
        guard let elements = operands[0]?.asArray else {
            throw ServerError(
                location: 28724, "First argument to $slice must be an array, but is of type: \(typeName(operands[0]))")
        }
        let second = try sliceBound(operands[1], "Second", 28725, 28726)
        guard operands.count > 2 else {
            let count = min(elements.count, Int(second.magnitude))
            return .array(Array(second >= 0 ? elements.prefix(count) : elements.suffix(count)))
        }
        let count = try sliceBound(operands[2], "Third", 28727, 28728)
        guard count > 0 else {
            throw ServerError(location: 28729, "Third argument to $slice must be positive: \(count)")
        }
        let start = second < 0 ? max(0, elements.count + second) : min(second, elements.count)
        return .array(Array(elements[start..<min(elements.count, start + count)]))
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

    private static func concatenate(_ operands: [Value?]) throws(ServerError) -> Value? {
        var result: [Value] = []
        for operand in operands {
            if isNullish(operand) { return .null }
            guard let elements = operand?.asArray else {
                throw ServerError(location: 28664, "$concatArrays only supports arrays, not \(typeName(operand))")
            }
            result += elements
        }
        return .array(result)
    }
}
