import BSON
import Core

/// `$dateTrunc`: the start of the bin that a date lies in.
///
/// Bins are counted from the start of the year 2000 in the zone, weeks from the first start of a week in it. Up to
/// hours they are as long as they pass; days and longer begin when clocks of the zone say so.
enum DateTruncation {
    @Sendable static func truncate(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        guard !isNullish(arguments["date"]), let unit = try DateMathOperators.unit("$dateTrunc", arguments),
            let size = try binSize(arguments), let zone = try timeZone(arguments),
            let weekday = try DateMathOperators.startOfWeek("$dateTrunc", unit, arguments)
        else { return .null }
        let date = arguments["date"]
        let millis = try dateMillis(date) {
            ServerError(location: 5_439_012, "$dateTrunc requires 'date' to be a date, but got \(typeName(date))")
        }
        let start =
            unit.exactMillis.map { exactStart(zone, millis, size, $0) } ?? civilStart(zone, millis, size, unit, weekday)
        guard let start else { throw ServerError(.overflow, "$dateTrunc: the date is out of range") }
        return .dateTime(start)
    }

    private static func binSize(_ arguments: NamedArguments) throws(ServerError) -> Int64? {
        guard arguments.has("binSize") else { return 1 }
        let value = arguments["binSize"]
        if isNullish(value) { return nil }
        guard let size = value?.asInteger else {
            throw ServerError(
                location: 5_439_017,
                "$dateTrunc requires 'binSize' to be a 64-bit integer, but got \(ValueText.text(value ?? .null))")
        }
        guard size > 0 else {
            throw ServerError(
                location: 5_439_018, "$dateTrunc requires 'binSize' to be greater than 0, but got \(size)")
        }
        // No two dates are further apart in any unit but the shortest ones.
        guard size < 100_000_000_000 else {
            throw ServerError(
                location: 5_439_018,
                "$dateTrunc requires 'binSize' to be less than 100000000000, but got \(size)")
        }
        return size
    }

    private static func exactStart(_ zone: DateTimeZone, _ millis: Int64, _ size: Int64, _ length: Int64) -> Int64? {
        let origin = Int128(zone.utc(local: Int64(daysOf2000) * CivilDate.secondsPerDay)) * 1000
        let bin = Int128(size) * Int128(length)
        return Int64(exactly: floored(Int128(millis) - origin, bin) + origin)
    }

    private static func civilStart(
        _ zone: DateTimeZone, _ millis: Int64, _ size: Int64, _ unit: DateUnit, _ weekday: Int
    ) -> Int64? {
        let civil = zone.local(millis)
        let start: (year: Int, month: Int, day: Int)
        if let days = unit.days {
            // 2000-01-01 was a Saturday.
            let origin = daysOf2000 + (unit == .week ? CivilDate.modulo(weekday - 5, 7) : 0)
            let distance = floored(Int128(civil.dayNumber - origin), Int128(size) * Int128(days))
            start = (1970, 1, 1 + origin + Int(distance))
        } else {
            let distance = floored(Int128(civil.monthNumber - 2000 * 12), Int128(size) * Int128(unit.months))
            start = (2000, 1 + Int(distance), 1)
        }
        return CivilDate.seconds(year: start.year, month: start.month, day: start.day).flatMap {
            zone.millis(local: $0, millisecond: 0)
        }
    }

    private static let daysOf2000 = CivilDate.days(year: 2000, month: 1, day: 1)

    /// The greatest multiple of `bin` that is not above `value`.
    private static func floored(_ value: Int128, _ bin: Int128) -> Int128 {
        let rest = value % bin
        return value - (rest < 0 ? rest + bin : rest)
    }
}
