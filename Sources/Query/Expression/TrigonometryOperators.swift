import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// `$sin`, `$cos`, `$tan`, their inverses and hyperbolic kin, `$atan2` and the conversions of angles. Numbers are
/// computed in doubles, decimals to 34 digits.
enum TrigonometryOperators {
    static let table: [String: OperatorEntry] = [
        "$sin": function("$sin", .line, sin) { $0.sine() },
        "$cos": function("$cos", .line, cos) { $0.cosine() },
        "$tan": function("$tan", .line, tan) { $0.tangent() },
        "$asin": function("$asin", .unit, asin) { $0.arcSine() },
        "$acos": function("$acos", .unit, acos) { $0.arcCosine() },
        "$atan": function("$atan", nil, atan) { $0.arcTangent() },
        "$sinh": function("$sinh", nil, sinh) { $0.hyperbolicSine() },
        "$cosh": function("$cosh", nil, cosh) { $0.hyperbolicCosine() },
        "$tanh": function("$tanh", nil, tanh) { $0.hyperbolicTangent() },
        "$asinh": function("$asinh", nil, asinh) { $0.areaSine() },
        "$acosh": function("$acosh", .fromOne, acosh) { $0.areaCosine() },
        "$atanh": function("$atanh", .unit, atanh) { $0.areaTangent() },
        "$degreesToRadians": function("$degreesToRadians", nil, { $0 * (Double.pi / 180) }, { $0 * degree }),
        "$radiansToDegrees": function("$radiansToDegrees", nil, { $0 * (180 / Double.pi) }, { $0 * radian }),
        "$atan2": .binary(arcTangentOfPoint),
    ]

    /// π / 180 and 180 / π.
    private static let degree = Decimal128("0.01745329251994329576923690768488613") ?? .nan
    private static let radian = Decimal128("57.29577951308232087679815481410517") ?? .nan

    /// Where a function is defined.
    private enum Domain {
        /// All that is finite.
        case line
        /// -1 to 1.
        case unit
        /// From 1 on.
        case fromOne

        func contains(_ value: Double) -> Bool {
            if value.isNaN { return true }
            return switch self {
            case .line: value.isFinite
            case .unit: value >= -1 && value <= 1
            case .fromOne: value >= 1
            }
        }

        func contains(_ value: Decimal128) -> Bool {
            if value.isNaN { return true }
            let one = Decimal128(Int64(1))
            return switch self {
            case .line: value.isFinite
            case .unit: Decimal128.compare(value.magnitude, one) <= 0
            case .fromOne: Decimal128.compare(value, one) >= 0
            }
        }

        var text: String {
            switch self {
            case .line: "(-inf,inf)"
            case .unit: "[-1,1]"
            case .fromOne: "[1,inf]"
            }
        }
    }

    private static func function(
        _ name: String, _ domain: Domain?, _ double: @escaping @Sendable (Double) -> Double,
        _ decimal: @escaping @Sendable (Decimal128) -> Decimal128
    ) -> OperatorEntry {
        .unary { (operands) throws(ServerError) in
            guard let number = try ArithmeticOperators.number(operands[0], name) else { return .null }
            if case .decimal(let value) = number {
                if let domain, !domain.contains(value) { throw outside(name, value.description, domain) }
                return .decimal128(decimal(value))
            }
            let value = number.doubleValue
            if let domain, !domain.contains(value) { throw outside(name, NumberText.double(value), domain) }
            return .double(double(value))
        }
    }

    private static func outside(_ name: String, _ value: String, _ domain: Domain) -> ServerError {
        ServerError(location: 50989, "cannot apply \(name) to \(value), value must be in \(domain.text)")
    }

    private static func arcTangentOfPoint(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard let y = Number(operands[0]) else {
            throw ServerError(location: 51044, "$atan2 only supports numeric types, not \(typeName(operands[0]))")
        }
        guard let x = Number(operands[1]) else {
            throw ServerError(location: 51045, "$atan2 only supports numeric types, not \(typeName(operands[1]))")
        }
        if y.isDecimal || x.isDecimal { return .decimal128(y.decimalValue.arcTangent(x: x.decimalValue)) }
        return .double(atan2(y.doubleValue, x.doubleValue))
    }
}
