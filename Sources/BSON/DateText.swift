/// Dates as ISO 8601 text, in the proleptic Gregorian calendar.
public enum DateText {
    private static let millisecondsPerDay: Int64 = 86_400_000

    /// `2012-12-24T12:15:30.501Z`, without the fraction when it is zero; nil outside the years 0 to 9999.
    public static func format(_ milliseconds: Int64) -> String? {
        var days = milliseconds / millisecondsPerDay
        var rest = Int(milliseconds % millisecondsPerDay)
        if rest < 0 {
            rest += Int(millisecondsPerDay)
            days -= 1
        }
        let (year, month, day) = civil(days: days)
        guard year >= 0, year <= 9999 else { return nil }
        let (hour, minute, second, fraction) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000)
        let date = "\(padded(Int(year), 4))-\(padded(month, 2))-\(padded(day, 2))"
        let time = "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))"
        return "\(date)T\(time)\(fraction == 0 ? "" : "." + padded(fraction, 3))Z"
    }

    /// Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ss`, an optional fraction, and `Z` or an offset (`+01:00`,
    /// `+0100`); nil for other text. Seconds may be left out.
    public static func parse(_ text: String) -> Int64? {
        var scan = Scan(text: Array(text.utf8))
        guard let year = scan.digits(4), scan.take("-"), let month = scan.digits(2), scan.take("-"),
            let day = scan.digits(2), scan.take("T"), let hour = scan.digits(2), scan.take(":"),
            let minute = scan.digits(2)
        else { return nil }
        let second = scan.take(":") ? scan.digits(2) : 0
        guard let second, month >= 1, month <= 12, day >= 1, day <= daysInMonth(year, month), hour < 24, minute < 60,
            second < 60
        else { return nil }
        let fraction = scan.take(".") ? scan.fraction() : 0
        guard let fraction, let offset = scan.offsetMinutes(), scan.isAtEnd else { return nil }
        let minutes = (hour * 60 + minute - offset)
        return days(year: Int64(year), month: month, day: day) * millisecondsPerDay
            + Int64(minutes * 60_000 + second * 1000 + fraction)
    }

    private static func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(width - digits.utf8.count, 0)) + digits
    }

    private static func daysInMonth(_ year: Int, _ month: Int) -> Int {
        if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
        return [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Days from 1970-01-01. Counts in years from March, so that leap days are last (Hinnant, "chrono-compatible
    /// low-level date algorithms").
    static func days(year: Int64, month: Int, day: Int) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// The date that lies `days` after 1970-01-01.
    static func civil(days: Int64) -> (year: Int64, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        let month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private struct Scan {
        let text: [UInt8]
        var at = 0

        var isAtEnd: Bool { at == text.count }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard at < text.count, text[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        mutating func digit() -> Int? {
            guard at < text.count, text[at] >= UInt8(ascii: "0"), text[at] <= UInt8(ascii: "9") else { return nil }
            at += 1
            return Int(text[at - 1] - UInt8(ascii: "0"))
        }

        mutating func digits(_ count: Int) -> Int? {
            var value = 0
            for _ in 0..<count {
                guard let digit = digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// Milliseconds; digits behind the third are cut off.
        mutating func fraction() -> Int? {
            guard var value = digit() else { return nil }
            var count = 1
            while let digit = digit() {
                if count < 3 { value = value * 10 + digit }
                count += 1
            }
            while count < 3 {
                value *= 10
                count += 1
            }
            return value
        }

        mutating func offsetMinutes() -> Int? {
            if take("Z") { return 0 }
            let isNegative = take("-")
            guard isNegative || take("+"), let hours = digits(2) else { return nil }
            _ = take(":")
            guard let minutes = digits(2), hours < 24, minutes < 60 else { return nil }
            return (hours * 60 + minutes) * (isNegative ? -1 : 1)
        }
    }
}
