import BSON
import Core

/// One field that `$setWindowFields` computes.
struct WindowOutput {
    let path: String
    let frame: WindowFrame
    /// What the function is given of each document; nil when it needs nothing.
    let expression: Expression?
    let make: () -> any WindowFunction
}

/// Reads one field of the `output` of `$setWindowFields`.
struct WindowFunctionCompiler {
    let context: QueryContext
    /// By which the stage sorts; nil when it does not.
    let sort: SortPattern?

    private typealias Parts = (frame: WindowFrame, expression: Expression?, make: () -> any WindowFunction)

    /// Functions of a document's place: they take no argument and no window.
    private static let ranks: [String: RankFunction.Kind] = [
        "$rank": .rank, "$denseRank": .denseRank, "$documentNumber": .documentNumber,
    ]
    /// Accumulators of `$group` that are window functions too.
    private static let accumulators: Set<String> = [
        "$sum", "$avg", "$min", "$max", "$first", "$last", "$push", "$addToSet", "$stdDevPop", "$stdDevSamp", "$count",
        "$firstN", "$lastN", "$minN", "$maxN", "$top", "$topN", "$bottom", "$bottomN", "$median", "$percentile",
    ]

    private static var furtherArgument: ServerError {
        ServerError(location: 5_371_601, "Rank style window functions take no other arguments")
    }

    func compile(_ element: DocumentView.Element) throws(ServerError) -> WindowOutput {
        let path = element.key.string
        guard let document = element.value.asDocument else {
            throw ServerError(.failedToParse, "The field '\(path)' must be an object")
        }
        var window: ValueView?
        var function: DocumentView.Element?
        for part in document {
            if part.key == "window" {
                window = part.value
                continue
            }
            guard part.key.isOperator, function == nil else {
                let isRank = document.contains { WindowFunctionCompiler.ranks[$0.key.string] != nil }
                throw isRank
                    ? WindowFunctionCompiler.furtherArgument
                    : ServerError(
                        .failedToParse,
                        "Window function found an unknown argument: '\(part.key.string)' in the field '\(path)'")
            }
            function = part
        }
        guard let function else {
            throw ServerError(.failedToParse, "Expected a $-prefixed window function in the field '\(path)'")
        }
        let parts = try parts(function.key.string, function.value, window)
        return WindowOutput(path: path, frame: parts.frame, expression: parts.expression, make: parts.make)
    }

    private func parts(_ name: String, _ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        if let kind = WindowFunctionCompiler.ranks[name] { return try rank(kind, argument, window) }
        switch name {
        case "$shift": return try shift(argument, window)
        case "$expMovingAvg": return try movingAverage(argument, window)
        case "$linearFill", "$locf": return try fill(name, argument, window)
        case "$derivative", "$integral": return try slope(name, argument, window)
        case "$covariancePop", "$covarianceSamp":
            let isSample = name == "$covarianceSamp"
            return (
                try frame(window), try Expression(argument, context: context), { SlidingCovariance(isSample: isSample) }
            )
        default:
            guard WindowFunctionCompiler.accumulators.contains(name) else {
                throw ServerError(.failedToParse, "Unrecognized window function, \(name)")
            }
            return try accumulator(name, argument, window)
        }
    }

    private func frame(_ window: ValueView?) throws(ServerError) -> WindowFrame {
        guard let window else { return .whole }
        return try WindowFrame(window, sort: sort)
    }

    private func refuse(_ window: ValueView?, _ name: String) throws(ServerError) {
        guard window == nil else {
            throw ServerError(.failedToParse, "\(name) does not accept a 'window' field")
        }
    }

    private func arguments(
        _ name: String, _ value: ValueView, _ keys: [String]
    ) throws(ServerError) -> DocumentView {
        guard let document = value.asDocument else {
            throw ServerError(.failedToParse, "Argument to \(name) must be an object")
        }
        for element in document where !keys.contains(element.key.string) {
            throw ServerError(.failedToParse, "\(name) got unexpected argument: \(element.key.string)")
        }
        return document
    }

    private func required(_ name: String, _ document: DocumentView, _ key: String) throws(ServerError) -> ValueView {
        guard let value = document[key] else {
            throw ServerError(.failedToParse, "\(name) requires an '\(key)' expression")
        }
        return value
    }

    // MARK: Accumulators

    private func accumulator(_ name: String, _ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        if name == "$count", argument.asDocument?.isEmpty != true {
            throw ServerError(.failedToParse, "$count only accepts an empty object as input")
        }
        let frame = try frame(window)
        let written = Document { writer in
            writer.document("x") { $0.append(name, argument) }
        }
        let specification = try written.withChecked { (view) throws(ServerError) -> AccumulatorSpecification in
            guard let element = view.first else { throw ServerError(.internalError, "a written field is missing") }
            return try AccumulatorSpecification(element, takesArrays: true, context: context)
        }
        let expression = specification.expression
        // A window that ends with the partition has left all of it behind: nothing has to go out again.
        if frame.isOpenBelow {
            if name == "$count" { return (frame, nil, { SlidingCount() }) }
            return (frame, expression, { GrowingWindow(specification.make()) })
        }
        switch name {
        case "$sum": return (frame, expression, { SlidingSum(isAverage: false) })
        case "$avg": return (frame, expression, { SlidingSum(isAverage: true) })
        case "$min": return (frame, expression, { SlidingExtreme(keepsGreatest: false) })
        case "$max": return (frame, expression, { SlidingExtreme(keepsGreatest: true) })
        case "$first": return (frame, expression, { SlidingList(.first) })
        case "$last": return (frame, expression, { SlidingList(.last) })
        case "$push": return (frame, expression, { SlidingList(.all) })
        case "$addToSet": return (frame, expression, { SlidingSet() })
        case "$stdDevPop": return (frame, expression, { SlidingDeviation(isSample: false) })
        case "$stdDevSamp": return (frame, expression, { SlidingDeviation(isSample: true) })
        case "$count": return (frame, nil, { SlidingCount() })
        default: return (frame, expression, { RepeatedWindow(specification.make) })
        }
    }

    // MARK: Functions of the order

    private func rank(
        _ kind: RankFunction.Kind, _ argument: ValueView, _ window: ValueView?
    ) throws(ServerError) -> Parts {
        guard argument.asDocument?.isEmpty == true else {
            throw ServerError(location: 5_371_603, "Rank style window functions take no arguments: {}")
        }
        guard window == nil else {
            throw WindowFunctionCompiler.furtherArgument
        }
        guard sort?.pattern.fields.count == 1 else {
            throw ServerError(
                location: 5_371_602,
                "Rank style window functions must be specified with a top level sortBy expression with exactly one "
                    + "element")
        }
        return (.running, nil, { RankFunction(kind) })
    }

    private func shift(_ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        try refuse(window, "$shift")
        let document = try arguments("$shift", argument, ["output", "by", "default"])
        guard sort != nil else { throw ServerError(.failedToParse, "'$shift' requires a sortBy") }
        let output = try Expression(try required("$shift", document, "output"), context: context)
        guard let distance = try required("$shift", document, "by").asInteger, let by = Int32(exactly: distance) else {
            throw ServerError(.failedToParse, "'$shift:by' field must be an integer")
        }
        var otherwise: Value?
        if let value = document["default"] {
            guard case .constant(let constant) = try Expression(value, context: context).node else {
                throw ServerError(.failedToParse, "'$shift:default' expression must yield a constant value.")
            }
            otherwise = constant
        }
        let constant = otherwise
        return (
            .documents(.distance(Int(by)), .distance(Int(by))), output, { SlidingList(.first, otherwise: constant) }
        )
    }

    private func movingAverage(_ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        let name = "$expMovingAvg"
        try refuse(window, name)
        let document = try arguments(name, argument, ["input", "N", "alpha"])
        guard sort != nil else { throw ServerError(.failedToParse, "\(name) requires an explicit 'sortBy'") }
        let input = try Expression(try required(name, document, "input"), context: context)
        let alpha: Number
        switch (document["N"], document["alpha"]) {
        case (let count?, nil):
            guard let count = count.asInteger else {
                throw ServerError(.failedToParse, "'N' field must be an integer")
            }
            guard count > 0 else { throw ServerError(.failedToParse, "'N' must be greater than zero. Got \(count)") }
            alpha = Number.divide(.int32(2), .double(Double(count) + 1))
        case (nil, let value?):
            guard let number = Number(Value(value)) else {
                throw ServerError(.failedToParse, "'alpha' must be a number")
            }
            guard number.doubleValue > 0, number.doubleValue < 1 else {
                throw ServerError(.failedToParse, "'alpha' must be between 0 and 1 (exclusive)")
            }
            alpha = number
        default: throw ServerError(.failedToParse, "\(name) requires exactly one of 'N' and 'alpha'")
        }
        return (.running, input, { MovingAverage(alpha: alpha) })
    }

    private func fill(_ name: String, _ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        try refuse(window, name)
        let expression = try Expression(argument, context: context)
        guard name == "$linearFill" else { return (.running, expression, { LastValue() }) }
        guard sort?.pattern.fields.count == 1 else {
            throw ServerError(
                location: 605_001,
                "\(name) must be specified with a top level sortBy expression with exactly one element")
        }
        return (.upToValue, expression, { LinearFill() })
    }

    private func slope(_ name: String, _ argument: ValueView, _ window: ValueView?) throws(ServerError) -> Parts {
        let isIntegral = name == "$integral"
        let document = try arguments(name, argument, ["input", "unit"])
        let input = try Expression(try required(name, document, "input"), context: context)
        var unit: DateUnit?
        if let value = document["unit"] {
            let read = try WindowFrame.unit(value)
            guard read.fixedMillis != nil else {
                throw ServerError(.failedToParse, "unit must be 'week' or smaller")
            }
            unit = read
        }
        guard sort?.pattern.fields.count == 1 else {
            throw ServerError(.failedToParse, "\(name) requires a non-compound sortBy")
        }
        guard isIntegral || window != nil else {
            throw ServerError(.failedToParse, "\(name) requires explicit window bounds")
        }
        let scale = unit
        return (try frame(window), input, { SlopeFunction(isIntegral: isIntegral, unit: scale) })
    }
}
