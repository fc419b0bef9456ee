import BSON
import Core

/// `$median`, `$percentile`: of the numbers among the values.
final class PercentileAccumulator: Accumulator {
    private let specification: PercentileSpecification
    private var sketch = PercentileSketch()

    init(_ specification: PercentileSpecification) { self.specification = specification }

    func add(_ value: Value?) throws(ServerError) {
        if let number = Number(value) { sketch.add(number.doubleValue) }
    }

    var memoryBytes: Int { sketch.memoryBytes }
    var partial: Value? { sketch.count > 0 ? .document(sketch.state) : nil }
    func merge(_ partial: Value) throws(ServerError) {
        guard case .document(let state) = partial, sketch.merge(state) else { throw malformedPartial() }
    }

    var result: Value? {
        let values = sketch.percentiles(specification.fractions).map { $0.map { Value.double($0) } ?? .null }
        return specification.isMedian ? values[0] : .array(values)
    }
}

/// What `$median` and `$percentile` say besides their input.
struct PercentileSpecification: Sendable {
    let isMedian: Bool
    /// 0 to 1.
    let fractions: [Double]

    /// The checked argument and its `input`.
    static func parse(
        _ name: String, _ argument: ValueView, _ context: QueryContext
    ) throws(ServerError) -> (specification: PercentileSpecification, input: ValueView) {
        let isMedian = name == "$median"
        guard let document = argument.asDocument else {
            let code: Int32 = isMedian ? 7_436_100 : 7_429_703
            throw ServerError(
                location: code, "specification must be an object; found \(name) :\(ValueText.text(argument))")
        }
        let known = isMedian ? ["input", "method"] : ["input", "method", "p"]
        for element in document where !known.contains(element.key.string) {
            throw ServerError(location: 40415, "BSON field '\(name).\(element.key.string)' is an unknown field.")
        }
        for key in known where document[key] == nil {
            throw ServerError(
                location: 40414, "BSON field '\(name).\(key)' is missing but a required field")
        }
        guard let input = document["input"], let method = document["method"] else {
            throw ServerError(location: 40414, "BSON field '\(name).input' is missing but a required field")
        }
        guard let methodName = method.asString else {
            throw ServerError(
                .typeMismatch,
                "BSON field '\(name).method' is the wrong type '\(method.type.operatorName)', expected type 'string'")
        }
        guard methodName == "approximate" else {
            throw ServerError(
                .badValue, "Currently only 'approximate' can be used as percentile 'method'.")
        }
        let fractions = isMedian ? [0.5] : try fractions(document["p"], context)
        return (PercentileSpecification(isMedian: isMedian, fractions: fractions), input)
    }

    /// `p`: an array of constants.
    private static func fractions(_ value: ValueView?, _ context: QueryContext) throws(ServerError) -> [Double] {
        guard let value else { return [] }
        let expression = try Expression(value, context: context)
        guard let constant = expression.constantValue, let list = constant?.asArray, !list.isEmpty else {
            throw ServerError(
                location: 7_750_301,
                "The $percentile 'p' field must be an array of constant values, but found value: "
                    + ValueText.text(value))
        }
        var fractions: [Double] = []
        for element in list {
            guard let number = Number(element) else {
                throw ServerError(
                    location: 7_750_302,
                    "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: "
                        + ValueText.text(element))
            }
            guard (0...1).contains(number.doubleValue) else {
                throw ServerError(
                    location: 7_750_303,
                    "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: "
                        + ValueText.text(element))
            }
            fractions.append(number.doubleValue)
        }
        return fractions
    }
}

/// The expressions of the same names: of the numbers in an array, or of one number.
enum PercentileOperators {
    static let table: [String: OperatorEntry] = [
        "$median": .form { (argument, compiler) throws(ServerError) in try compile("$median", argument, compiler) },
        "$percentile": .form { (argument, compiler) throws(ServerError) in
            try compile("$percentile", argument, compiler)
        },
    ]

    private static func compile(
        _ name: String, _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let (specification, input) = try PercentileSpecification.parse(name, argument, compiler.context)
        let operand = try compiler.compile(input)
        let function: OperatorFunction = { (operands) throws(ServerError) in
            let accumulator = PercentileAccumulator(specification)
            for value in operands[0]?.asArray ?? [operands[0] ?? .null] { try accumulator.add(value) }
            return accumulator.result ?? .null
        }
        return compiler.fold(.call(function, [operand]), [operand])
    }
}
