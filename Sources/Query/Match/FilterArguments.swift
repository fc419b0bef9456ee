import BSON
import Core

/// Checks and compiles the arguments of operators, with MongoDB's messages.
enum FilterArguments {
    static func oneOf(_ value: ValueView, _ name: String) throws(ServerError) -> ValuePredicate {
        guard let list = value.asArray else { throw ServerError(.badValue, "\(name) needs an array") }
        var values: [ValueView] = []
        var expressions: [RegexPredicate] = []
        for element in list {
            if let document = element.value.asDocument, FilterParser.isOperators(document) {
                throw ServerError(.badValue, "cannot nest $ under \(name)")
            }
            if element.value.type == .undefined {
                throw ServerError(.badValue, "\(name) cannot contain undefined")
            }
            if let (pattern, options) = element.value.asRegex {
                expressions.append(RegexPredicate(try RegularExpression(pattern: pattern, options: options)))
            } else {
                values.append(element.value)
            }
        }
        return InPredicate(values: values, expressions: expressions, source: Value(value))
    }

    static func regex(_ value: ValueView, options: ValueView?) throws(ServerError) -> ValuePredicate {
        var flags = ""
        if let options {
            guard let text = options.asString else { throw ServerError(.badValue, "$options has to be a string") }
            flags = text
        }
        if let (pattern, ownFlags) = value.asRegex {
            guard ownFlags.isEmpty || options == nil else {
                throw ServerError(ErrorCode(rawValue: 51075), "options set in both $regex and $options")
            }
            return RegexPredicate(
                try RegularExpression(pattern: pattern, options: ownFlags.isEmpty ? flags : ownFlags))
        }
        guard let pattern = value.asString else { throw ServerError(.badValue, "$regex has to be a string") }
        guard !pattern.utf8.contains(0) else {
            throw ServerError(.badValue, "Regular expression cannot contain an embedded null byte")
        }
        return RegexPredicate(try RegularExpression(pattern: pattern, options: flags))
    }

    static func size(_ value: ValueView) throws(ServerError) -> ValuePredicate {
        let text = "$size: \(ValueText.text(value))"
        guard value.type.isNumber else {
            throw ServerError(.badValue, "Failed to parse $size. Expected a number in: \(text)")
        }
        guard let size = value.asInteger else {
            throw ServerError(.badValue, "Failed to parse $size. Expected an integer: \(text)")
        }
        guard size >= 0 else {
            throw ServerError(.badValue, "Failed to parse $size. Expected a non-negative number in: \(text)")
        }
        guard size <= Int64(Int32.max) else {
            throw ServerError(.badValue, "Failed to parse $size. Cannot represent as a 32-bit integer: \(text)")
        }
        return SizePredicate(size)
    }

    static func modulo(_ value: ValueView) throws(ServerError) -> ValuePredicate {
        guard let list = value.asArray else { throw ServerError(.badValue, "malformed mod, needs to be an array") }
        let arguments = list.map(\.value)
        guard arguments.count >= 2 else { throw ServerError(.badValue, "malformed mod, not enough elements") }
        guard arguments.count == 2 else { throw ServerError(.badValue, "malformed mod, too many elements") }
        guard arguments[0].type.isNumber else { throw ServerError(.badValue, "malformed mod, divisor not a number") }
        guard arguments[1].type.isNumber else { throw ServerError(.badValue, "malformed mod, remainder not a number") }
        guard let divisor = ModPredicate.truncated(arguments[0]) else {
            throw ServerError(
                .badValue,
                "malformed mod, divisor value is invalid :: caused by :: Unable to coerce to a 64-bit integer")
        }
        guard let remainder = ModPredicate.truncated(arguments[1]) else {
            throw ServerError(
                .badValue,
                "malformed mod, remainder value is invalid :: caused by :: Unable to coerce to a 64-bit integer")
        }
        guard divisor != 0 else { throw ServerError(.badValue, "divisor cannot be 0") }
        return ModPredicate(divisor: divisor, remainder: remainder)
    }

    // MARK: $type

    static func types(_ value: ValueView) throws(ServerError) -> ValuePredicate {
        var types: Set<BSONType> = []
        if let list = value.asArray {
            for element in list { types.formUnion(try type(element.value)) }
            guard !types.isEmpty else { throw ServerError(.failedToParse, "$type must match at least one type") }
        } else {
            types = try type(value)
        }
        return TypePredicate(types, source: Value(value))
    }

    private static func type(_ value: ValueView) throws(ServerError) -> Set<BSONType> {
        if let name = value.asString { return try types(named: name) }
        guard value.type.isNumber else {
            throw ServerError(.typeMismatch, "type must be represented as a number or a string")
        }
        guard let code = value.asInteger else {
            throw ServerError(.badValue, "Invalid numerical type code: \(ValueText.text(value))")
        }
        if code == 0 {
            throw ServerError(
                .badValue, "Invalid numerical type code: 0. Instead use {$exists:false}.")
        }
        let byte: UInt8? = code == -1 ? BSONType.minKey.rawValue : code == 255 ? nil : UInt8(exactly: code)
        guard let type = byte.flatMap({ BSONType(rawValue: $0) }) else {
            throw ServerError(.badValue, "Invalid numerical type code: \(code)")
        }
        return [type]
    }

    /// The types that a name of `$type` or of a schema stands for.
    static func types(named name: String) throws(ServerError) -> Set<BSONType> {
        if name == "number" { return [.double, .int32, .int64, .decimal128] }
        guard let type = aliases.first(where: { $0.name == name })?.type else {
            throw ServerError(.badValue, "Unknown type name alias: \(name)")
        }
        return [type]
    }

    /// The names that `$type` knows.
    private static let aliases: [(name: String, type: BSONType)] = [
        ("double", .double), ("string", .string), ("object", .document), ("array", .array), ("binData", .binary),
        ("undefined", .undefined), ("objectId", .objectID), ("bool", .bool), ("date", .dateTime), ("null", .null),
        ("regex", .regex), ("dbPointer", .dbPointer), ("javascript", .javascript), ("symbol", .symbol),
        ("javascriptWithScope", .javascriptWithScope), ("int", .int32), ("timestamp", .timestamp), ("long", .int64),
        ("decimal", .decimal128), ("maxKey", .maxKey), ("minKey", .minKey),
    ]
}
