import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// `$add`, `$subtract`, `$multiply`, `$divide`, `$mod`, powers, roots and logarithms.
enum ArithmeticOperators {
    static let table: [String: OperatorEntry] = [
        "$add": .variadic(add),
        "$subtract": .binary(subtract),
        "$multiply": .variadic(multiply),
        "$divide": .binary(divide),
        "$mod": .binary(modulo),
        "$abs": .unary(absolute),
        "$pow": .binary(power),
        "$sqrt": .unary { (operands) throws(ServerError) in try squareRoot(operands[0]) },
        "$exp": .unary { (operands) throws(ServerError) in try exponential(operands[0]) },
        "$ln": .unary { (operands) throws(ServerError) in
            try logarithm("$ln", 28766, operands[0], log) { $0.naturalLogarithm() }
        },
        "$log10": .unary { (operands) throws(ServerError) in
            try logarithm("$log10", 28761, operands[0], log10) { $0.decimalLogarithm() }
        },
        "$log": .binary(logarithmToBase),
        "$rand": .form(compileRandom),
    ]

    private static func add(_ operands: [Value?]) throws(ServerError) -> Value? {
        var sum = Number.int32(0)
        var start: Int64?
        for operand in operands {
            if isNullish(operand) { return .null }
            if case .dateTime(let millis) = operand {
                guard start == nil else {
                    throw ServerError(location: 16612, "only one date allowed in an $add expression")
                }
                start = millis
            } else if let number = Number(operand) {
                sum = .add(sum, number)
            } else {
                throw ServerError(
                    .typeMismatch, "$add only supports numeric or date types, not \(typeName(operand))")
            }
        }
        guard let start else { return sum.value }
        return try date(start, wholeMillis(sum), "$add") { $0.addingReportingOverflow($1) }
    }

    private static func subtract(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        if let a = Number(operands[0]), let b = Number(operands[1]) { return Number.subtract(a, b).value }
        if case .dateTime(let a) = operands[0] {
            if case .dateTime(let b) = operands[1] {
                let (difference, overflow) = a.subtractingReportingOverflow(b)
                if overflow { throw ServerError(.overflow, "overflow in $subtract of two dates") }
                return .int64(difference)
            }
            if let b = Number(operands[1]) {
                return try date(a, wholeMillis(b), "$subtract") { $0.subtractingReportingOverflow($1) }
            }
        }
        throw ServerError(
            .typeMismatch, "can't $subtract \(typeName(operands[1])) from \(typeName(operands[0]))")
    }

    /// A number as milliseconds: doubles are rounded away from zero at the half, decimals to even; nil for more than
    /// there are.
    private static func wholeMillis(_ number: Number) -> Int64? {
        guard case .double(let value) = number else { return number.coercedInteger }
        return Int64(exactly: value.rounded(.toNearestOrAwayFromZero))
    }

    /// A date that is some milliseconds from another; nil for more than there are.
    private static func date(
        _ start: Int64, _ millis: Int64?, _ name: String,
        _ combine: (Int64, Int64) -> (partialValue: Int64, overflow: Bool)
    ) throws(ServerError) -> Value {
        guard let millis, case (let moved, false) = combine(start, millis) else {
            throw ServerError(.overflow, "date overflow in \(name)")
        }
        return .dateTime(moved)
    }

    private static func multiply(_ operands: [Value?]) throws(ServerError) -> Value? {
        var product = Number.int32(1)
        for operand in operands {
            if isNullish(operand) { return .null }
            guard let number = Number(operand) else {
                throw ServerError(.typeMismatch, "$multiply only supports numeric types, not \(typeName(operand))")
            }
            product = .multiply(product, number)
        }
        return product.value
    }

    private static func divide(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let a = Number(operands[0]), let b = Number(operands[1]) else {
            throw ServerError(
                .typeMismatch,
                "$divide only supports numeric types, not \(typeName(operands[0])) and \(typeName(operands[1]))")
        }
        guard !b.isZero else { throw ServerError(.badValue, "can't $divide by zero") }
        if a.isDecimal || b.isDecimal { return .decimal128(a.decimalValue / b.decimalValue) }
        return .double(a.doubleValue / b.doubleValue)
    }

    private static func modulo(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let a = Number(operands[0]), let b = Number(operands[1]) else {
            throw ServerError(
                location: 16611,
                "$mod only supports numeric types, not \(typeName(operands[0])) and \(typeName(operands[1]))")
        }
        guard !b.isZero else {
            let isDecimal = a.isDecimal || b.isDecimal
            throw ServerError(location: isDecimal ? 5_733_415 : 16610, "can't $mod by zero")
        }
        return Number.remainder(a, b).value
    }

    private static func absolute(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let number = try number(operands[0], "$abs") else { return .null }
        switch number {
        case .int32(let value): return Number.integer(Int64(clamping: value.magnitude), narrow: true).value
        case .int64(let value):
            guard let magnitude = Int64(exactly: value.magnitude) else {
                throw ServerError(location: 28680, "can't take $abs of long long min")
            }
            return .int64(magnitude)
        case .double(let value): return .double(value.magnitude)
        case .decimal(let value): return .decimal128(value.magnitude)
        }
    }

    /// The operand as a number; nil for null.
    static func number(_ value: Value?, _ name: String) throws(ServerError) -> Number? {
        if isNullish(value) { return nil }
        guard let number = Number(value) else {
            throw ServerError(location: 28765, "\(name) only supports numeric types, not \(typeName(value))")
        }
        return number
    }

    private static func power(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let base = Number(operands[0]) else {
            throw ServerError(location: 28762, "$pow's base must be numeric, not \(typeName(operands[0]))")
        }
        guard let exponent = Number(operands[1]) else {
            throw ServerError(location: 28763, "$pow's exponent must be numeric, not \(typeName(operands[1]))")
        }
        if base.isZero, exponent.doubleValue < 0 {
            throw ServerError(location: 28764, "$pow cannot take a base of 0 and a negative exponent")
        }
        if base.isDecimal || exponent.isDecimal {
            return .decimal128(base.decimalValue.power(exponent.decimalValue))
        }
        let result = pow(base.doubleValue, exponent.doubleValue)
        if let base = base.integerValue, let exponent = exponent.integerValue {
            guard let exact = integerPower(base, exponent) else { return .double(result) }
            let isNarrow = Number(operands[0])?.isInt32 == true && Number(operands[1])?.isInt32 == true
            return Number.integer(exact, narrow: isNarrow).value
        }
        return .double(result)
    }

    /// Exact power of integers; nil when it is no long.
    private static func integerPower(_ base: Int64, _ exponent: Int64) -> Int64? {
        if base == 1 || exponent == 0 { return 1 }
        if base == -1 { return exponent % 2 == 0 ? 1 : -1 }
        guard exponent > 0 else { return nil }
        if base == 0 { return 0 }
        guard exponent < 64 else { return nil }
        var result: Int64 = 1
        for _ in 0..<exponent {
            let (product, overflow) = result.multipliedReportingOverflow(by: base)
            if overflow { return nil }
            result = product
        }
        return result
    }

    private static func squareRoot(_ operand: Value?) throws(ServerError) -> Value? {
        guard let number = try number(operand, "$sqrt") else { return .null }
        guard !number.isNegative else {
            throw ServerError(location: 28714, "$sqrt's argument must be greater than or equal to 0")
        }
        return result(number, { $0.squareRoot() }, { $0.squareRoot() })
    }

    private static func exponential(_ operand: Value?) throws(ServerError) -> Value? {
        guard let number = try number(operand, "$exp") else { return .null }
        return result(number, exp) { $0.exponential() }
    }

    private static func logarithm(
        _ name: String, _ code: Int32, _ operand: Value?, _ double: (Double) -> Double,
        _ decimal: (Decimal128) -> Decimal128
    ) throws(ServerError) -> Value? {
        guard let number = try number(operand, name) else { return .null }
        guard !number.isZero, !number.isNegative else {
            throw ServerError(
                location: code, "\(name)'s argument must be a positive number, but is \(number.doubleValue)")
        }
        // As in MongoDB, NaN comes out as a double.
        if case .decimal(let value) = number, value.isNaN { return .double(.nan) }
        return result(number, double, decimal)
    }

    private static func logarithmToBase(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let argument = Number(operands[0]) else {
            throw ServerError(location: 28756, "$log's argument must be numeric, not \(typeName(operands[0]))")
        }
        guard let base = Number(operands[1]) else {
            throw ServerError(location: 28757, "$log's base must be numeric, not \(typeName(operands[1]))")
        }
        guard !argument.isZero, !argument.isNegative else {
            throw ServerError(
                location: 28758, "$log's argument must be a positive number, but is \(argument.doubleValue)")
        }
        guard !base.isZero, !base.isNegative, base.doubleValue != 1 else {
            throw ServerError(
                location: 28759, "$log's base must be a positive number not equal to 1, but is \(base.doubleValue)")
        }
        if argument.doubleValue.isNaN || base.doubleValue.isNaN { return .double(.nan) }
        if argument.isDecimal || base.isDecimal {
            return .decimal128(argument.decimalValue.naturalLogarithm() / base.decimalValue.naturalLogarithm())
        }
        return .double(log(argument.doubleValue) / log(base.doubleValue))
    }

    /// Decimals are computed to 34 digits, all other numbers in doubles.
    private static func result(
        _ operand: Number, _ double: (Double) -> Double, _ decimal: (Decimal128) -> Decimal128
    ) -> Value {
        if case .decimal(let value) = operand { return .decimal128(decimal(value)) }
        return .double(double(operand.doubleValue))
    }

    // MARK: $rand

    private struct RandomForm: ExpressionForm {
        let random: QueryRandom
        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? { .double(random.nextUnit()) }
    }

    @Sendable private static func compileRandom(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let arguments = argument.asDocument ?? argument.asArray else {
            throw ServerError(location: 10065, "invalid parameter: expected an object ($rand)")
        }
        guard arguments.isEmpty else {
            throw ServerError(location: 3_040_501, "$rand does not currently accept arguments")
        }
        guard let random = compiler.context.random?.value else {
            throw ServerError(.notImplemented, "$rand is not available here")
        }
        compiler.noteImpure()
        return .form(RandomForm(random: random))
    }
}
