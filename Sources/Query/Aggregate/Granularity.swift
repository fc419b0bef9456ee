import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// A series of preferred numbers, to which `$bucketAuto` rounds the bounds of its buckets.
struct Granularity {
    private let steps: [Double]
    private let isPowersOfTwo: Bool

    /// Takes the name of a series: `R5` to `R80` (Renard), `1-2-5`, `E6` to `E192` (IEC 60063), `POWERSOF2`.
    init(_ name: String) throws(ServerError) {
        isPowersOfTwo = name == "POWERSOF2"
        guard isPowersOfTwo || Granularity.series[name] != nil else {
            throw ServerError(location: 40257, "Unknown rounding granularity '\(name)'")
        }
        steps = Granularity.series[name] ?? []
    }

    /// Refuses what cannot be rounded.
    func check(_ value: Value) throws(ServerError) {
        guard let number = Number(value)?.doubleValue else {
            throw ServerError(
                location: 40258,
                "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found a value with type: "
                    + typeName(value))
        }
        guard !number.isNaN else {
            throw ServerError(
                location: 40259,
                "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found a NaN")
        }
        guard number >= 0 else {
            throw ServerError(
                location: 40260,
                "$bucketAuto can specify a 'granularity' with non-negative numbers only, but found a negative number")
        }
    }

    /// The least number of the series above `value`. Where a bucket holds zeros only, it ends below the next value.
    func up(_ value: Value, next: Value?) -> Value {
        guard let number = Number(value), number.doubleValue.isFinite else { return value }
        if number.isZero {
            guard let next, Number(next).map({ !$0.isZero }) ?? false else { return value }
            return down(next)
        }
        return rounded(number, isUp: true)
    }

    /// The greatest number of the series below `value`; zero for zero.
    func down(_ value: Value) -> Value {
        guard let number = Number(value), number.doubleValue.isFinite, !number.isZero else { return value }
        return rounded(number, isUp: false)
    }

    private func rounded(_ number: Number, isUp: Bool) -> Value {
        if isPowersOfTwo { return powerOfTwo(number, isUp: isUp) }
        let value = number.doubleValue
        // The power of ten with which the value lies between the first and the last step.
        var power = 0
        var scale = 1.0
        while value / scale >= 100, power < 400 {
            power += 1
            scale = times(1, power)
        }
        while value / scale < 10, power > -400 {
            power -= 1
            scale = times(1, power)
        }
        var candidates = steps.map { times($0, power) }
        candidates.insert(times(steps[steps.count - 1], power - 1), at: 0)
        candidates.append(times(steps[0], power + 1))
        let found = isUp ? candidates.first { $0 > value } : candidates.last { $0 < value }
        let result = found ?? value
        return number.isDecimal ? .decimal128(Decimal128(result)) : .double(result)
    }

    /// A step times a power of ten, as it is written in decimals.
    private func times(_ step: Double, _ power: Int) -> Double {
        Double("\(step)e\(power)") ?? (power < 0 ? 0 : .infinity)
    }

    private func powerOfTwo(_ number: Number, isUp: Bool) -> Value {
        let value = number.doubleValue
        var exponent = Int(value.exponent)
        let power = Double(sign: .plus, exponent: exponent, significand: 1)
        if isUp { exponent += 1 } else if power == value { exponent -= 1 }
        let result = Double(sign: .plus, exponent: exponent, significand: 1)
        if number.isDecimal { return .decimal128(Decimal128(result, digits: 34)) }
        if number.integerValue != nil, let whole = Int64(exactly: result) {
            return Number.integer(whole, narrow: number.isInt32).value
        }
        return .double(result)
    }

    /// From 10 up to 100.
    private static let series: [String: [Double]] = [
        "R5": [10, 16, 25, 40, 63],
        "R10": [10, 12.5, 16, 20, 25, 31.5, 40, 50, 63, 80],
        "R20": [
            10, 11.2, 12.5, 14, 16, 18, 20, 22.4, 25, 28, 31.5, 35.5, 40, 45, 50, 56, 63, 71, 80, 90,
        ],
        "R40": [
            10, 10.6, 11.2, 11.8, 12.5, 13.2, 14, 15, 16, 17, 18, 19, 20, 21.2, 22.4, 23.6, 25, 26.5, 28, 30, 31.5,
            33.5,
            35.5, 37.5, 40, 42.5, 45, 47.5, 50, 53, 56, 60, 63, 67, 71, 75, 80, 85, 90, 95,
        ],
        "R80": [
            10, 10.3, 10.6, 10.9, 11.2, 11.5, 11.8, 12.2, 12.5, 12.8, 13.2, 13.6, 14, 14.5, 15, 15.5, 16, 16.5, 17,
            17.5, 18, 18.5, 19, 19.5, 20, 20.6, 21.2, 21.8, 22.4, 23, 23.6, 24.3, 25, 25.8, 26.5, 27.2, 28, 29, 30,
            30.7, 31.5, 32.5, 33.5, 34.5, 35.5, 36.5, 37.5, 38.7, 40, 41.2, 42.5, 43.7, 45, 46.2, 47.5, 48.7, 50,
            51.5, 53, 54.5, 56, 58, 60, 61.5, 63, 65, 67, 69, 71, 73, 75, 77.5, 80, 82.5, 85, 87.5, 90, 92.5, 95,
            97.5,
        ],
        "1-2-5": [10, 20, 50],
        "E6": [10, 15, 22, 33, 47, 68],
        "E12": [10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82],
        "E24": [
            10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91,
        ],
        "E48": iec(48), "E96": iec(96), "E192": iec(192),
    ]

    /// The series of IEC 60063 with three digits: powers of ten in equal steps, rounded, but for one.
    private static func iec(_ count: Int) -> [Double] {
        (0..<count).map { index in
            let exact = pow(10, Double(index) / Double(count)) * 100
            let whole = exact.rounded(.toNearestOrAwayFromZero)
            // The norm's own exception.
            return whole == 919 ? 92 : whole / 10
        }
    }
}
