import BSON
import Core

/// Understands the texts of dates that MongoDB takes without a format: ISO 8601 in its variants, and dates with English
/// names of months or with slashes. Words that are about now (`tomorrow`, `Friday`) are refused.
struct DateParser {
    private var scan: DateScanner
    private let text: String
    private var parts = DateParts()

    /// Milliseconds since 1970.
    static func parse(_ text: String, zone: DateTimeZone?) throws(ServerError) -> Int64 {
        var parser = DateParser(text)
        try parser.run()
        return try parser.parts.millis(zone, text)
    }

    private init(_ text: String) {
        self.text = text
        scan = DateScanner(text)
    }

    private mutating func run() throws(ServerError) {
        while true {
            scan.skip(allOf: " \t\n\r,")
            if scan.isAtEnd { return }
            if parts.day == nil, takeDate() { continue }
            if parts.time == nil, takeTime() { continue }
            if parts.offset == nil, parts.day != nil, takeZone() { continue }
            if parts.weekday == nil, takeWeekday() { continue }
            var ahead = scan
            let name = ahead.zoneName()
            if parts.day != nil, ZoneDatabase.zone(name) != nil {
                throw DateParts.failure(
                    text, "passing a time zone identifier as part of the string is not allowed '\(name)'")
            }
            throw DateParts.failure(text, "unexpected text '\(scan.rest)'")
        }
    }

    // MARK: Dates

    private mutating func takeDate() -> Bool {
        for form in [Self.dashed, Self.compact, Self.slashed, Self.dayFirst, Self.monthFirst] {
            guard let (year, day) = scan.attempt({ form(&$0) }) else { continue }
            (parts.year, parts.day) = (year, day)
            return true
        }
        return false
    }

    private typealias Found = (year: Int?, day: DateParts.Day)

    /// `2018-03-20`, `2018/3/20`, `2018-Mar-20`, `2018-03`, `2018-W12-2`, `2018-079`.
    private static func dashed(_ scan: inout DateScanner) -> Found? {
        guard let year = scan.whole(4...4) else { return nil }
        if let day = scan.attempt({ week(&$0) }) { return (year, day) }
        if let day = scan.attempt({ $0.take(anyOf: "-.") != nil ? $0.whole(3...3) : nil }) {
            return (year, .ordinal(day))
        }
        guard let separator = scan.take(anyOf: "-/") else { return nil }
        guard let month = scan.whole(1...2) ?? name(&scan) else { return nil }
        let day = scan.attempt { $0.take(anyOf: "-/") == separator ? $0.whole(1...2) : nil }
        guard day != nil || separator == UInt8(ascii: "-") else { return nil }
        return (year, .month(month, day ?? 1))
    }

    /// `-W12-2`, `W122`, `-W12`.
    private static func week(_ scan: inout DateScanner) -> DateParts.Day? {
        _ = scan.take("-")
        guard scan.take("W"), let week = scan.number(2...2) else { return nil }
        let weekday = scan.attempt { scan in
            _ = scan.take("-")
            return scan.whole(1...1)
        }
        return .week(week, weekday ?? 1)
    }

    /// `20180320` and `2018079`, alone or before a `T`, and the fourteen digits of a date and a time.
    private static func compact(_ scan: inout DateScanner) -> Found? {
        switch scan.digitCount {
        case 7:
            guard let year = scan.number(4...4), let day = scan.number(3...3) else { return nil }
            return (year, .ordinal(day))
        case 8, 14:
            guard let year = scan.number(4...4), let month = scan.number(2...2), let day = scan.number(2...2) else {
                return nil
            }
            return (year, .month(month, day))
        default: return nil
        }
    }

    /// `3/20/2018`, the month first.
    private static func slashed(_ scan: inout DateScanner) -> Found? {
        guard let month = scan.whole(1...2), scan.take("/"), let day = scan.whole(1...2) else { return nil }
        let year = scan.attempt { $0.take("/") ? Self.year(&$0) : nil }
        return (year, .month(month, day))
    }

    /// `20-3-2018`, `20.3.2018`, `20 March 2018`, `20th of Mar, 2018`, `20-Mar-2018`.
    private static func dayFirst(_ scan: inout DateScanner) -> Found? {
        guard let day = scan.whole(1...2) else { return nil }
        if let (month, year) = scan.attempt({ scan -> (Int, Int)? in
            guard let separator = scan.take(anyOf: "-."), let month = scan.whole(1...2),
                scan.take(anyOf: "-.") == separator, let year = Self.year(&scan)
            else { return nil }
            return (month, year)
        }) {
            return (year, .month(month, day))
        }
        suffix(&scan)
        scan.skip(allOf: " \t-.")
        _ = scan.attempt { $0.word() == "of" ? true : nil }
        scan.skip(allOf: " \t")
        guard let month = name(&scan) else { return nil }
        return (yearBehind(&scan), .month(month, day))
    }

    /// `March 20, 2018`, `Mar-20-2018`, `March 2018`, `March 20`.
    private static func monthFirst(_ scan: inout DateScanner) -> Found? {
        guard let month = name(&scan) else { return nil }
        scan.skip(allOf: " \t-.")
        if let year = scan.whole(4...4) { return (year, .month(month, 1)) }
        guard let day = scan.whole(1...2) else { return nil }
        suffix(&scan)
        return (yearBehind(&scan), .month(month, day))
    }

    private static func name(_ scan: inout DateScanner) -> Int? {
        scan.attempt { $0.word().flatMap { DateNames.month($0) } }
    }

    /// `1st`, `2nd`, `3rd`, `4th`.
    private static func suffix(_ scan: inout DateScanner) {
        _ = scan.attempt { scan in scan.word().flatMap { ["st", "nd", "rd", "th"].contains($0) ? true : nil } }
    }

    /// The year behind a day and a month; not the hour of a time.
    private static func yearBehind(_ scan: inout DateScanner) -> Int? {
        scan.attempt { scan in
            scan.skip(allOf: " \t-.,")
            guard let year = scan.whole(4...4), scan.next != UInt8(ascii: ":") else { return nil }
            return year
        }
    }

    /// Four digits, or two for a year from 1970 to 2069.
    private static func year(_ scan: inout DateScanner) -> Int? {
        if let year = scan.whole(4...4) { return year }
        return scan.whole(2...2).map { $0 < 70 ? $0 + 2000 : $0 + 1900 }
    }

    // MARK: Times and zones

    private mutating func takeTime() -> Bool {
        let isBehindDate = parts.day != nil
        let time = scan.attempt { scan -> (hour: Int, minute: Int, second: Int, millisecond: Int)? in
            let isMarked = isBehindDate && scan.take(anyOf: "Tt") != nil
            if isMarked || isBehindDate, [4, 6].contains(scan.digitCount), let hour = scan.number(2...2),
                let minute = scan.number(2...2)
            {
                let second = scan.number(2...2)
                return (hour, minute, second ?? 0, second == nil ? 0 : Self.fraction(&scan))
            }
            guard let hour = scan.whole(1...2) else { return nil }
            var clock = (hour: hour, minute: 0, second: 0, millisecond: 0)
            let minute = scan.attempt { $0.take(":") ? $0.whole(1...2) : nil }
            if let minute {
                clock.minute = minute
                if let second = scan.attempt({ $0.take(":") ? $0.whole(1...2) : nil }) {
                    clock.second = second
                    clock.millisecond = Self.fraction(&scan)
                }
            }
            if let isAfternoon = scan.attempt({ Self.meridian(&$0) }) {
                guard (1...12).contains(hour) else { return nil }
                clock.hour = hour % 12 + (isAfternoon ? 12 : 0)
                return clock
            }
            return minute != nil || isMarked ? clock : nil
        }
        guard let time else { return false }
        parts.time = time
        return true
    }

    private static func fraction(_ scan: inout DateScanner) -> Int {
        scan.attempt { $0.take(anyOf: ".,") != nil ? $0.fraction() : nil } ?? 0
    }

    /// Whether `am` or `pm`, also with points, stands behind a time.
    private static func meridian(_ scan: inout DateScanner) -> Bool? {
        scan.skip(allOf: " \t")
        guard let letter = scan.take(anyOf: "aApP") else { return nil }
        _ = scan.take(".")
        guard scan.take(anyOf: "mM") != nil else { return nil }
        _ = scan.take(".")
        return DateScanner.isLetter(scan.next) ? nil : letter | 0x20 == UInt8(ascii: "p")
    }

    private mutating func takeZone() -> Bool {
        let offset = scan.attempt { scan -> Int64? in
            let isBracketed = scan.take("(")
            var found = scan.offset()
            if found == nil, let word = scan.word() {
                found = DateNames.offset(word)
                if found == 0, word != "z", let more = scan.offset() { found = more }
                if DateScanner.isLetter(scan.next) || scan.next == UInt8(ascii: "/") { return nil }
            }
            if isBracketed, !scan.take(")") { return nil }
            return found
        }
        guard let offset else { return false }
        parts.offset = offset
        return true
    }

    private mutating func takeWeekday() -> Bool {
        guard let weekday = scan.attempt({ $0.word().flatMap { DateNames.weekday($0) } }) else { return false }
        parts.weekday = weekday
        return true
    }
}
