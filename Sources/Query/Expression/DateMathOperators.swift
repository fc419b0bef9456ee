import BSON
import Core

/// A unit of time of `$dateAdd`, `$dateDiff`, `$dateTrunc`.
enum DateUnit: String {
    case year, quarter, month, week, day, hour, minute, second, millisecond

    /// Milliseconds of a unit that passes as fast everywhere; nil for days, which clocks may make longer, and above.
    var exactMillis: Int64? {
        switch self {
        case .year, .quarter, .month, .week, .day: nil
        case .hour: 3_600_000
        case .minute: 60_000
        case .second: 1000
        case .millisecond: 1
        }
    }

    /// Days of a unit that is counted in them.
    var days: Int? {
        switch self {
        case .week: 7
        case .day: 1
        default: nil
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
            required: ["date", "unit"], optional: ["binSize", "timezone", "startOfWeek"], DateTruncation.truncate),
    ]

    /// The unit; nil for null.
    static func unit(_ name: String, _ arguments: NamedArguments) throws(ServerError) -> DateUnit? {
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
        let millis = try dateMillis(start) {
            ServerError(location: 5_166_403, "\(name) requires startDate to be convertible to a date")
        }
        guard var amount = amountValue?.asInteger else {
            throw ServerError(location: 5_166_405, "\(name) expects integer amount of time units")
        }
        if isNegated {
            guard amount != .min else {
                throw ServerError(location: 6_045_000, "invalid \(name) 'amount' parameter value")
            }
            amount = -amount
        }
        guard let moved = moved(millis, by: amount, unit, zone) else {
            throw ServerError(location: 5_166_406, "\(name) overflowed")
        }
        return .dateTime(moved)
    }

    /// A date moved by so many units; nil when that is beyond all dates.
    static func moved(_ millis: Int64, by amount: Int64, _ unit: DateUnit, _ zone: DateTimeZone = .utc) -> Int64? {
        unit.exactMillis.map { addExact(millis, amount, $0) } ?? addCivil(zone, millis, amount, unit)
    }

    private static func addExact(_ millis: Int64, _ amount: Int64, _ length: Int64) -> Int64? {
        let (distance, overflow) = amount.multipliedReportingOverflow(by: length)
        let (moved, more) = millis.addingReportingOverflow(distance)
        return overflow || more ? nil : moved
    }

    /// Moves by days or months, keeping what clocks show; a day that the target month does not have becomes its last.
    private static func addCivil(_ zone: DateTimeZone, _ millis: Int64, _ amount: Int64, _ unit: DateUnit) -> Int64? {
        // More than there are days between all dates.
        guard amount.magnitude < 1_000_000_000_000 else { return nil }
        let civil = zone.local(millis)
        var (year, month, day) = (1970, 1, 1)
        if let days = unit.days {
            day += civil.dayNumber + Int(amount) * days
        } else {
            let months = civil.monthNumber + Int(amount) * unit.months
            year = Int(CivilDate.floorDivide(Int64(months), 12))
            month = months - year * 12 + 1
            day = min(civil.day, CivilDate.daysInMonth(year: year, month: month))
        }
        guard let local = CivilDate.seconds(year: year, month: month, day: day, second: civil.secondOfDay) else {
            return nil
        }
        return zone.millis(local: local, millisecond: civil.millisecond)
    }

    /// How many boundaries of the unit lie between the dates.
    @Sendable private static func difference(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        guard !isNullish(arguments["startDate"]), !isNullish(arguments["endDate"]),
            let unit = try unit("$dateDiff", arguments), let zone = try timeZone(arguments),
            let weekday = try startOfWeek("$dateDiff", unit, arguments)
        else { return .null }
        let start = try bound("startDate", arguments)
        let end = try bound("endDate", arguments)
        if unit == .millisecond {
            let (distance, overflow) = end.subtractingReportingOverflow(start)
            guard !overflow else { throw ServerError(location: 5_166_308, "$dateDiff overflowed") }
            return .int64(distance)
        }
        return .int64(ordinal(unit, zone, end, weekday) - ordinal(unit, zone, start, weekday))
    }

    private static func bound(_ name: String, _ arguments: NamedArguments) throws(ServerError) -> Int64 {
        let value = arguments[name]
        return try dateMillis(value) {
            ServerError(
                location: 5_166_307, "$dateDiff requires '\(name)' to be a date, but got \(typeName(value))")
        }
    }

    /// The number of the unit (longer than a millisecond) that a time lies in, from a fixed one.
    private static func ordinal(_ unit: DateUnit, _ zone: DateTimeZone, _ millis: Int64, _ weekday: Int) -> Int64 {
        let civil = zone.local(millis)
        if let days = unit.days {
            // 1970 began on a Thursday.
            let shift = unit == .week ? CivilDate.modulo(3 - weekday, 7) : 0
            return CivilDate.floorDivide(Int64(civil.dayNumber + shift), Int64(days))
        }
        guard let length = unit.exactMillis else {
            return CivilDate.floorDivide(Int64(civil.monthNumber), Int64(unit.months))
        }
        // Hours are counted as they pass; clocks of the zone only say where they begin.
        let seconds = CivilDate.floorDivide(millis, 1000)
        let start = Int64(CivilDate.modulo(Int(zone.offset(at: seconds)), Int(length / 1000)))
        return CivilDate.floorDivide(seconds + start, length / 1000)
    }

    /// 0 for Monday to 6 for Sunday, which is the default; nil for null. Only weeks ask for it.
    static func startOfWeek(
        _ name: String, _ unit: DateUnit, _ arguments: NamedArguments
    ) throws(ServerError) -> Int? {
        guard unit == .week, arguments.has("startOfWeek") else { return 6 }
        let value = arguments["startOfWeek"]
        if isNullish(value) { return nil }
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        guard case .string(let text) = value else {
            throw ServerError(
                location: 5_439_015, "\(name) requires 'startOfWeek' to be a string, but got \(typeName(value))")
        }
        let lower = StringOperators.lowercased(text)
        guard let day = days.firstIndex(where: { $0 == lower || $0.prefix(3) == lower }) else {
            throw ServerError(
                location: 5_439_016,
                "\(name) parameter 'startOfWeek' value cannot be recognized as a day of a week: \(text)")
        }
        return day
    }
}
