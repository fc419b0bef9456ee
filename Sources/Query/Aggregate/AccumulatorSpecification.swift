import BSON
import Core

/// One accumulated field of `$group`: its name, what it takes of each document, and how it starts.
struct AccumulatorSpecification {
    let field: String
    /// What each document gives; nil for `$count`, which takes nothing.
    let expression: Expression?
    let make: () -> any Accumulator

    /// - Parameter takesArrays: whether an array is an operand (in a window) and not a list of operands, of which there
    ///   must be one only.
    init(
        _ element: DocumentView.Element, takesArrays: Bool = false, context: QueryContext
    ) throws(ServerError) {
        field = element.key.string
        guard !field.utf8.contains(UInt8(ascii: ".")) else {
            throw ServerError(location: 40235, "The field name '\(field)' cannot contain '.'")
        }
        guard !element.key.isOperator else {
            throw ServerError(location: 40236, "The field name '\(field)' cannot be an operator name")
        }
        guard let document = element.value.asDocument, let first = document.first, first.key.isOperator else {
            throw ServerError(location: 40234, "The field '\(field)' must be an accumulator object")
        }
        guard document.fieldCount == 1 else {
            throw ServerError(location: 40238, "The field '\(field)' must specify one accumulator")
        }
        let name = first.key.string
        if let make = AccumulatorSpecification.simple[name] {
            guard takesArrays || first.value.type != .array else {
                throw ServerError(location: 40237, "The \(name) accumulator is a unary operator")
            }
            expression = try Expression(first.value, context: context)
            self.make = make
            return
        }
        switch name {
        case "$count":
            guard first.value.type != .array else {
                throw ServerError(location: 40237, "The $count accumulator is a unary operator")
            }
            guard first.value.asDocument?.isEmpty ?? false else {
                throw ServerError(.typeMismatch, "$count takes no arguments, i.e. $count:{}")
            }
            expression = nil
            make = { SumAccumulator() }
        case "$firstN", "$lastN", "$minN", "$maxN":
            (expression, make) = try AccumulatorSpecification.several(name, first.value, context)
        case "$top", "$topN", "$bottom", "$bottomN":
            (expression, make) = try AccumulatorSpecification.ordered(name, first.value, context)
        case "$median", "$percentile":
            let (specification, input) = try PercentileSpecification.parse(name, first.value, context)
            expression = try Expression(input, context: context)
            make = { PercentileAccumulator(specification) }
        default:
            throw MissingOperators.refusal(of: name, in: MissingOperators.accumulators)
                ?? ServerError(location: 15952, "unknown group operator '\(name)'")
        }
    }

    private static let simple: [String: @Sendable () -> any Accumulator] = [
        "$sum": { SumAccumulator() },
        "$avg": { AverageAccumulator() },
        "$min": { ExtremeAccumulator(keepsGreatest: false) },
        "$max": { ExtremeAccumulator(keepsGreatest: true) },
        "$first": { PositionAccumulator(keepsLast: false) },
        "$last": { PositionAccumulator(keepsLast: true) },
        "$push": { PushAccumulator() },
        "$addToSet": { SetAccumulator() },
        "$mergeObjects": { MergeObjectsAccumulator() },
        "$stdDevPop": { StandardDeviationAccumulator(isSample: false) },
        "$stdDevSamp": { StandardDeviationAccumulator(isSample: true) },
    ]

    private typealias Parts = (expression: Expression?, make: () -> any Accumulator)

    private static func argument(
        _ name: String, _ value: ValueView, _ keys: [String]
    ) throws(ServerError) -> DocumentView {
        guard let document = value.asDocument else {
            throw ServerError(
                location: 5_787_900, "specification must be an object; found \(name): \(ValueText.text(value))")
        }
        for element in document where !keys.contains(element.key.string) {
            throw ServerError(location: 5_787_901, "Unknown argument for '\(name)' operator: \(element.key.string)")
        }
        let isOrdered = keys.contains("sortBy")
        let missing: [String: Int32] = [
            "n": isOrdered ? 5_788_003 : 5_787_906, "output": 5_788_004, "sortBy": 5_788_005,
        ]
        for key in keys where document[key] == nil {
            throw ServerError(location: missing[key] ?? 5_787_907, "Missing value for '\(key)' in \(name)")
        }
        return document
    }

    /// A constant count; the `$top` family has a code of its own for what is none.
    private static func count(
        _ document: DocumentView, _ context: QueryContext, isOrdered: Bool = false
    ) throws(ServerError) -> Int {
        guard let value = document["n"] else { return 1 }
        let constant = try Document().withChecked { (root) throws(ServerError) in
            try Expression(value, context: context).evaluate(root: root)
        }
        do throws(ServerError) { return try ArraySelectionOperators.selectionCount(constant) } catch {
            throw isOrdered ? ServerError(location: 7_548_606, error.message) : error
        }
    }

    private static func several(
        _ name: String, _ value: ValueView, _ context: QueryContext
    ) throws(ServerError) -> Parts {
        let document = try argument(name, value, ["n", "input"])
        let count = try count(document, context)
        let expression = try document["input"].map { (input) throws(ServerError) in
            try Expression(input, context: context)
        }
        switch name {
        case "$firstN": return (expression, { PositionListAccumulator(count: count, keepsLast: false) })
        case "$lastN": return (expression, { PositionListAccumulator(count: count, keepsLast: true) })
        case "$minN":
            return (
                expression, { OrderedListAccumulator(count: count, ignoresNull: true, order: { Value.order($0, $1) }) }
            )
        default:
            return (
                expression, { OrderedListAccumulator(count: count, ignoresNull: true, order: { Value.order($1, $0) }) }
            )
        }
    }

    private static func ordered(
        _ name: String, _ value: ValueView, _ context: QueryContext
    ) throws(ServerError) -> Parts {
        let isSingle = !name.hasSuffix("N")
        let document = try argument(name, value, isSingle ? ["output", "sortBy"] : ["n", "output", "sortBy"])
        let count = try count(document, context, isOrdered: true)
        guard let output = document["output"], let sortBy = document["sortBy"]?.asDocument else {
            throw ServerError(
                location: 5_788_005, "expected 'sortBy' to already be an object in the arguments to \(name)")
        }
        // Each document gives the pair of itself, to be compared, and what is shown.
        let pair = Document { writer in
            writer.array("pair") { pair in
                pair.append(string: "$$ROOT")
                pair.append(output)
            }
        }
        let expression = try pair.withChecked { (view) throws(ServerError) -> Expression in
            guard let pair = view.first?.value else { throw ServerError(.internalError, "a written field is missing") }
            return try Expression(pair, context: context)
        }
        let order = try ElementOrder(ValueView(type: .document, pointer: sortBy.base, byteCount: sortBy.byteCount))
        let isReversed = name.hasPrefix("$bottom")
        return (
            expression,
            {
                OrderedListAccumulator(
                    count: count, isSingle: isSingle, isReversed: isReversed,
                    order: { order.order($0.element(0), $1.element(0)) }, shows: { $0.element(1) })
            }
        )
    }
}

extension Value {
    /// An array's element, null when it has none there.
    fileprivate func element(_ index: Int) -> Value {
        guard case .array(let array) = self else { return .null }
        return array[String(index)] ?? .null
    }
}
