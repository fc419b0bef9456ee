import BSON
import Core

/// Reads `$bucket`.
struct BucketCompiler {
    let context: QueryContext

    func compile(_ argument: ValueView) throws(ServerError) -> GroupSpecification {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 40201,
                "Argument to $bucket stage must be an object, but found type: \(argument.type.operatorName)")
        }
        var key: Expression?
        var boundaries: [Value]?
        var otherwise: Value?
        var accumulators: [AccumulatorSpecification]?
        for element in document {
            switch element.key {
            case "groupBy":
                let isExpression =
                    element.value.asString.map { $0.utf8.first == UInt8(ascii: "$") }
                    ?? element.value.asDocument?.first?.key.isOperator ?? false
                guard isExpression else {
                    throw ServerError(
                        location: 40202,
                        "The $bucket 'groupBy' field must be defined as a $-prefixed path or an expression, but found: "
                            + ValueText.text(element.value))
                }
                key = try Expression(element.value, context: context)
            case "boundaries": boundaries = try self.boundaries(element.value)
            case "default": otherwise = try constant(element.value)
            case "output":
                guard let output = element.value.asDocument else {
                    throw ServerError(
                        location: 40196,
                        "The $bucket 'output' field must be an object, but found type: "
                            + "\(element.value.type.operatorName)"
                    )
                }
                var list: [AccumulatorSpecification] = []
                for field in output { list.append(try AccumulatorSpecification(field, context: context)) }
                accumulators = list
            default:
                throw ServerError(location: 40197, "Unrecognized option to $bucket: \(element.key.string).")
            }
        }
        guard let key, let boundaries else {
            throw ServerError(
                location: 40198, "$bucket requires 'groupBy' and 'boundaries' to be specified.")
        }
        if let otherwise {
            let isInside =
                Value.order(otherwise, boundaries[0]) >= 0
                && Value.order(otherwise, boundaries[boundaries.count - 1]) < 0
            guard !isInside else {
                throw ServerError(
                    location: 40199,
                    "The $bucket 'default' field must be less than the lowest boundary or greater than or equal "
                        + "to the highest boundary."
                )
            }
        }
        let isCounted = accumulators == nil
        return GroupSpecification(
            key: key, accumulators: isCounted ? [try .counting(context)] : accumulators ?? [],
            buckets: BucketBounds(boundaries: boundaries, otherwise: otherwise))
    }

    private func constant(_ value: ValueView) throws(ServerError) -> Value {
        let expression = try Expression(value, context: context)
        guard case .constant(.some(let constant)) = expression.node else {
            throw ServerError(
                location: 40195, "The $bucket 'default' field must be a constant, and 'boundaries' constants.")
        }
        return constant
    }

    private func boundaries(_ value: ValueView) throws(ServerError) -> [Value] {
        guard let list = value.asArray else {
            throw ServerError(
                location: 40200,
                "The $bucket 'boundaries' field must be an array, but found type: \(value.type.operatorName).")
        }
        var boundaries: [Value] = []
        for element in list { boundaries.append(try constant(element.value)) }
        guard boundaries.count >= 2 else {
            throw ServerError(
                location: 40192,
                "The $bucket 'boundaries' field must have at least 2 values, but found \(boundaries.count) value(s).")
        }
        for (lower, upper) in zip(boundaries, boundaries.dropFirst()) {
            guard lower.type == upper.type || (lower.type.isNumber && upper.type.isNumber) else {
                throw ServerError(
                    location: 40193, "All values in the the 'boundaries' option to $bucket must have the same type.")
            }
            guard Value.order(lower, upper) < 0 else {
                throw ServerError(
                    location: 40194, "The 'boundaries' option to $bucket must be sorted in ascending order.")
            }
        }
        return boundaries
    }
}
