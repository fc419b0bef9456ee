import BSON
import Core

/// What a group computes from one value of each of its documents. Not a plug point: MongoDB's accumulators, one type
/// each.
protocol Accumulator: AnyObject {
    /// Takes the next value; nil when it is missing.
    func add(_ value: Value?) throws(ServerError)
    /// The value so far; nil when there is none, which `$group` shows as null.
    var result: Value? { get }
    /// Bytes that grow with the input.
    var memoryBytes: Int { get }
    /// All that it knows, for another one of its kind that goes on with it; nil when it knows nothing.
    var partial: Value? { get }
    /// Takes what another one knows.
    /// - Throws: `FailedToParse` for what none of its kind has written.
    func merge(_ partial: Value) throws(ServerError)
}

/// The error for a partial result that an accumulator cannot have written.
func malformedPartial() -> ServerError {
    ServerError(.failedToParse, "a partial result of $group cannot be read")
}

extension Accumulator {
    var memoryBytes: Int { 0 }
}

/// `$sum`: integers exactly, doubles with the rounding error carried along. Values of other types count nothing.
final class SumAccumulator: Accumulator {
    private var integers: Int128 = 0
    private var doubles = 0.0
    private var compensation = 0.0
    private var decimals = Decimal128(Int64(0))
    private var widest = 0
    private(set) var count: Int64 = 0

    func add(_ value: Value?) throws(ServerError) {
        switch value {
        case .int32(let number): addInteger(Int64(number), rank: 0)
        case .int64(let number): addInteger(number, rank: 1)
        case .double(let number):
            addDouble(number)
            widest = max(widest, 2)
        case .decimal128(let number):
            decimals = decimals + number
            widest = 3
        default: return
        }
        count += 1
    }

    private func addInteger(_ number: Int64, rank: Int) {
        // 2^64 additions would be needed to overflow.
        integers &+= Int128(number)
        widest = max(widest, rank)
    }

    /// Neumaier's summation.
    private func addDouble(_ number: Double) {
        let sum = doubles + number
        if sum.isFinite {
            compensation += doubles.magnitude >= number.magnitude ? (doubles - sum) + number : (number - sum) + doubles
        }
        doubles = sum
    }

    private var doubleTotal: Double {
        let total = Double(integers) + doubles
        return total.isFinite ? total + compensation : total
    }

    private var decimalTotal: Decimal128 {
        let whole =
            Int64(exactly: integers).map { Decimal128($0) } ?? Decimal128("\(integers)", isRounding: true) ?? .nan
        let fractions =
            doubles == 0 && compensation == 0
            ? decimals : decimals + (Decimal128(nearest: doubles) + Decimal128(nearest: compensation))
        return fractions + whole
    }

    var result: Value? {
        switch widest {
        case 0, 1:
            if widest == 0, let narrow = Int32(exactly: integers) { return .int32(narrow) }
            return Int64(exactly: integers).map { .int64($0) } ?? .double(Double(integers))
        case 2: return .double(doubleTotal)
        default: return .decimal128(decimalTotal)
        }
    }

    var partial: Value? {
        guard count > 0 else { return nil }
        return .document(
            Document { writer in
                writer.append("high", int64: Int64(truncatingIfNeeded: integers >> 64))
                writer.append("low", int64: Int64(truncatingIfNeeded: integers))
                writer.append("double", double: doubles)
                writer.append("lost", double: compensation)
                writer.append("decimal" as String, .decimal128(decimals))
                writer.append("widest", int32: Int32(clamping: widest))
                writer.append("count", int64: count)
            })
    }

    func merge(_ partial: Value) throws(ServerError) {
        guard case .document(let state) = partial, let high = state["high"]?.asInteger,
            let low = state["low"]?.asInteger, let double = state["double"]?.asNumber,
            let lost = state["lost"]?.asNumber, case .decimal128(let decimal)? = state["decimal"],
            let widest = state["widest"]?.asInteger.flatMap({ Int(exactly: $0) }), (0...3).contains(widest),
            let count = state["count"]?.asInteger
        else { throw malformedPartial() }
        integers &+= Int128(high) << 64 | Int128(UInt64(bitPattern: low))
        addDouble(double)
        compensation += lost
        decimals = decimals + decimal
        self.widest = max(self.widest, widest)
        self.count &+= count
    }

    /// The mean of what was added; nil for nothing.
    var mean: Value? {
        guard count > 0 else { return nil }
        if widest == 3 { return .decimal128(decimalTotal / Decimal128(count)) }
        return .double(doubleTotal / Double(count))
    }
}

/// `$avg`: always a double, or a decimal when one was among the numbers.
final class AverageAccumulator: Accumulator {
    private let sum = SumAccumulator()
    func add(_ value: Value?) throws(ServerError) { try sum.add(value) }
    var result: Value? { sum.mean }
    var partial: Value? { sum.partial }
    func merge(_ partial: Value) throws(ServerError) { try sum.merge(partial) }
}

/// `$min`, `$max`: in MongoDB's order of all types; null and missing values do not count.
final class ExtremeAccumulator: Accumulator {
    private let keepsGreatest: Bool
    private(set) var result: Value?

    init(keepsGreatest: Bool) { self.keepsGreatest = keepsGreatest }

    func add(_ value: Value?) throws(ServerError) {
        guard let value, !isNullish(value) else { return }
        guard let best = result else {
            result = value
            return
        }
        let order = Value.order(value, best)
        if keepsGreatest ? order > 0 : order < 0 { result = value }
    }

    var memoryBytes: Int { result?.memoryBytes ?? 0 }
    var partial: Value? { result }
    func merge(_ partial: Value) throws(ServerError) { try add(partial) }
}

/// `$stdDevPop`, `$stdDevSamp`, in one pass (Welford).
final class StandardDeviationAccumulator: Accumulator {
    private let isSample: Bool
    private var count = 0.0
    private var mean = 0.0
    private var squares = 0.0

    init(isSample: Bool) { self.isSample = isSample }

    func add(_ value: Value?) throws(ServerError) {
        guard let number = Number(value)?.doubleValue else { return }
        count += 1
        let distance = number - mean
        mean += distance / count
        squares += distance * (number - mean)
    }

    var result: Value? {
        let divisor = isSample ? count - 1 : count
        return divisor > 0 ? Value.double((squares / divisor).squareRoot()) : Value?.none
    }

    var partial: Value? {
        guard count > 0 else { return nil }
        return ["count": .double(count), "mean": .double(mean), "squares": .double(squares)]
    }

    /// Chan's rule for two parts.
    func merge(_ partial: Value) throws(ServerError) {
        guard case .document(let state) = partial, let other = state["count"]?.asNumber, other > 0,
            let otherMean = state["mean"]?.asNumber, let otherSquares = state["squares"]?.asNumber
        else { throw malformedPartial() }
        let total = count + other
        let distance = otherMean - mean
        squares += otherSquares + distance * distance * count * other / total
        mean += distance * other / total
        count = total
    }
}
