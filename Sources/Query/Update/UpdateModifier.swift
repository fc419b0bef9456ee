import BSON
import Core

/// What a modifier makes of the value at its path.
enum ModifierResult {
    /// The value stays, or stays missing.
    case unchanged
    case removed
    case value(Value)
    /// Bytes that the modifier owns.
    case view(ValueView)
    /// The array that is there, with these behind it.
    case appended([Value])
}

/// One operator of an update at one path. Not a plug point: MongoDB's update operators, one type each.
protocol UpdateModifier {
    /// The path as the user wrote it.
    var path: String { get }
    /// Whether a path that leads through a scalar is simply nothing to do.
    func ignoresUnreachablePath(in document: DocumentView) -> Bool
    /// Computes the new value; `existing` is nil when the path leads nowhere.
    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult
}

extension UpdateModifier {
    func ignoresUnreachablePath(in document: DocumentView) -> Bool { false }

    /// The document's `_id` for messages.
    func identity(_ document: DocumentView) -> String {
        "{_id: \(document["_id"].map { ValueText.text($0) } ?? "missing")}"
    }
}

/// `$set`, `$setOnInsert`.
struct SetModifier: UpdateModifier {
    let path: String
    private let owned: OwnedBytes
    private let value: ValueView

    init(path: String, _ value: ValueView) {
        self.path = path
        owned = OwnedBytes(copying: value)
        self.value = owned.view.first?.value ?? value
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        .view(value)
    }
}

/// `$unset`, and the source of `$rename`.
struct UnsetModifier: UpdateModifier {
    let path: String
    func ignoresUnreachablePath(in document: DocumentView) -> Bool { true }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        existing == nil ? .unchanged : .removed
    }
}

/// `$inc`, `$mul`.
struct ArithmeticModifier: UpdateModifier {
    let path: String
    private let name: String
    private let operand: Number
    private let isProduct: Bool

    init(path: String, _ value: ValueView, isProduct: Bool) throws(ServerError) {
        guard let number = Number(Value(value)) else {
            throw ServerError(
                .typeMismatch,
                "Cannot \(isProduct ? "multiply" : "increment") with non-numeric argument: "
                    + "{\(path): \(ValueText.text(value))}")
        }
        self.path = path
        self.isProduct = isProduct
        name = isProduct ? "$mul" : "$inc"
        operand = number
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        guard let existing else {
            return .value(isProduct ? Number.multiply(.int32(0), operand).value : operand.value)
        }
        guard let number = Number(Value(existing)) else {
            throw ServerError(
                .typeMismatch,
                "Cannot apply \(name) to a value of non-numeric type. \(identity(document)) has the field "
                    + "'\(lastName)' of non-numeric type \(existing.type.operatorName)")
        }
        let result = isProduct ? Number.multiply(number, operand) : Number.add(number, operand)
        if number.integerValue != nil, operand.integerValue != nil, result.isDouble {
            throw ServerError(
                .badValue,
                "Failed to apply \(name) operations to current value "
                    + "((\(existing.type == .int32 ? "NumberInt" : "NumberLong"))\(ValueText.text(existing))) for "
                    + "document \(identity(document))")
        }
        // A zero of the other sign is no change.
        if result.isZero, number.isZero, result.value.type == existing.type { return .unchanged }
        return .value(result.value)
    }

    private var lastName: String { path.split(separator: ".").last.map(String.init) ?? path }
}

/// `$min`, `$max`.
struct ExtremeModifier: UpdateModifier {
    let path: String
    private let owned: OwnedBytes
    private let value: ValueView
    private let keepsGreatest: Bool

    init(path: String, _ value: ValueView, keepsGreatest: Bool) {
        self.path = path
        self.keepsGreatest = keepsGreatest
        owned = OwnedBytes(copying: value)
        self.value = owned.view.first?.value ?? value
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        guard let existing else { return .view(value) }
        let order = ValueView.compare(value, existing)
        return (keepsGreatest ? order > 0 : order < 0) ? .view(value) : .unchanged
    }
}

/// `$currentDate`: a date, or a timestamp.
struct CurrentDateModifier: UpdateModifier {
    let path: String
    private let value: Value

    init(path: String, _ argument: ValueView, context: QueryContext) throws(ServerError) {
        self.path = path
        var isTimestamp = false
        if let document = argument.asDocument {
            for element in document where !(element.key == "$type") {
                throw ServerError(.badValue, "Unrecognized $currentDate option: \(element.key.string)")
            }
            switch document["$type"]?.asString {
            case "date": break
            case "timestamp": isTimestamp = true
            default:
                throw ServerError(
                    .badValue,
                    "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : "
                        + "{$type: 'date'}}}")
            }
        } else if argument.type != .bool {
            throw ServerError(
                .badValue,
                "\(argument.type.operatorName) is not valid type for $currentDate. Please use a boolean ('true') or a "
                    + "$type expression ({$type: 'timestamp/date'}).")
        }
        let seconds = UInt32(truncatingIfNeeded: max(context.nowMillis, 0) / 1000)
        value =
            isTimestamp
            ? .timestamp(context.clusterTime ?? Timestamp(seconds: seconds, increment: 1))
            : .dateTime(context.nowMillis)
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        .value(value)
    }
}

/// `$bit`.
struct BitModifier: UpdateModifier {
    private enum Operation { case and, or, xor }

    let path: String
    private let operations: [(operation: Operation, operand: Number)]

    init(path: String, _ argument: ValueView) throws(ServerError) {
        self.path = path
        guard let document = argument.asDocument else {
            throw ServerError(
                .badValue,
                "The $bit modifier is not compatible with a \(argument.type.operatorName). You must pass in an "
                    + "embedded "
                    + "document: {$bit: {field: {and/or/xor: #}}")
        }
        var operations: [(operation: Operation, operand: Number)] = []
        for element in document {
            let operation: Operation
            switch element.key {
            case "and": operation = .and
            case "or": operation = .or
            case "xor": operation = .xor
            default:
                throw ServerError(
                    .badValue,
                    "The $bit modifier only supports 'and', 'or', and 'xor', not '\(element.key.string)' which is an "
                        + "unknown operator: {\(element.key.string): \(ValueText.text(element.value))}")
            }
            guard let number = Number(Value(element.value)), number.integerValue != nil else {
                throw ServerError(
                    .badValue,
                    "The $bit modifier field must be an Integer(32/64 bit); a '\(element.value.type.operatorName)' is "
                        + "not supported here: {\(element.key.string): \(ValueText.text(element.value))}")
            }
            operations.append((operation, number))
        }
        guard !operations.isEmpty else {
            throw ServerError(
                .badValue,
                "You must pass in at least one bitwise operation. The format is: {$bit: {field: {and/or/xor: #}}")
        }
        self.operations = operations
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        var value: Int64 = 0
        var isNarrow = true
        if let existing {
            guard let number = Number(Value(existing)), let whole = number.integerValue else {
                throw ServerError(
                    .badValue,
                    "Cannot apply $bit to a value of non-integral type.\(identity(document)) has the field \(path) of "
                        + "non-integer type \(existing.type.operatorName)")
            }
            value = whole
            isNarrow = number.isInt32
        }
        for (operation, operand) in operations {
            let bits = operand.integerValue ?? 0
            isNarrow = isNarrow && operand.isInt32
            switch operation {
            case .and: value &= bits
            case .or: value |= bits
            case .xor: value ^= bits
            }
        }
        return .value(isNarrow ? .int32(Int32(truncatingIfNeeded: value)) : .int64(value))
    }
}
