import BSON
import Core

/// `$sum`, `$avg` over a window: integers exactly, doubles in twice their precision, so that what comes in and goes out
/// again leaves nothing behind.
final class SlidingSum: WindowFunction {
    private let isAverage: Bool
    private var integers: Int128 = 0
    private var doubles = DoubleDouble()
    private var decimals = Decimal128.zero
    /// How many numbers of each kind the window holds.
    private var counts = (ints: 0, longs: 0, doubles: 0, decimals: 0)
    private var special = SpecialNumbers()

    init(isAverage: Bool) { self.isAverage = isAverage }

    func add(_ input: WindowInput) { change(input.value, by: 1) }
    func remove(_ input: WindowInput) { change(input.value, by: -1) }

    /// Takes a value in, or out.
    func change(_ value: Value?, by sign: Int) {
        switch value {
        case .int32(let number):
            counts.ints += sign
            integers &+= Int128(Int(number) * sign)
        case .int64(let number):
            counts.longs += sign
            integers &+= Int128(number) * Int128(sign)
        case .double(let number):
            counts.doubles += sign
            if !special.take(number, by: sign) { doubles.add(sign > 0 ? number : -number) }
            if counts.doubles == 0 { doubles = DoubleDouble() }
        case .decimal128(let number):
            counts.decimals += sign
            if !special.take(number.isFinite ? 0 : number.doubleValue, by: sign) {
                decimals = sign > 0 ? decimals + number : decimals - number
            }
            if counts.decimals == 0 { decimals = .zero }
        default: return
        }
    }

    func result(for current: WindowInput) -> Value? {
        isAverage ? average : total
    }

    private var count: Int { counts.ints + counts.longs + counts.doubles + counts.decimals }

    private var total: Value {
        if counts.decimals > 0 { return .decimal128(decimalTotal) }
        if counts.doubles > 0 { return .double(doubleTotal) }
        if counts.longs == 0, let narrow = Int32(exactly: integers) { return .int32(narrow) }
        return Int64(exactly: integers).map { .int64($0) } ?? .double(Double(integers))
    }

    /// Nil for no numbers.
    var average: Value? {
        guard count > 0 else { return nil }
        if counts.decimals > 0 { return .decimal128(decimalTotal / Decimal128(Int64(count))) }
        return .double(doubleTotal / Double(count))
    }

    private var doubleTotal: Double {
        if let special = special.value { return special }
        var sum = doubles
        sum.add(integers)
        return sum.value
    }

    private var decimalTotal: Decimal128 {
        if let special = special.value { return Decimal128(special) }
        let whole = Int64(exactly: integers).map { Decimal128($0) } ?? Decimal128(Double(integers))
        return doubles.value == 0 ? decimals + whole : decimals + Decimal128(doubles.value) + whole
    }
}

/// The numbers in a window that are none: while there are any, they decide its sums.
struct SpecialNumbers {
    private var nans = 0
    private var positives = 0
    private var negatives = 0

    /// Counts a number that is not finite; false for a finite one.
    mutating func take(_ number: Double, by sign: Int) -> Bool {
        if number.isNaN {
            nans += sign
        } else if number == .infinity {
            positives += sign
        } else if number == -.infinity {
            negatives += sign
        } else {
            return false
        }
        return true
    }

    var isEmpty: Bool { nans == 0 && positives == 0 && negatives == 0 }

    /// The sum of a window that holds such numbers; nil when it holds none.
    var value: Double? {
        if nans > 0 || (positives > 0 && negatives > 0) { return .nan }
        if positives > 0 { return .infinity }
        return negatives > 0 ? -.infinity : nil
    }
}

/// A sum of doubles as two of them: the second is what rounding took from the first (Knuth's TwoSum).
struct DoubleDouble {
    private(set) var high = 0.0
    private(set) var low = 0.0

    var value: Double {
        let sum = high + low
        return sum.isFinite ? sum : high
    }

    mutating func add(_ number: Double) {
        let sum = high + number
        let part = sum - high
        low += (high - (sum - part)) + (number - part)
        high = sum
        guard sum.isFinite, low.isFinite else { return }
        let whole = high + low
        low -= whole - high
        high = whole
    }

    /// Adds a product, with what rounding takes from it.
    mutating func add(_ a: Double, times b: Double) {
        let product = a * b
        add(product)
        if product.isFinite { add((-product).addingProduct(a, b)) }
    }

    mutating func add(_ number: Int128) {
        let near = Double(number)
        add(near)
        if let back = Int128(exactly: near) { add(Double(number - back)) }
    }
}

/// `$count` over a window.
final class SlidingCount: WindowFunction {
    private var count: Int64 = 0

    func add(_ input: WindowInput) { count += 1 }
    func remove(_ input: WindowInput) { count -= 1 }
    func result(for current: WindowInput) -> Value? { Number.integer(count, narrow: true).value }
}

/// `$stdDevPop`, `$stdDevSamp` over a window.
final class SlidingDeviation: WindowFunction {
    private let isSample: Bool
    private var moments = SlidingMoments()

    init(isSample: Bool) { self.isSample = isSample }

    func add(_ input: WindowInput) { if let number = Number(input.value) { moments.add(number.doubleValue) } }
    func remove(_ input: WindowInput) { if let number = Number(input.value) { moments.remove(number.doubleValue) } }

    func result(for current: WindowInput) -> Value? {
        moments.variance(isSample: isSample).map { .double($0.squareRoot()) }
    }
}

/// `$covariancePop`, `$covarianceSamp` over a window: of the two numbers of an array, decimals when one of them is.
final class SlidingCovariance: WindowFunction {
    private let isSample: Bool
    /// Pairs of finite numbers.
    private var count = 0
    private let xs = SlidingSum(isAverage: true)
    private let ys = SlidingSum(isAverage: true)
    private var special = SpecialNumbers()
    /// The sum of the products of the distances from the means.
    private var products = Number.double(0)

    init(isSample: Bool) { self.isSample = isSample }

    private func pair(_ value: Value?) -> (Number, Number)? {
        guard case .array(let array) = value else { return nil }
        let elements = array.fields.map { $0.value }
        guard elements.count == 2, let x = Number(elements[0]), let y = Number(elements[1]) else { return nil }
        return (x, y)
    }

    /// Counts a pair that is not finite; false for one that is.
    private func isSpecial(_ x: Number, _ y: Number, _ sign: Int) -> Bool {
        let isFinite = { (number: Number) in
            if case .decimal(let decimal) = number { decimal.isFinite } else { number.doubleValue.isFinite }
        }
        if isFinite(x), isFinite(y) { return false }
        if !isFinite(x) { _ = special.take(x.doubleValue, by: sign) }
        if !isFinite(y) { _ = special.take(y.doubleValue, by: sign) }
        return true
    }

    private func distance(_ number: Number, _ mean: SlidingSum) -> Number {
        Number.subtract(number, Number(mean.average) ?? .int32(0))
    }

    func add(_ input: WindowInput) {
        guard let (x, y) = pair(input.value), !isSpecial(x, y, 1) else { return }
        count += 1
        let fromX = count == 1 ? Number.double(0) : distance(x, xs)
        xs.change(x.value, by: 1)
        ys.change(y.value, by: 1)
        products = Number.add(products, Number.multiply(fromX, distance(y, ys)))
    }

    func remove(_ input: WindowInput) {
        guard let (x, y) = pair(input.value), !isSpecial(x, y, -1) else { return }
        count -= 1
        let fromY = distance(y, ys)
        xs.change(x.value, by: -1)
        ys.change(y.value, by: -1)
        guard count > 0 else {
            products = .double(0)
            return
        }
        products = Number.subtract(products, Number.multiply(distance(x, xs), fromY))
    }

    func result(for current: WindowInput) -> Value? {
        guard count > (isSample ? 1 : 0) else { return nil }
        if count == 1 { return .double(0) }
        if let special = special.value { return .double(special) }
        return Number.divide(products, .double(Double(count - (isSample ? 1 : 0)))).value
    }
}

/// The sums of numbers and of their squares, in twice the precision of doubles.
struct SlidingMoments {
    private var count = 0.0
    private var special = 0
    private var sum = DoubleDouble()
    private var squares = DoubleDouble()

    mutating func add(_ number: Double) { change(number, by: 1) }
    mutating func remove(_ number: Double) { change(number, by: -1) }

    private mutating func change(_ number: Double, by sign: Double) {
        guard number.isFinite else {
            special += sign > 0 ? 1 : -1
            return
        }
        count += sign
        guard count > 0 else {
            (count, sum, squares) = (0, DoubleDouble(), DoubleDouble())
            return
        }
        sum.add(sign * number)
        squares.add(sign * number, times: number)
    }

    /// Nil for too few numbers, and where one of them is not finite.
    func variance(isSample: Bool) -> Double? {
        let divisor = count - (isSample ? 1 : 0)
        guard divisor > 0, special == 0 else { return nil }
        // Of the distances from any number near the mean.
        let mean = sum.value / count
        var distances = squares
        distances.add(-2 * mean, times: sum.high)
        distances.add(-2 * mean, times: sum.low)
        distances.add(count * mean, times: mean)
        return max(0, distances.value) / divisor
    }
}
