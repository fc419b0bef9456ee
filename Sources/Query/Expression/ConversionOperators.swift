import BSON
import Core

/// `$type`, `$isNumber`, `$convert` and its shorthands.
enum ConversionOperators {
    static let table: [String: OperatorEntry] = [
        "$type": .unary { operands in .string(typeName(operands[0])) },
        "$isNumber": .unary { operands in .bool(operands[0]?.type.isNumber ?? false) },
        "$toString": shorthand("$toString", .string, .automatic),
        "$toInt": shorthand("$toInt", .int32),
        "$toLong": shorthand("$toLong", .int64),
        "$toDouble": shorthand("$toDouble", .double),
        "$toDecimal": shorthand("$toDecimal", .decimal128),
        "$toBool": shorthand("$toBool", .bool),
        "$toDate": shorthand("$toDate", .dateTime),
        "$toObjectId": shorthand("$toObjectId", .objectID),
        "$toUUID": shorthand("$toUUID", .binary, .uuid, subtype: BinaryConversion.uuidSubtype),
        "$convert": .form(compileConvert),
    ]

    private static func shorthand(
        _ name: String, _ type: BSONType, _ format: BinaryConversion.Format? = nil, subtype: UInt8 = 0
    ) -> OperatorEntry {
        .form { (argument, compiler) throws(ServerError) in
            let operands = try compiler.compileOperands(argument)
            guard operands.count == 1 else {
                throw ServerError(location: 50723, "\(name) requires a single argument, got \(operands.count)")
            }
            let function: OperatorFunction = { (operands) throws(ServerError) in
                guard let value = operands[0], !isNullish(value) else { return .null }
                let binary = BinaryConversion(subtype: subtype, format: format)
                return try ValueConversion(value, to: type, binary).result()
            }
            return compiler.fold(.call(function, operands), operands)
        }
    }

    private struct Convert: ExpressionForm {
        let input: ExpressionTree
        let to: ExpressionTree
        let format: ExpressionTree?
        let byteOrder: ExpressionTree?
        let onError: ExpressionTree?
        let onNull: ExpressionTree?

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let value = try input.evaluate(&scope)
            let target = try ConversionTarget(try to.evaluate(&scope))
            let format = try format?.evaluate(&scope)
            let byteOrder = try byteOrder?.evaluate(&scope)
            guard let value, !isNullish(value) else {
                return try onNull.map { (node) throws(ServerError) in try node.evaluate(&scope) } ?? .null
            }
            guard let target else { return .null }
            do throws(ServerError) {
                let binary = try BinaryConversion(subtype: target.subtype, format: format, byteOrder: byteOrder)
                return try ValueConversion(value, to: target.type, binary).result()
            } catch {
                guard let onError, Convert.caught.contains(error.code) else { throw error }
                return try onError.evaluate(&scope)
            }
        }

        /// What `onError` stands in for: also a date whose year cannot be written.
        private static let caught: [ErrorCode] = [.conversionFailure, ErrorCode(rawValue: 18537)]
    }

    @Sendable private static func compileConvert(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let operands = try compiler.compileNamed(
            "$convert", argument, required: ["input", "to"], optional: ["onError", "onNull", "format", "byteOrder"])
        func node(_ name: String) -> ExpressionTree? { operands.first { $0.name == name }?.node }
        return .form(
            Convert(
                input: node("input") ?? .constant(nil), to: node("to") ?? .constant(nil), format: node("format"),
                byteOrder: node("byteOrder"), onError: node("onError"), onNull: node("onNull")))
    }
}

/// What the `to` of `$convert` says: a type, and for binary data its subtype.
struct ConversionTarget {
    /// Nil for the type `missing`, to which nothing can be converted.
    let type: BSONType?
    let subtype: Value?

    /// Takes a name, a number, or a document with a `type`; nil for null.
    init?(_ value: Value?) throws(ServerError) {
        if isNullish(value) { return nil }
        guard case .document(let document) = value else {
            type = try ConversionTarget.type(value)
            subtype = nil
            return
        }
        guard let named = document["type"], !isNullish(named) else {
            throw ServerError(.failedToParse, "$convert's 'to' argument must have a 'type' field")
        }
        type = try ConversionTarget.type(named)
        subtype = document["subtype"]
    }

    private static func type(_ value: Value?) throws(ServerError) -> BSONType? {
        if case .string(let name) = value {
            if name == "missing" { return nil }
            guard let type = BSONType.allCases.first(where: { $0.operatorName == name }) else {
                throw ServerError(.badValue, "Unknown type name: \(name)")
            }
            return type
        }
        guard Number(value) != nil else {
            throw ServerError(
                .failedToParse, "$convert's 'to' argument must be a string or number, but is \(typeName(value))")
        }
        guard let code = value?.asInteger else {
            throw ServerError(.failedToParse, "In $convert, numeric 'to' argument is not an integer")
        }
        if code == 0 { return nil }
        let byte = code == -1 ? BSONType.minKey.rawValue : code == 255 ? nil : UInt8(exactly: code)
        guard let type = byte.flatMap({ BSONType(rawValue: $0) }) else {
            throw ServerError(
                .failedToParse, "In $convert, numeric value for 'to' does not correspond to a BSON type: \(code)")
        }
        return type
    }
}
