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
        "$ln": .unary { (operands) throws(ServerError) in try logarithm("$ln", 28766, operands[0]) { log($0) } },
        "$log10": .unary { (operands) throws(ServerError) in try logarithm("$log10", 28761, operands[0]) { log10($0) }
        },
        "$log": .binary(logarithmToBase),
        "$rand": .form(compileRandom),
    ]

    private static func add(_ operands: [Value?]) throws(ServerError) -> Value? {
        var sum = Number.int32(0)
        var hasDate = false
        for operand in operands {
            if isNullish(operand) { return .null }
            if case .dateTime(let millis) = operand {
                guard !hasDate else {
                    throw ServerError(location: 16612, "only one date allowed in an $add expression")
                }
                hasDate = true
                sum = .add(sum, .int64(millis))
            } else if let number = Number(operand) {
                sum = .add(sum, number)
            } else {
                throw ServerError(
                    .typeMismatch, "$add only supports numeric or date types, not \(typeName(operand))")
            }
        }
        return hasDate ? try date(sum, "$add") : sum.value
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
            if let b = Number(operands[1]) { return try date(.subtract(.int64(a), b), "$subtract") }
        }
        throw ServerError(
            .typeMismatch, "can't $subtract \(typeName(operands[1])) from \(typeName(operands[0]))")
    }

    /// A date from milliseconds, rounded to whole ones.
    private static func date(_ millis: Number, _ name: String) throws(ServerError) -> Value {
        if let whole = millis.integerValue { return .dateTime(whole) }
        guard let whole = Int64(exactly: millis.doubleValue.rounded(.toNearestOrAwayFromZero)) else {
            throw ServerError(.overflow, "date overflow in \(name)")
        }
        return .dateTime(whole)
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
        guard !b.isZero else { throw ServerError(location: 16610, "can't $mod by zero") }
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
        let result = pow(base.doubleValue, exponent.doubleValue)
        if base.isDecimal || exponent.isDecimal { return .decimal128(Decimal128(result)) }
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
        guard !(number.doubleValue < 0) else {
            throw ServerError(location: 28714, "$sqrt's argument must be greater than or equal to 0")
        }
        return result(number.doubleValue.squareRoot(), like: number)
    }

    private static func exponential(_ operand: Value?) throws(ServerError) -> Value? {
        guard let number = try number(operand, "$exp") else { return .null }
        return result(exp(number.doubleValue), like: number)
    }

    private static func logarithm(
        _ name: String, _ code: Int32, _ operand: Value?, _ function: (Double) -> Double
    ) throws(ServerError) -> Value? {
        guard let number = try number(operand, name) else { return .null }
        guard !(number.doubleValue <= 0) else {
            throw ServerError(
                location: code, "\(name)'s argument must be a positive number, but is \(number.doubleValue)")
        }
        return result(function(number.doubleValue), like: number)
    }

    private static func logarithmToBase(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let argument = Number(operands[0]) else {
            throw ServerError(location: 28756, "$log's argument must be numeric, not \(typeName(operands[0]))")
        }
        guard let base = Number(operands[1]) else {
            throw ServerError(location: 28757, "$log's base must be numeric, not \(typeName(operands[1]))")
        }
        guard !(argument.doubleValue <= 0) else {
            throw ServerError(
                location: 28758, "$log's argument must be a positive number, but is \(argument.doubleValue)")
        }
        guard !(base.doubleValue <= 0), base.doubleValue != 1 else {
            throw ServerError(
                location: 28759, "$log's base must be a positive number not equal to 1, but is \(base.doubleValue)")
        }
        let quotient = log(argument.doubleValue) / log(base.doubleValue)
        return result(quotient, like: argument.isDecimal ? argument : base)
    }

    /// Transcendental functions compute in doubles; a decimal operand makes the result a decimal.
    private static func result(_ value: Double, like operand: Number) -> Value {
        operand.isDecimal ? .decimal128(Decimal128(value)) : .double(value)
    }

    // MARK: $rand

    private struct RandomForm: ExpressionForm {
        let random: QueryRandom
        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? { .double(random.nextUnit()) }
    }

    @Sendable private static func compileRandom(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        try compiler.checkCount(
            "$rand", argument.type == .document ? 0 : compiler.compileOperands(argument).count, 0, 0)
        guard let random = compiler.context.random?.value else {
            throw ServerError(.notImplemented, "$rand is not available here")
        }
        compiler.noteImpure()
        return .form(RandomForm(random: random))
    }
}
