import BSON
import Core

/// A unit of time of `$dateAdd`, `$dateDiff`, `$dateTrunc`.
enum DateUnit: String {
    case year, quarter, month, week, day, hour, minute, second, millisecond

    /// Milliseconds of a unit that is always as long; nil for months and longer.
    var fixedMillis: Int64? {
        switch self {
        case .year, .quarter, .month: nil
        case .week: 7 * CivilDate.millisPerDay
        case .day: CivilDate.millisPerDay
        case .hour: 3_600_000
        case .minute: 60_000
        case .second: 1000
        case .millisecond: 1
        }
    }

    /// Months of a unit that is counted in them.
    var months: Int {
        switch self {
        case .year: 12
        case .quarter: 3
        default: 1
        }
    }
}

/// `$dateAdd`, `$dateSubtract`, `$dateDiff`, `$dateTrunc`.
enum DateMathOperators {
    static let table: [String: OperatorEntry] = [
        "$dateAdd": .named(required: ["startDate", "unit", "amount"], optional: ["timezone"]) {
            (arguments) throws(ServerError) in try add("$dateAdd", arguments, isNegated: false)
        },
        "$dateSubtract": .named(required: ["startDate", "unit", "amount"], optional: ["timezone"]) {
            (arguments) throws(ServerError) in try add("$dateSubtract", arguments, isNegated: true)
        },
        "$dateDiff": .named(
            required: ["startDate", "endDate", "unit"], optional: ["timezone", "startOfWeek"], difference),
        "$dateTrunc": .named(
            required: ["date", "unit"], optional: ["binSize", "timezone", "startOfWeek"], truncate),
    ]

    /// The unit; nil for null.
    private static func unit(_ name: String, _ arguments: NamedArguments) throws(ServerError) -> DateUnit? {
        let value = arguments["unit"]
        if isNullish(value) { return nil }
        guard case .string(let text) = value else {
            throw ServerError(location: 5_439_013, "\(name) requires 'unit' to be a string, but got \(typeName(value))")
        }
        guard let unit = DateUnit(rawValue: text) else {
            throw ServerError(
                .failedToParse, "\(name) parameter 'unit' value cannot be recognized as a time unit: \(text)")
        }
        return unit
    }

    private static func add(
        _ name: String, _ arguments: NamedArguments, isNegated: Bool
    ) throws(ServerError) -> Value? {
        let start = arguments["startDate"]
        let amountValue = arguments["amount"]
        guard !isNullish(start), !isNullish(amountValue), let unit = try unit(name, arguments),
            let zone = try timeZone(arguments)
        else { return .null }
        guard var amount = amountValue?.asInteger else {
            throw ServerError(location: 5_976_500, "\(name) expects integer amount of time units")
        }
        if isNegated {
            guard amount != .min else {
                throw ServerError(location: 6_045_000, "invalid \(name) 'amount' parameter value")
            }
            amount = -amount
        }
        let local = try dateMillis(start) &+ zone.millis
        let moved = unit.fixedMillis.map { addFixed(local, amount, $0) } ?? addMonths(local, amount, unit.months)
        guard let moved else { throw ServerError(location: 5_166_406, "\(name) overflowed") }
        return .dateTime(moved &- zone.millis)
    }

    private static func addFixed(_ millis: Int64, _ amount: Int64, _ length: Int64) -> Int64? {
        let (distance, overflow) = amount.multipliedReportingOverflow(by: length)
        let (moved, more) = millis.addingReportingOverflow(distance)
        return overflow || more ? nil : moved
    }

    /// Moves by months; a day that the target month does not have becomes its last.
    private static func addMonths(_ millis: Int64, _ amount: Int64, _ length: Int) -> Int64? {
        guard amount.magnitude < 1_000_000_000 else { return nil }
        let civil = CivilDate(millis: millis)
        let months = civil.year * 12 + civil.month - 1 + Int(amount) * length
        let year = Int(CivilDate.floorDivide(Int64(months), 12))
        let month = months - year * 12 + 1
        return CivilDate.millis(
            year: year, month: month, day: min(civil.day, CivilDate.daysInMonth(year: year, month: month)),
            hour: civil.hour, minute: civil.minute, second: civil.second, millisecond: civil.millisecond)
    }

    /// How many boundaries of the unit lie between the dates.
    @Sendable private static func difference(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        guard !isNullish(arguments["startDate"]), !isNullish(arguments["endDate"]),
            let unit = try unit("$dateDiff", arguments), let zone = try timeZone(arguments)
        else { return .null }
        let start = try dateMillis(arguments["startDate"]) &+ zone.millis
        let end = try dateMillis(arguments["endDate"]) &+ zone.millis
        guard let length = unit.fixedMillis else {
            let a = CivilDate(millis: start)
            let b = CivilDate(millis: end)
            let first = CivilDate.floorDivide(Int64(a.year * 12 + a.month - 1), Int64(unit.months))
            let last = CivilDate.floorDivide(Int64(b.year * 12 + b.month - 1), Int64(unit.months))
            return .int64(last - first)
        }
        let shift = unit == .week ? weekShift(try startOfWeek("$dateDiff", arguments)) : 0
        return .int64(CivilDate.floorDivide(end &+ shift, length) &- CivilDate.floorDivide(start &+ shift, length))
    }

    /// What to add to a time so that weeks begin at multiples of a week: 1970 began on a Thursday.
    private static func weekShift(_ weekday: Int) -> Int64 {
        Int64(CivilDate.modulo(3 - weekday, 7)) * CivilDate.millisPerDay
    }

    /// 0 for Monday to 6 for Sunday, which is the default.
    private static func startOfWeek(_ name: String, _ arguments: NamedArguments) throws(ServerError) -> Int {
        guard arguments.has("startOfWeek"), let value = arguments["startOfWeek"], !isNullish(value) else { return 6 }
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        guard case .string(let text) = value else {
            throw ServerError(
                location: 5_439_015, "\(name) requires 'startOfWeek' to be a string, but got \(typeName(value))")
        }
        let lower = StringOperators.lowercased(text)
        guard let day = days.firstIndex(where: { $0 == lower || $0.prefix(3) == lower }) else {
            throw ServerError(
                .failedToParse, "\(name) parameter 'startOfWeek' value cannot be recognized as a day of a week: \(text)"
            )
        }
        return day
    }

    @Sendable private static func truncate(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        guard !isNullish(arguments["date"]), let unit = try unit("$dateTrunc", arguments),
            let zone = try timeZone(arguments)
        else { return .null }
        var size: Int64 = 1
        if arguments.has("binSize") {
            let value = arguments["binSize"]
            if isNullish(value) { return .null }
            guard let whole = value?.asInteger else {
                throw ServerError(
                    location: 5_439_017,
                    "$dateTrunc requires 'binSize' to be a 64-bit integer, but got \(typeName(value))")
            }
            guard whole > 0, whole < 100_000_000_000 else {
                throw ServerError(
                    location: 5_439_018, "$dateTrunc requires 'binSize' to be greater than 0, but got \(whole)")
            }
            size = whole
        }
        let millis = try dateMillis(arguments["date"]) &+ zone.millis
        // Bins are counted from 2000-01-01, weeks from the first start of a week after it.
        let reference = Int64(CivilDate.days(year: 2000, month: 1, day: 1)) * CivilDate.millisPerDay
        guard let length = unit.fixedMillis else {
            let civil = CivilDate(millis: millis)
            let months = Int64((civil.year - 2000) * 12 + civil.month - 1)
            let (bin, overflow) = size.multipliedReportingOverflow(by: Int64(unit.months))
            guard !overflow else { throw ServerError(.overflow, "$dateTrunc: 'binSize' is too large") }
            let first = CivilDate.floorDivide(months, bin) * bin
            guard let start = CivilDate.millis(year: 2000, month: Int(first) + 1, day: 1) else {
                throw ServerError(.overflow, "$dateTrunc: the date is out of range")
            }
            return .dateTime(start &- zone.millis)
        }
        var origin = reference
        if unit == .week {
            // 2000-01-01 was a Saturday.
            let weekday = try startOfWeek("$dateTrunc", arguments)
            origin += Int64(CivilDate.modulo(weekday - 5, 7)) * CivilDate.millisPerDay
        }
        let (bin, overflow) = size.multipliedReportingOverflow(by: length)
        let (distance, more) = millis.subtractingReportingOverflow(origin)
        guard !overflow, !more else { throw ServerError(.overflow, "$dateTrunc: the date is out of range") }
        return .dateTime(CivilDate.floorDivide(distance, bin) * bin &+ origin &- zone.millis)
    }
}
