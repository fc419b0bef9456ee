import BSON
import Core

/// Building and reshaping arrays: `$range`, `$zip`, `$arrayToObject`, `$objectToArray`.
enum ArrayShapeOperators {
    static let table: [String: OperatorEntry] = [
        "$range": .stepwise(2, 3, range),
        "$zip": .form(compileZip),
        "$arrayToObject": .unary(arrayToObject),
        "$objectToArray": .unary(objectToArray),
    ]

    private static func range(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        let start = try rangeBound(operands[0], "starting value", 34443, 34444)
        let end = try rangeBound(operands[1], "ending value", 34445, 34446)
        let step = operands.count > 2 ? try rangeBound(operands[2], "step value", 34447, 34448) : 1
        guard step != 0 else { throw ServerError(location: 34449, "$range requires a non-zero step value") }
        // All three fit 32 bits.
        let count = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step
        // An element takes its type byte, its number in digits, a terminator and four bytes.
        guard count * 8 <= Limits.expressionValueBytesMax else {
            throw ServerError(.exceededMemoryLimit, "$range would use too much memory: \(count) elements")
        }
        return .work(Counting(at: start, end: end, stride: step))
    }

    /// Writes the numbers of a range.
    private final class Counting: StepwiseWork {
        private var at: Int
        private let end: Int
        private let stride: Int
        private var result = ArrayResult()

        init(at: Int, end: Int, stride: Int) {
            self.at = at
            self.end = end
            self.stride = stride
        }

        func step() throws(ServerError) -> StepwiseProgress {
            for _ in 0..<Limits.evaluationStepsPerLook {
                guard stride > 0 ? at < end : at > end else { return .value(result.finish()) }
                try result.append(.int32(Int32(truncatingIfNeeded: at)))
                at += stride
            }
            return .more(steps: Limits.evaluationStepsPerLook)
        }
    }

    private static func rangeBound(
        _ value: Value?, _ what: String, _ notNumber: Int32, _ notWhole: Int32
    ) throws(ServerError) -> Int {
        guard let number = Number(value) else {
            throw ServerError(
                location: notNumber, "$range requires a numeric \(what), found value of type: \(typeName(value))")
        }
        guard let whole = number.exactInteger, let narrow = Int32(exactly: whole) else {
            throw ServerError(
                location: notWhole,
                "$range requires a \(what) that can be represented as a 32-bit integer, found value: "
                    + NumberText.double(number.doubleValue))
        }
        return Int(narrow)
    }

    // MARK: $zip

    /// Writes the rows of a `$zip`.
    private final class Zipping: StepwiseWork {
        private var columns: [ElementCursor]
        private let fill: [Value]
        private let useLongest: Bool
        private var result = ArrayResult()

        init(_ columns: [Document], fill: [Value], useLongest: Bool) {
            self.columns = columns.map { ElementCursor($0) }
            self.fill = fill
            self.useLongest = useLongest
        }

        func step() throws(ServerError) -> StepwiseProgress {
            for _ in 0..<Limits.evaluationStepsPerLook / 4 {
                let cells = columns.indices.map { columns[$0].next() }
                let isOver = useLongest ? cells.allSatisfy { $0 == nil } : cells.contains { $0 == nil }
                if isOver { return .value(result.finish()) }
                let row = cells.enumerated().map { index, cell in
                    cell ?? (index < fill.count ? fill[index] : .null)
                }
                try result.append(.array(row))
            }
            return .more(steps: Limits.evaluationStepsPerLook)
        }
    }

    private static func zip(_ operands: [Value?], count: Int, useLongest: Bool) throws(ServerError) -> StepwiseResult {
        var columns: [Document] = []
        for value in operands[..<count] {
            if isNullish(value) { return .value(.null) }
            guard case .array(let column) = value else {
                throw ServerError(
                    location: 34468, "$zip found a non-array expression in input: \(typeName(value))")
            }
            columns.append(column)
        }
        return .work(Zipping(columns, fill: operands[count...].map { $0 ?? .null }, useLongest: useLongest))
    }

    @Sendable private static func compileZip(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 34460, "$zip only supports an object as an argument, found \(argument.type.operatorName)")
        }
        var inputs: [ExpressionTree] = []
        var defaults: [ExpressionTree] = []
        var useLongest = false
        for element in document {
            switch element.key {
            case "inputs":
                guard element.value.type == .array else {
                    throw ServerError(
                        location: 34461,
                        "inputs must be an array of expressions, found \(element.value.type.operatorName)")
                }
                inputs = try compiler.compileOperands(element.value)
            case "defaults":
                guard element.value.type == .array else {
                    throw ServerError(
                        location: 34462,
                        "defaults must be an array of expressions, found \(element.value.type.operatorName)")
                }
                defaults = try compiler.compileOperands(element.value)
            case "useLongestLength":
                guard let flag = element.value.asBool else {
                    throw ServerError(
                        location: 34463, "useLongestLength must be a bool, found \(element.value.type.operatorName)")
                }
                useLongest = flag
            default: throw ServerError(location: 34464, "$zip found an unknown argument: \(element.key.string)")
            }
        }
        guard !inputs.isEmpty else { throw ServerError(location: 34465, "$zip requires at least one input array") }
        guard useLongest || defaults.isEmpty else {
            throw ServerError(
                location: 34466, "cannot specify defaults unless useLongestLength is true")
        }
        guard defaults.isEmpty || defaults.count == inputs.count else {
            throw ServerError(location: 34467, "defaults and inputs must have the same length")
        }
        let (count, longest) = (inputs.count, useLongest)
        return .stepwise(
            { (operands) throws(ServerError) in try zip(operands, count: count, useLongest: longest) },
            inputs + defaults)
    }

    // MARK: $arrayToObject, $objectToArray

    private static func arrayToObject(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard let elements = operands[0]?.asArray else {
            throw ServerError(
                location: 40386, "$arrayToObject requires an array input, found: \(typeName(operands[0]))")
        }
        var fields = OrderedFields()
        for element in elements {
            let (key, value) = try keyAndValue(element)
            guard !key.utf8.contains(0) else {
                throw ServerError(location: 4_940_400, "Key field cannot contain an embedded null byte")
            }
            fields[key] = value
        }
        return .document(fields.document)
    }

    private static func keyAndValue(_ element: Value) throws(ServerError) -> (String, Value) {
        switch element {
        case .array:
            let pair = element.asArray ?? []
            guard pair.count == 2 else {
                throw ServerError(
                    location: 40397,
                    "$arrayToObject requires an array of size 2 arrays,found array of size: \(pair.count)")
            }
            guard case .string(let key) = pair[0] else {
                throw ServerError(
                    location: 40395,
                    "$arrayToObject requires an array of key-value pairs, where the key must be of type string. "
                        + "Found key type: \(typeName(pair[0]))")
            }
            return (key, pair[1])
        case .document(let document):
            guard document.withView({ $0.fieldCount }) == 2 else {
                throw ServerError(
                    location: 40392,
                    "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys")
            }
            guard let key = document["k"], let value = document["v"] else {
                throw ServerError(
                    location: 40393,
                    "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys")
            }
            guard case .string(let name) = key else {
                throw ServerError(
                    location: 40394,
                    "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be of type "
                        + "string. Found type: \(typeName(key))")
            }
            return (name, value)
        default:
            throw ServerError(
                location: 40398, "Unrecognised input type format for $arrayToObject: \(typeName(element))")
        }
    }

    private static func objectToArray(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) { return .null }
        guard case .document(let document) = operands[0] else {
            throw ServerError(
                location: 40390, "$objectToArray requires a document input, found: \(typeName(operands[0]))")
        }
        return .array(document.fields.map { .document(["k": .string($0.key), "v": $0.value]) })
    }
}

/// Fields in the order in which they were first set, found by name in constant time.
struct OrderedFields {
    private var names: [String] = []
    private var values: [Value?] = []
    private var indexes: [[UInt8]: Int] = [:]

    init() {}

    init(_ document: Document) { for field in document.fields { self[field.key] = field.value } }

    subscript(name: String) -> Value? {
        get { indexes[Array(name.utf8)].flatMap { values[$0] } }
        set {
            if let index = indexes[Array(name.utf8)] {
                values[index] = newValue
            } else if let newValue {
                indexes[Array(name.utf8)] = names.count
                names.append(name)
                values.append(newValue)
            }
        }
    }

    var document: Document {
        Document { writer in
            for (name, value) in Swift.zip(names, values) { if let value { writer.append(name, value) } }
        }
    }
}
