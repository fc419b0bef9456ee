import BSON
import Core

/// `$rank`, `$denseRank`, `$documentNumber`.
final class RankFunction: WindowFunction {
    enum Kind { case rank, denseRank, documentNumber }

    private let kind: Kind
    init(_ kind: Kind) { self.kind = kind }

    func add(_ input: WindowInput) {}
    var isOfWindowOnly: Bool { false }

    func result(for current: WindowInput) -> Value? {
        let place =
            switch kind {
            case .rank: current.firstOfRank
            case .denseRank: current.rank
            case .documentNumber: current.number
            }
        return Number.integer(Int64(place) + 1, narrow: true).value
    }
}

/// `$expMovingAvg`: each number counts `alpha`, all before it the rest.
final class MovingAverage: WindowFunction {
    private let alpha: Number
    private var average: Number?

    init(alpha: Number) { self.alpha = alpha }

    func add(_ input: WindowInput) {
        guard let number = Number(input.value) else { return }
        guard let average else {
            self.average = number.isDecimal ? number : .double(number.doubleValue)
            return
        }
        let rest = Number.subtract(.int32(1), alpha)
        self.average = Number.add(Number.multiply(number, alpha), Number.multiply(average, rest))
    }

    func result(for current: WindowInput) -> Value? { average?.value }
}

/// `$locf`: the last value that is not null.
final class LastValue: WindowFunction {
    private var value: Value?

    func add(_ input: WindowInput) { if !isNullish(input.value) { value = input.value } }
    func result(for current: WindowInput) -> Value? { value }
    var memoryBytes: Int { value?.memoryBytes ?? 0 }
}

/// `$linearFill`: between two values, those on the line from one to the other.
final class LinearFill: WindowFunction {
    private var before: WindowInput?
    /// The last value that was seen: behind the current document, or itself.
    private var next: WindowInput?
    private var position: Value?

    var isOfWindowOnly: Bool { false }

    func add(_ input: WindowInput) throws(ServerError) {
        guard Number(input.position) != nil || input.position?.type == .dateTime else {
            throw ServerError(location: 605_001, "$linearFill sortBy value must be numeric or a date")
        }
        if let position, let now = input.position {
            guard (position.type == .dateTime) == (now.type == .dateTime) else {
                throw ServerError(
                    location: 6_050_201,
                    "Conflicting sort value types, "
                        + "previous and current types differ")
            }
            guard !Value.equal(position, now) else {
                throw ServerError(location: 6_050_106, "There can be no repeated values in the sort field")
            }
        }
        position = input.position
        guard !isNullish(input.value) else { return }
        guard Number(input.value) != nil else {
            throw ServerError(location: 6_050_201, "Value to be filled must be numeric or nullish")
        }
        before = next
        next = input
    }

    func result(for current: WindowInput) -> Value? {
        if !isNullish(current.value) { return current.value }
        guard let before, let next, next.number > current.number, let low = Number(before.value),
            let high = Number(next.value), let start = SortPosition.number(before.position),
            let end = SortPosition.number(next.position), let here = SortPosition.number(current.position)
        else { return nil }
        let way = Number.divide(Number.subtract(here, start), Number.subtract(end, start))
        return Number.add(low, Number.multiply(Number.subtract(high, low), way)).value
    }
}

/// Values in a sort as numbers: dates by their milliseconds.
enum SortPosition {
    static func number(_ value: Value?) -> Number? {
        if case .dateTime(let millis) = value { return .int64(millis) }
        return Number(value)
    }
}

extension Number {
    /// The quotient, a double, or a decimal when one of the numbers is.
    static func divide(_ a: Number, _ b: Number) -> Number {
        if a.isDecimal || b.isDecimal { return .decimal(a.decimalValue / b.decimalValue) }
        return .double(a.doubleValue / b.doubleValue)
    }
}

/// `$derivative`, `$integral`: of the numbers in a window over their places in the sort.
final class SlopeFunction: WindowFunction {
    private struct Point {
        let place: Number
        let value: Number?
    }

    private let isIntegral: Bool
    private let unit: DateUnit?
    private var points = WindowQueue<Point>()
    /// The areas between neighbours, and their sum.
    private var areas = WindowQueue<Number>()
    private let sum = SlidingSum(isAverage: false)

    init(isIntegral: Bool, unit: DateUnit?) {
        self.isIntegral = isIntegral
        self.unit = unit
    }

    var memoryBytes: Int { points.count * MemoryLayout<Point>.stride }

    func add(_ input: WindowInput) throws(ServerError) {
        let point = Point(place: try place(input.position), value: try value(input.value))
        if isIntegral, let last = points.last {
            let area = SlopeFunction.area(last, point)
            areas.append(area)
            sum.add(WindowInput(area))
        }
        points.append(point)
    }

    func remove(_ input: WindowInput) {
        points.removeFirst()
        if let area = areas.removeFirst() { sum.remove(WindowInput(area)) }
    }

    private var name: String { isIntegral ? "$integral" : "$derivative" }

    private func place(_ position: Value?) throws(ServerError) -> Number {
        if case .dateTime(let millis) = position {
            guard unit != nil else {
                throw ServerError(
                    location: isIntegral ? 5_423_902 : 5_624_901,
                    "\(name) where the sortBy is a Date requires an 'unit'")
            }
            return .int64(millis)
        }
        guard unit == nil else {
            throw ServerError(
                location: isIntegral ? 5_423_901 : 5_624_900,
                "\(name) with 'unit' expects the sortBy field to be a Date")
        }
        guard let number = Number(position) else {
            throw ServerError(
                location: isIntegral ? 5_423_900 : 5_624_902, "\(name) expects the sortBy field to be numeric")
        }
        return number
    }

    private func value(_ value: Value?) throws(ServerError) -> Number? {
        if let number = Number(value) { return number }
        guard !isIntegral, isNullish(value) else {
            throw ServerError(
                location: isIntegral ? 5_423_900 : 5_624_903, "The input value of \(name) must be numeric")
        }
        return nil
    }

    /// A trapezoid's.
    private static func area(_ a: Point, _ b: Point) -> Number {
        let heights = Number.add(a.value ?? .int32(0), b.value ?? .int32(0))
        return Number.divide(Number.multiply(Number.subtract(b.place, a.place), heights), .int32(2))
    }

    func result(for current: WindowInput) -> Value? {
        let scale = unit.flatMap { $0.fixedMillis }.map { Number.int64($0) }
        if isIntegral {
            guard !points.isEmpty else { return nil }
            guard areas.count > 0, let sum = Number(sum.result(for: current)) else { return .double(0) }
            return (scale.map { Number.divide(sum, $0) } ?? sum).value
        }
        guard points.count > 1, let first = points.first, let last = points.last, let low = first.value,
            let high = last.value
        else { return nil }
        let way = Number.subtract(last.place, first.place)
        guard !way.isZero else { return nil }
        let rise = Number.subtract(high, low)
        return Number.divide(scale.map { Number.multiply(rise, $0) } ?? rise, way).value
    }
}

extension WindowInput {
    /// A number that belongs to no document.
    fileprivate init(_ number: Number) {
        self.init(value: number.value, position: nil, rank: 0, number: 0, firstOfRank: 0)
    }
}

extension DateUnit {
    /// Milliseconds of a unit up to a week, which clocks are not asked for.
    var fixedMillis: Int64? { exactMillis ?? days.map { Int64($0) * 86_400_000 } }
}
