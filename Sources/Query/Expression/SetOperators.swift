import BSON
import Core

/// Operators over arrays as sets. Unions and intersections come out in MongoDB's order of values.
enum SetOperators {
    static let table: [String: OperatorEntry] = [
        "$setUnion": .stepwise(0, .max, union),
        "$setIntersection": .stepwise(0, .max, intersection),
        "$setDifference": .stepwise(2, 2, difference),
        "$setEquals": .form(compileEquals),
        "$setIsSubset": .stepwise(2, 2, isSubset),
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

    @Sendable private static func compileEquals(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let operands = try compiler.compileOperands(argument)
        guard operands.count >= 2 else {
            throw ServerError(
                location: 17045, "$setEquals needs at least two arguments had: \(operands.count)")
        }
        for operand in operands {
            guard case .constant(.some(let value)) = operand, value.type != .array else { continue }
            throw ServerError(
                location: 5_887_502,
                "All operands of $setEquals must be arrays. One argument is of type: \(typeName(value))")
        }
        return compiler.fold(.stepwise(equals, operands), operands)
    }

    private static func elements(_ value: Value?, _ code: Int32, _ message: String) throws(ServerError) -> [Value] {
        guard let elements = value?.asArray else { throw ServerError(location: code, message + typeName(value)) }
        return elements
    }

    /// Sorts arrays into sets, in steps, and hands them to `finish`, which goes over each once.
    private final class Sorting: StepwiseWork {
        private var left: [[Value]]
        private var sort: StepwiseSort<Value>?
        private var sets: [[Value]] = []
        private let finish: ([[Value]]) throws(ServerError) -> Value

        init(_ arrays: [[Value]], finish: @escaping ([[Value]]) throws(ServerError) -> Value) {
            left = arrays.reversed()
            self.finish = finish
        }

        func step() throws(ServerError) -> StepwiseProgress {
            if sort == nil {
                guard let next = left.popLast() else { return .value(try finish(sets)) }
                sort = StepwiseSort(next) { Value.order($0, $1) < 0 }
            }
            if sort?.step() == true {
                sets.append(distinct(sort?.elements ?? []))
                sort = nil
            }
            return .more(steps: Limits.evaluationStepsPerLook)
        }

        /// The values of a sorted array, each once.
        private func distinct(_ values: [Value]) -> [Value] {
            var result: [Value] = []
            for value in values {
                if let last = result.last, Value.equal(last, value) { continue }
                result.append(value)
            }
            return result
        }
    }

    /// Goes over two sorted sets side by side: each value with whether it is in the first and in the second.
    private static func merge(_ a: [Value], _ b: [Value], _ visit: (Value, _ inFirst: Bool, _ inSecond: Bool) -> Void) {
        var (i, j) = (0, 0)
        while i < a.count || j < b.count {
            let order = i == a.count ? 1 : j == b.count ? -1 : Value.order(a[i], b[j])
            visit(order <= 0 ? a[i] : b[j], order <= 0, order >= 0)
            if order <= 0 { i += 1 }
            if order >= 0 { j += 1 }
        }
    }

    private static func union(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        var all: [Value] = []
        for operand in operands {
            if isNullish(operand) { return .value(.null) }
            all += try elements(operand, 17043, "All operands of $setUnion must be arrays. One argument is of type: ")
        }
        return .work(Sorting([all]) { (sets) in .array(sets[0]) })
    }

    private static func intersection(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        var arrays: [[Value]] = []
        for operand in operands {
            if isNullish(operand) { return .value(.null) }
            arrays.append(
                try elements(
                    operand, 17047, "All operands of $setIntersection must be arrays. One argument is of type: "))
        }
        return .work(
            Sorting(arrays) { (sets) in
                var result = sets.first ?? []
                for set in sets.dropFirst() {
                    var common: [Value] = []
                    merge(result, set) { value, inFirst, inSecond in if inFirst && inSecond { common.append(value) } }
                    result = common
                }
                return .array(result)
            })
    }

    private static func difference(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .value(.null) }
        let kept = try elements(
            operands[0], 17048, "both operands of $setDifference must be arrays. First argument is of type: ")
        let removed = try elements(
            operands[1], 17049, "both operands of $setDifference must be arrays. Second argument is of type: ")
        return .work(Subtracting(kept, removed))
    }

    /// The values of one array that another has not, each once, in their order.
    private final class Subtracting: StepwiseWork {
        private let kept: [Value]
        private let removed: [Value]
        private var seen: Set<[UInt8]> = []
        private var at = 0
        private var result = ArrayResult()

        init(_ kept: [Value], _ removed: [Value]) {
            self.kept = kept
            self.removed = removed
        }

        func step() throws(ServerError) -> StepwiseProgress {
            let end = min(at + Limits.evaluationStepsPerLook, removed.count + kept.count)
            while at < end {
                let value = at < removed.count ? removed[at] : kept[at - removed.count]
                if seen.insert(GroupKey.bytes(of: value)).inserted, at >= removed.count { try result.append(value) }
                at += 1
            }
            guard at == removed.count + kept.count else { return .more(steps: Limits.evaluationStepsPerLook) }
            return .value(result.finish())
        }
    }

    @Sendable private static func equals(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        var arrays: [[Value]] = []
        for (index, operand) in operands.enumerated() {
            arrays.append(
                try elements(
                    operand, 17044, "All operands of $setEquals must be arrays. \(index + 1)-th argument is of type: "))
        }
        return .work(
            Sorting(arrays) { (sets) in
                .bool(
                    sets.dropFirst().allSatisfy { set in
                        set.count == sets[0].count && zip(set, sets[0]).allSatisfy { Value.equal($0, $1) }
                    })
            })
    }

    private static func isSubset(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        let inner = try elements(
            operands[0], 17046, "both operands of $setIsSubset must be arrays. First argument is of type: ")
        let outer = try elements(
            operands[1], 17042, "both operands of $setIsSubset must be arrays. Second argument is of type: ")
        return .work(
            Sorting([inner, outer]) { (sets) in
                var isSubset = true
                merge(sets[0], sets[1]) { _, inFirst, inSecond in if inFirst && !inSecond { isSubset = false } }
                return .bool(isSubset)
            })
    }
}
