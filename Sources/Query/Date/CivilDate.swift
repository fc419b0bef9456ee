/// A point of time taken apart by the Gregorian calendar, without leap seconds.
///
/// Counts in whole seconds: so every 64-bit number of milliseconds, in every time zone, has a date without overflow.
struct CivilDate {
    static let secondsPerDay: Int64 = 86_400

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
        self.init(seconds: CivilDate.floorDivide(millis, 1000), millisecond: CivilDate.modulo(Int(millis), 1000))
    }

    /// Takes apart seconds since 1970, which lie within what milliseconds can count and some days beyond it.
    init(seconds: Int64, millisecond: Int) {
        let days = Int(CivilDate.floorDivide(seconds, CivilDate.secondsPerDay))
        let rest = CivilDate.modulo(Int(seconds), Int(CivilDate.secondsPerDay))
        (year, month, day) = CivilDate.civil(fromDays: days)
        dayNumber = days
        hour = rest / 3600
        minute = rest / 60 % 60
        second = rest % 60
        self.millisecond = millisecond
    }

    /// Seconds since midnight.
    var secondOfDay: Int { hour * 3600 + minute * 60 + second }
    /// Months since the year 0.
    var monthNumber: Int { year * 12 + month - 1 }

    /// Rounds towards negative infinity. The divisor is positive.
    static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
        let quotient = a / b
        return a % b < 0 ? quotient - 1 : quotient
    }

    static func modulo(_ a: Int, _ b: Int) -> Int {
        let rest = a % b
        return rest < 0 ? rest + b : rest
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

    /// Beyond these no parts are a date that milliseconds can count: the sums below stay far from overflow.
    private static let partMax = 1_000_000_000_000

    /// Seconds since 1970 of parts that may lie outside their ranges and carry over; nil beyond every date.
    static func seconds(
        year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0
    ) -> Int64? {
        for part in [year, month, day] where part.magnitude > partMax { return nil }
        let days = Int128(days(year: year, month: month, day: day))
        let clock = Int128(hour) * 3600 + Int128(minute) * 60 + Int128(second)
        let sum = days * Int128(secondsPerDay) + clock
        // Nine bits below the end of 64 bits: there is room for a zone's offset.
        return sum.magnitude < 1 << 54 ? Int64(sum) : nil
    }

    /// Milliseconds since 1970; nil when that is no 64-bit number.
    static func millis(seconds: Int64, millisecond: Int) -> Int64? {
        Int64(exactly: Int128(seconds) * 1000 + Int128(millisecond))
    }

    /// 1 for the first of January.
    var dayOfYear: Int { dayNumber - CivilDate.days(year: year, month: 1, day: 1) + 1 }
    /// 1 for Sunday to 7 for Saturday.
    var dayOfWeek: Int { CivilDate.modulo(dayNumber + 4, 7) + 1 }
    /// 1 for Monday to 7 for Sunday.
    var isoDayOfWeek: Int { CivilDate.modulo(dayNumber + 3, 7) + 1 }
    /// Weeks begin on Sunday; days before the first Sunday are week 0.
    var week: Int { (dayOfYear + 7 - dayOfWeek) / 7 }

    /// The ISO 8601 week: the one with the year's first Thursday is week 1.
    var isoWeek: (year: Int, week: Int) {
        let thursday = dayNumber - isoDayOfWeek + 4
        let year = CivilDate.civil(fromDays: thursday).year
        return (year, (thursday - CivilDate.days(year: year, month: 1, day: 1)) / 7 + 1)
    }

    /// The day number of an ISO 8601 week date; `week` and `weekday` may carry over.
    static func days(isoYear: Int, week: Int, weekday: Int) -> Int {
        // The fourth of January is always in week 1.
        let fourth = days(year: isoYear, month: 1, day: 4)
        return fourth - modulo(fourth + 3, 7) + (week - 1) * 7 + weekday - 1
    }
}
