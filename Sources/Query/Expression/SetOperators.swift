import BSON
import Core

/// Operators over arrays as sets. Unions and intersections come out in MongoDB's order of values.
enum SetOperators {
    static let table: [String: OperatorEntry] = [
        "$setUnion": .variadic(union),
        "$setIntersection": .variadic(intersection),
        "$setDifference": .binary(difference),
        "$setEquals": .positional(2, .max, equals),
        "$setIsSubset": .binary(isSubset),
        "$allElementsTrue": .unary { (operands) throws(ServerError) in
            .bool(
                try elements(operands[0], 17040, "$allElementsTrue's argument must be an array, but is ").allSatisfy {
                    $0.truth
                })
        },
        "$anyElementTrue": .unary { (operands) throws(ServerError) in
            .bool(
                try elements(operands[0], 17041, "$anyElementTrue's argument must be an array, but is ").contains {
                    $0.truth
                })
        },
    ]

    private static func elements(_ value: Value?, _ code: Int32, _ message: String) throws(ServerError) -> [Value] {
        guard let elements = value?.asArray else { throw ServerError(location: code, message + typeName(value)) }
        return elements
    }

    /// The values in order, each once.
    private static func sortedSet(_ values: [Value]) -> [Value] {
        var result: [Value] = []
        for value in values.sorted(by: { Value.order($0, $1) < 0 }) {
            if let last = result.last, Value.equal(last, value) { continue }
            result.append(value)
        }
        return result
    }

    /// Whether a sorted set holds the value.
    private static func contains(_ set: [Value], _ value: Value) -> Bool {
        var (low, high) = (0, set.count)
        while low < high {
            let middle = (low + high) / 2
            let order = Value.order(set[middle], value)
            if order == 0 { return true }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return false
    }

    private static func union(_ operands: [Value?]) throws(ServerError) -> Value? {
        var all: [Value] = []
        for operand in operands {
            if isNullish(operand) { return .null }
            all += try elements(operand, 17043, "All operands of $setUnion must be arrays. One argument is of type: ")
        }
        return .array(sortedSet(all))
    }

    private static func intersection(_ operands: [Value?]) throws(ServerError) -> Value? {
        var result: [Value]?
        for operand in operands {
            if isNullish(operand) { return .null }
            let set = sortedSet(
                try elements(
                    operand, 17047, "All operands of $setIntersection must be arrays. One argument is of type: "))
            result = result?.filter { contains(set, $0) } ?? set
        }
        return .array(result ?? [])
    }

    private static func difference(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        let kept = try elements(
            operands[0], 17048, "both operands of $setDifference must be arrays. First argument is of type: ")
        let removed = sortedSet(
            try elements(
                operands[1], 17049, "both operands of $setDifference must be arrays. Second argument is of type: "))
        var result: [Value] = []
        for value in kept where !contains(removed, value) {
            if !result.contains(where: { Value.equal($0, value) }) { result.append(value) }
        }
        return .array(result)
    }

    private static func equals(_ operands: [Value?]) throws(ServerError) -> Value? {
        var first: [Value]?
        for (index, operand) in operands.enumerated() {
            let set = sortedSet(
                try elements(
                    operand, 17044, "All operands of $setEquals must be arrays. \(index + 1)-th argument is of type: "))
            guard let wanted = first else {
                first = set
                continue
            }
            guard wanted.count == set.count, zip(wanted, set).allSatisfy({ Value.equal($0, $1) }) else {
                return .bool(false)
            }
        }
        return .bool(true)
    }

    private static func isSubset(_ operands: [Value?]) throws(ServerError) -> Value? {
        let inner = try elements(
            operands[0], 17046, "both operands of $setIsSubset must be arrays. First argument is of type: ")
        let outer = sortedSet(
            try elements(
                operands[1], 17042, "both operands of $setIsSubset must be arrays. Second argument is of type: "))
        return .bool(inner.allSatisfy { contains(outer, $0) })
    }
}
