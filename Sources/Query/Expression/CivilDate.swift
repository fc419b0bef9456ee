import BSON
import Core

/// A point of time taken apart by the Gregorian calendar, without leap seconds.
struct CivilDate {
    static let millisPerDay: Int64 = 86_400_000

    let year: Int
    let month: Int
    let day: Int
    let hour: Int
    let minute: Int
    let second: Int
    let millisecond: Int
    /// Days since 1970-01-01.
    let dayNumber: Int

    /// Takes apart milliseconds since 1970.
    init(millis: Int64) {
        let days = Int(CivilDate.floorDivide(millis, CivilDate.millisPerDay))
        let rest = Int(millis - Int64(days) * CivilDate.millisPerDay)
        (year, month, day) = CivilDate.civil(fromDays: days)
        dayNumber = days
        hour = rest / 3_600_000
        minute = rest / 60_000 % 60
        second = rest / 1000 % 60
        millisecond = rest % 1000
    }

    /// Rounds towards negative infinity.
    static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
        let quotient = a / b
        return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient
    }

    /// Days since 1970-01-01 of a date; `month` and `day` may lie outside their ranges and carry over.
    static func days(year: Int, month: Int, day: Int) -> Int {
        let months = year * 12 + month - 1
        let year = Int(floorDivide(Int64(months), 12))
        let month = months - year * 12 + 1
        // Years from March, so that the leap day is the last; eras of 400 years.
        let shifted = month <= 2 ? year - 1 : year
        let era = Int(floorDivide(Int64(shifted), 400))
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468 + day - 1
    }

    private static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = Int(floorDivide(Int64(shifted), 146_097))
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    static func daysInMonth(year: Int, month: Int) -> Int {
        days(year: year, month: month + 1, day: 1) - days(year: year, month: month, day: 1)
    }

    /// Milliseconds since 1970 of parts that may lie outside their ranges; nil when it is no 64-bit number.
    static func millis(
        year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0, millisecond: Int = 0
    ) -> Int64? {
        // The parts are 16-bit to 32-bit numbers, so only the last steps can overflow.
        guard abs(year) <= 400_000_000 else { return nil }
        let day = Int64(days(year: year, month: month, day: day))
        let clock = Int64(hour) * 3_600_000 + Int64(minute) * 60_000 + Int64(second) * 1000 + Int64(millisecond)
        let (scaled, overflow) = day.multipliedReportingOverflow(by: millisPerDay)
        let (sum, more) = scaled.addingReportingOverflow(clock)
        return overflow || more ? nil : sum
    }

    /// 1 for the first of January.
    var dayOfYear: Int { dayNumber - CivilDate.days(year: year, month: 1, day: 1) + 1 }
    /// 1 for Sunday to 7 for Saturday.
    var dayOfWeek: Int { Int(CivilDate.modulo(dayNumber + 4, 7)) + 1 }
    /// 1 for Monday to 7 for Sunday.
    var isoDayOfWeek: Int { Int(CivilDate.modulo(dayNumber + 3, 7)) + 1 }
    /// Weeks begin on Sunday; days before the first Sunday are week 0.
    var week: Int { (dayOfYear + 7 - dayOfWeek) / 7 }

    /// The ISO 8601 week: the one with the year's first Thursday is week 1.
    var isoWeek: (year: Int, week: Int) {
        let thursday = dayNumber - isoDayOfWeek + 4
        let year = CivilDate.civil(fromDays: thursday).year
        return (year, (thursday - CivilDate.days(year: year, month: 1, day: 1)) / 7 + 1)
    }

    static func modulo(_ a: Int, _ b: Int) -> Int {
        let rest = a % b
        return rest < 0 ? rest + b : rest
    }
}

/// An offset from UTC.
struct TimeZoneOffset {
    /// East of Greenwich is positive.
    let millis: Int64

    static let utc = TimeZoneOffset(millis: 0)

    init(millis: Int64) { self.millis = millis }

    /// Parses `UTC`, `GMT`, `Z` and `±hh[[:]mm]`.
    init(_ text: String) throws(ServerError) {
        if ["UTC", "GMT", "Z", "Etc/UTC"].contains(text) {
            millis = 0
            return
        }
        guard let sign = text.utf8.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") else {
            throw ServerError(
                location: 40485,
                "unrecognized time zone identifier: \"\(text)\" (only UTC and offsets like +01:00 are supported)")
        }
        let digits = text.utf8.dropFirst().filter { $0 != UInt8(ascii: ":") }
        let isWellFormed = digits.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isWellFormed, digits.count == 2 || digits.count == 4, text.utf8.count <= 6,
            let hours = Int64(String(decoding: digits.prefix(2), as: UTF8.self)),
            let minutes = digits.count == 4 ? Int64(String(decoding: digits.suffix(2), as: UTF8.self)) : 0
        else {
            throw ServerError(location: 40485, "unrecognized time zone identifier: \"\(text)\"")
        }
        millis = (hours * 60 + minutes) * 60_000 * (sign == UInt8(ascii: "-") ? -1 : 1)
    }

    /// `+hh:mm` or, packed, `+hhmm`.
    func text(separator: String) -> String {
        let minutes = abs(millis) / 60_000
        return (millis < 0 ? "-" : "+") + pad(Int(minutes / 60), 2) + separator + pad(Int(minutes % 60), 2)
    }
}

/// A number with leading zeros.
func pad(_ value: Int, _ width: Int) -> String {
    let digits = String(abs(value))
    return (value < 0 ? "-" : "") + String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A value's time in milliseconds: dates, object ids and timestamps have one.
func dateMillis(_ value: Value?) throws(ServerError) -> Int64 {
    switch value {
    case .dateTime(let millis): return millis
    case .objectID(let id): return Int64(id.seconds) * 1000
    case .timestamp(let timestamp): return Int64(timestamp.seconds) * 1000
    default:
        throw ServerError(location: 16006, "can't convert from BSON type \(typeName(value)) to Date")
    }
}

/// The operand `timezone`; nil when it is null or missing, so that the operator answers null.
func timeZone(_ arguments: NamedArguments) throws(ServerError) -> TimeZoneOffset? {
    guard arguments.has("timezone") else { return .utc }
    let value = arguments["timezone"]
    if isNullish(value) { return nil }
    guard case .string(let text) = value else {
        throw ServerError(location: 40517, "timezone must evaluate to a string, found \(typeName(value))")
    }
    return try TimeZoneOffset(text)
}
