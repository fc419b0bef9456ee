import BSON
import Core

/// `$type`, `$isNumber`, `$convert` and its shorthands.
enum ConversionOperators {
    static let table: [String: OperatorEntry] = [
        "$type": .unary { operands in .string(typeName(operands[0])) },
        "$isNumber": .unary { operands in .bool(operands[0]?.type.isNumber ?? false) },
        "$toString": shorthand("$toString", .string),
        "$toInt": shorthand("$toInt", .int32),
        "$toLong": shorthand("$toLong", .int64),
        "$toDouble": shorthand("$toDouble", .double),
        "$toDecimal": shorthand("$toDecimal", .decimal128),
        "$toBool": shorthand("$toBool", .bool),
        "$toDate": shorthand("$toDate", .dateTime),
        "$toObjectId": shorthand("$toObjectId", .objectID),
        "$convert": .form(compileConvert),
    ]

    private static func shorthand(_ name: String, _ type: BSONType) -> OperatorEntry {
        .unary { (operands) throws(ServerError) in
            guard let value = operands[0], !isNullish(value) else { return .null }
            return try ValueConversion(value, to: type).result()
        }
    }

    private struct Convert: ExpressionForm {
        let input: ExpressionTree
        let to: ExpressionTree
        let onError: ExpressionTree?
        let onNull: ExpressionTree?

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let value = try input.evaluate(&scope)
            let target = try to.evaluate(&scope)
            let type = try isNullish(target) ? nil : ConversionOperators.targetType(target)
            guard let value, !isNullish(value) else {
                return try onNull.map { (node) throws(ServerError) in try node.evaluate(&scope) } ?? .null
            }
            guard let type else { return .null }
            do throws(ServerError) {
                return try ValueConversion(value, to: type).result()
            } catch {
                guard let onError, error.code == .conversionFailure else { throw error }
                return try onError.evaluate(&scope)
            }
        }
    }

    @Sendable private static func compileConvert(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let operands = try compiler.compileNamed(
            "$convert", argument, required: ["input", "to"], optional: ["onError", "onNull", "format", "byteOrder"])
        func node(_ name: String) -> ExpressionTree? { operands.first { $0.name == name }?.node }
        if node("format") != nil || node("byteOrder") != nil {
            throw ServerError(.notImplemented, "$convert to and from binary data is not supported")
        }
        return .form(
            Convert(
                input: node("input") ?? .constant(nil), to: node("to") ?? .constant(nil), onError: node("onError"),
                onNull: node("onNull")))
    }

    /// The type that `to` names: a name, a number, or a document with a `type`.
    private static func targetType(_ value: Value?) throws(ServerError) -> BSONType {
        switch value {
        case .string(let name):
            for type in BSONType.allCases where type.operatorName == name { return type }
            throw ServerError(.badValue, "Unknown type name: \(name)")
        case .document(let document): return try targetType(document["type"])
        default:
            guard let code = value?.asInteger else {
                throw ServerError(
                    .failedToParse, "$convert's 'to' argument must be a string or number, but is \(typeName(value))")
            }
            guard let byte = code == -1 ? 0xFF : UInt8(exactly: code), let type = BSONType(rawValue: byte) else {
                throw ServerError(
                    .failedToParse,
                    "In $convert, numeric value for 'to' does not correspond to a BSON type: \(code)")
            }
            return type
        }
    }
}

/// One conversion of a value to a type, with MongoDB's rules and errors.
struct ValueConversion {
    private let value: Value
    private let target: BSONType

    init(_ value: Value, to target: BSONType) {
        self.value = value
        self.target = target
    }

    func result() throws(ServerError) -> Value {
        if value.type == target { return value }
        switch target {
        case .string: return try string()
        case .int32: return try integer(isNarrow: true)
        case .int64: return try integer(isNarrow: false)
        case .double: return try double()
        case .decimal128: return try decimal()
        case .bool: return bool()
        case .dateTime: return try date()
        case .objectID:
            guard case .string(let text) = value else { throw unsupported() }
            guard let id = ObjectID(text) else {
                throw failure("Failed to parse objectId '\(text)' in $convert with no onError value")
            }
            return .objectID(id)
        default: throw unsupported()
        }
    }

    private func failure(_ message: String) -> ServerError { ServerError(.conversionFailure, message) }

    private func unsupported() -> ServerError {
        failure(
            "Unsupported conversion from \(value.type.operatorName) to \(target.operatorName) in $convert with no "
                + "onError value")
    }

    private func overflow() -> ServerError {
        failure(
            "Conversion would overflow target type in $convert with no onError value: "
                + "\(Number(value)?.doubleValue ?? 0)"
        )
    }

    private func unparsable(_ text: String) -> ServerError {
        failure("Failed to parse number '\(text)' in $convert with no onError value")
    }

    private func string() throws(ServerError) -> Value {
        switch value {
        case .bool(let flag): return .string(flag ? "true" : "false")
        case .objectID(let id): return .string(id.hexString)
        case .double, .int32, .int64, .decimal128, .dateTime: return .string(try StringOperators.text(value))
        default: throw unsupported()
        }
    }

    private func integer(isNarrow: Bool) throws(ServerError) -> Value {
        let whole: Int64
        switch value {
        case .bool(let flag): whole = flag ? 1 : 0
        case .int32(let number): whole = Int64(number)
        case .int64(let number): whole = number
        case .double(let number):
            guard number.isFinite else { throw overflow() }
            guard let cut = Int64(exactly: number.rounded(.towardZero)) else { throw overflow() }
            whole = cut
        case .decimal128(let number):
            guard let cut = number.rounded(places: 0, .towardZero).exactInt64 else { throw overflow() }
            whole = cut
        case .dateTime(let millis):
            guard !isNarrow else { throw unsupported() }
            whole = millis
        case .string(let text):
            guard let parsed = Int64(text), text.utf8.first != UInt8(ascii: "+") else { throw unparsable(text) }
            whole = parsed
        default: throw unsupported()
        }
        guard isNarrow else { return .int64(whole) }
        guard let narrow = Int32(exactly: whole) else {
            if case .string(let text) = value { throw unparsable(text) }
            throw overflow()
        }
        return .int32(narrow)
    }

    private func double() throws(ServerError) -> Value {
        switch value {
        case .bool(let flag): return .double(flag ? 1 : 0)
        case .dateTime(let millis): return .double(Double(millis))
        case .string(let text):
            // Swift also reads hexadecimal digits and payloads of NaN.
            let isPlain = text.utf8.allSatisfy { "0123456789+-.eEINFATYinfatyN".utf8.contains($0) }
            guard isPlain, let number = Double(text) else { throw unparsable(text) }
            // Digits alone that become infinite are beyond the doubles.
            if number.isInfinite, text.utf8.contains(where: { (48...57).contains($0) }) { throw unparsable(text) }
            return .double(number)
        default:
            guard let number = Number(value) else { throw unsupported() }
            let result = number.doubleValue
            if result.isInfinite, case .decimal(let decimal) = number, decimal.isFinite { throw overflow() }
            return .double(result)
        }
    }

    private func decimal() throws(ServerError) -> Value {
        switch value {
        case .bool(let flag): return .decimal128(Decimal128(flag ? Int64(1) : 0))
        case .dateTime(let millis): return .decimal128(Decimal128(millis))
        case .string(let text):
            guard let number = Decimal128(text, isRounding: true) else { throw unparsable(text) }
            if number.isInfinite, text.utf8.contains(where: { (48...57).contains($0) }) { throw unparsable(text) }
            return .decimal128(number)
        default:
            guard let number = Number(value) else { throw unsupported() }
            return .decimal128(number.decimalValue)
        }
    }

    private func bool() -> Value {
        // Everything that is no number and no boolean is true, also an empty string.
        .bool(value.truth)
    }

    private func date() throws(ServerError) -> Value {
        switch value {
        case .int64(let millis): return .dateTime(millis)
        case .double(let number):
            guard let millis = Int64(exactly: number.rounded(.towardZero)) else { throw overflow() }
            return .dateTime(millis)
        case .decimal128(let number):
            guard let millis = number.rounded(places: 0, .towardZero).exactInt64 else { throw overflow() }
            return .dateTime(millis)
        case .objectID, .timestamp: return .dateTime(try dateMillis(value))
        case .string(let text): return .dateTime(try DateParser.parse(text, zone: nil))
        default: throw unsupported()
        }
    }
}
