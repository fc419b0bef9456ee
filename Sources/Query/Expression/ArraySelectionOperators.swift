import BSON
import Core

/// `$sortArray`, `$firstN`, `$lastN`, `$minN`, `$maxN`.
enum ArraySelectionOperators {
    static let table: [String: OperatorEntry] = [
        "$sortArray": .form(compileSort),
        "$firstN": selection("$firstN") { Array($0.prefix($1)) },
        "$lastN": selection("$lastN") { Array($0.suffix($1)) },
        "$minN": selection("$minN") { Array(ordered($0).prefix($1)) },
        "$maxN": selection("$maxN") { Array(ordered($0).reversed().prefix($1)) },
    ]

    /// The values that are not null, ascending; equal ones keep their order.
    private static func ordered(_ values: [Value]) -> [Value] {
        stableSorted(values.filter { !isNullish($0) }) { Value.order($0, $1) }
    }

    private static func selection(
        _ name: String, _ select: @escaping @Sendable ([Value], Int) -> [Value]
    ) -> OperatorEntry {
        .named(required: ["n", "input"], optional: []) { (arguments) throws(ServerError) in
            let count = try selectionCount(arguments["n"])
            guard let elements = arguments["input"]?.asArray else {
                throw ServerError(location: 5_788_200, "Input must be an array")
            }
            return .array(select(elements, count))
        }
    }

    /// The `n` of the operators and accumulators that keep several values.
    static func selectionCount(_ value: Value?) throws(ServerError) -> Int {
        guard let number = Number(value), let whole = number.exactInteger else {
            throw ServerError(
                location: 5_787_902, "Value for 'n' must be of integral type, but found \(typeName(value))")
        }
        guard whole > 0 else { throw ServerError(location: 5_787_908, "'n' must be greater than 0, found \(whole)") }
        return Int(min(whole, Int64(Int32.max)))
    }

    /// Sorts the elements in steps.
    private final class Sorting: StepwiseWork {
        private var sort: StepwiseSort<Value>

        init(_ elements: [Value], _ order: ElementOrder) {
            sort = StepwiseSort(elements) { order.order($0, $1) < 0 }
        }

        func step() throws(ServerError) -> StepwiseProgress {
            guard sort.step() else { return .more(steps: Limits.evaluationStepsPerLook) }
            return .value(.array(sort.elements))
        }
    }

    private static func sorted(_ value: Value?, _ order: ElementOrder) throws(ServerError) -> StepwiseResult {
        if isNullish(value) { return .value(.null) }
        guard let elements = value?.asArray else {
            throw ServerError(
                location: 2_942_504,
                "The input argument to $sortArray must be an array, but was of type: \(typeName(value))")
        }
        return .work(Sorting(elements, order))
    }

    @Sendable private static func compileSort(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 2_942_500,
                "$sortArray requires an object as an argument, found: \(argument.type.operatorName)")
        }
        for element in document where !(element.key == "input" || element.key == "sortBy") {
            throw ServerError(location: 2_942_501, "$sortArray found an unknown argument: \(element.key.string)")
        }
        guard let input = document["input"] else {
            throw ServerError(location: 2_942_502, "$sortArray requires 'input' to be specified")
        }
        guard let sortBy = document["sortBy"] else {
            throw ServerError(location: 2_942_503, "$sortArray requires 'sortBy' to be specified")
        }
        try checkOrder(sortBy)
        let order = try ElementOrder(sortBy)
        return .stepwise(
            { (operands) throws(ServerError) in try sorted(operands[0], order) }, [try compiler.compile(input)])
    }
}

extension ArraySelectionOperators {
    /// `$sortArray` has codes of its own for what it cannot sort by.
    fileprivate static func checkOrder(_ sortBy: ValueView) throws(ServerError) {
        if let document = sortBy.asDocument {
            for element in document where element.value.asInteger != 1 && element.value.asInteger != -1 {
                throw ServerError(
                    location: 2_942_505, "$sortArray: the sort order of '\(element.key.string)' must be 1 or -1")
            }
        } else if sortBy.type.isNumber {
            guard sortBy.asInteger == 1 || sortBy.asInteger == -1 else {
                throw ServerError(location: 2_942_506, "$sortArray: 'sortBy' must be 1, -1 or an object")
            }
        } else {
            throw ServerError(
                location: 2_942_507,
                "$sortArray: 'sortBy' must be 1, -1 or an object, found: \(sortBy.type.operatorName)")
        }
    }
}

/// Sorts so that equal elements keep their order.
func stableSorted<T>(_ values: [T], _ order: (T, T) -> Int) -> [T] {
    values.enumerated().sorted { a, b in
        let order = order(a.element, b.element)
        return order != 0 ? order < 0 : a.offset < b.offset
    }.map { $0.element }
}

/// How the elements of one array are sorted, by `$sortArray` and by `$push` with `$sort`: whole, or by paths in them.
struct ElementOrder: Sendable {
    private let keys: [(path: ExpressionPath, isDescending: Bool)]
    /// Direction when whole values are compared.
    private let wholeDescending: Bool?

    /// Takes `1`, `-1` or `{path: 1, …}`.
    init(_ value: ValueView) throws(ServerError) {
        var keys: [(path: ExpressionPath, isDescending: Bool)] = []
        if let document = value.asDocument {
            guard !document.isEmpty else {
                throw ServerError(.badValue, "The sort pattern is empty when it should be a set of fields.")
            }
            for element in document {
                keys.append((try ExpressionPath(element.key.string), try ElementOrder.isDescending(element.value)))
            }
            wholeDescending = nil
        } else {
            wholeDescending = try ElementOrder.isDescending(value)
        }
        self.keys = keys
    }

    private static func isDescending(_ value: ValueView) throws(ServerError) -> Bool {
        switch value.asInteger {
        case 1: return false
        case -1: return true
        default: throw ServerError(.badValue, "The $sort element value must be either 1 or -1")
        }
    }

    func order(_ a: Value, _ b: Value) -> Int {
        if let wholeDescending { return wholeDescending ? Value.order(b, a) : Value.order(a, b) }
        for key in keys {
            let order = Value.order(key.path.resolve(in: a) ?? .null, key.path.resolve(in: b) ?? .null)
            if order != 0 { return key.isDescending ? -order : order }
        }
        return 0
    }
}
