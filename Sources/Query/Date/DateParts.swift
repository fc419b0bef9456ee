import BSON
import Core

/// What a text says of a date, part by part.
struct DateParts {
    enum Day {
        case month(Int, Int)
        case ordinal(Int)
        /// Of the ISO year: week and weekday.
        case week(Int, Int)
    }

    var year: Int?
    var day: Day?
    /// 1 for Monday, where a name of a weekday stands beside the date.
    var weekday: Int?
    var time: (hour: Int, minute: Int, second: Int, millisecond: Int)?
    /// Seconds east of Greenwich, where the text says so.
    var offset: Int64?

    static func failure(_ text: String, _ reason: String) -> ServerError {
        ServerError(.conversionFailure, "Error parsing date string '\(text)'; \(reason)")
    }

    /// Milliseconds since 1970.
    /// - Parameter zone: the operand `timezone`; nil when there is none.
    func millis(_ zone: DateTimeZone?, _ text: String) throws(ServerError) -> Int64 {
        if offset != nil, let zone, !zone.isUTC {
            throw DateParts.failure(
                text,
                "you cannot pass in a date/time string with time zone information together with a timezone argument")
        }
        guard let year, let day else {
            throw DateParts.failure(
                text, "an incomplete date/time string has been found, with elements missing: \"\(text)\"")
        }
        let time = time ?? (0, 0, 0, 0)
        guard let number = dayNumber(year, day), hasTime(time),
            weekday.map({ $0 == CivilDate.modulo(number + 3, 7) + 1 }) ?? true,
            let local = CivilDate.seconds(
                year: 1970, month: 1, day: number + 1, hour: time.hour, minute: time.minute, second: time.second),
            let millis = (offset.map { .fixed($0) } ?? zone ?? .utc).millis(
                local: local, millisecond: time.millisecond)
        else { throw DateParts.failure(text, "the parsed date was invalid") }
        return millis
    }

    private func hasTime(_ time: (hour: Int, minute: Int, second: Int, millisecond: Int)) -> Bool {
        // The end of a day, and leap seconds, carry over.
        if time.hour == 24 { return time.minute == 0 && time.second == 0 && time.millisecond == 0 }
        return time.hour < 24 && time.minute < 60 && time.second <= 60
    }

    private func dayNumber(_ year: Int, _ day: Day) -> Int? {
        switch day {
        case .month(let month, let day):
            guard (1...12).contains(month), day >= 1, day <= CivilDate.daysInMonth(year: year, month: month) else {
                return nil
            }
            return CivilDate.days(year: year, month: month, day: day)
        case .ordinal(let day):
            let isLeap = CivilDate.daysInMonth(year: year, month: 2) == 29
            guard (1...(isLeap ? 366 : 365)).contains(day) else { return nil }
            return CivilDate.days(year: year, month: 1, day: day)
        case .week(let week, let weekday):
            guard (1...7).contains(weekday), week >= 1 else { return nil }
            let number = CivilDate.days(isoYear: year, week: week, weekday: weekday)
            let date = CivilDate(seconds: Int64(number) * CivilDate.secondsPerDay, millisecond: 0)
            return date.isoWeek.year == year ? number : nil
        }
    }
}
