/// A zone's rule in the format of POSIX's `TZ`, as TZif files end with: `CET-1CEST,M3.5.0,M10.5.0/3`.
struct PosixZone {
    /// Seconds east of Greenwich.
    private let standard: Int64
    private let summer: (offset: Int64, begins: Change, ends: Change)?

    /// A day of the year and a time of it.
    private struct Change {
        enum Day {
            /// 1 to 365; the leap day is not counted.
            case julian(Int)
            /// 0 to 365.
            case ordinal(Int)
            /// The `week`-th weekday of a month; 5 is the last.
            case weekday(month: Int, week: Int, weekday: Int)
        }
        let day: Day
        /// Seconds after midnight; may be negative or beyond the day.
        let seconds: Int64

        /// Seconds since 1970 on the clocks that the change ends.
        func local(_ year: Int) -> Int64 {
            let january = CivilDate.days(year: year, month: 1, day: 1)
            let number: Int
            switch day {
            case .julian(let day):
                let isLeap = CivilDate.daysInMonth(year: year, month: 2) == 29
                number = january + day - 1 + (isLeap && day >= 60 ? 1 : 0)
            case .ordinal(let day): number = january + day
            case .weekday(let month, let week, let weekday):
                let first = CivilDate.days(year: year, month: month, day: 1)
                let distance = CivilDate.modulo(weekday - CivilDate.modulo(first + 4, 7), 7)
                let last = CivilDate.daysInMonth(year: year, month: month)
                var day = distance + (week - 1) * 7
                if day >= last { day -= 7 }
                number = first + day
            }
            return Int64(number) * CivilDate.secondsPerDay + seconds
        }
    }

    init?(_ text: ArraySlice<UInt8>) {
        var scan = PosixScan(text)
        guard scan.name(), let west = scan.time() else { return nil }
        standard = -west
        if scan.isAtEnd {
            summer = nil
            return
        }
        guard scan.name() else { return nil }
        let offset = scan.next == UInt8(ascii: ",") ? standard + 3600 : scan.time().map { -$0 }
        guard let offset, let begins = PosixZone.change(&scan), let ends = PosixZone.change(&scan), scan.isAtEnd else {
            return nil
        }
        summer = (offset, begins, ends)
    }

    private static func change(_ scan: inout PosixScan) -> Change? {
        guard scan.take(",") else { return nil }
        let day: Change.Day
        if scan.take("M") {
            guard let month = scan.number(1...12), scan.take("."), let week = scan.number(1...5), scan.take("."),
                let weekday = scan.number(0...6)
            else { return nil }
            day = .weekday(month: month, week: week, weekday: weekday)
        } else if scan.take("J") {
            guard let number = scan.number(1...365) else { return nil }
            day = .julian(number)
        } else {
            guard let number = scan.number(0...365) else { return nil }
            day = .ordinal(number)
        }
        guard scan.take("/") else { return Change(day: day, seconds: 7200) }
        return scan.time().map { Change(day: day, seconds: $0) }
    }

    /// Seconds east of Greenwich at a time, in seconds since 1970.
    func offset(at seconds: Int64) -> Int64 {
        guard let summer else { return standard }
        let year = CivilDate(seconds: seconds + standard, millisecond: 0).year
        var latest = (time: Int64.min, offset: standard)
        // A year's changes lie in the year, or a few days beside it.
        for year in (year - 1)...(year + 1) {
            let begins = summer.begins.local(year) - standard
            let ends = summer.ends.local(year) - summer.offset
            for (time, offset) in [(begins, summer.offset), (ends, standard)]
            where time <= seconds && time >= latest.time { latest = (time, offset) }
        }
        return latest.offset
    }
}

/// Reads a rule from its start.
private struct PosixScan {
    private var rest: ArraySlice<UInt8>

    init(_ text: ArraySlice<UInt8>) { rest = text }

    var isAtEnd: Bool { rest.isEmpty }
    var next: UInt8? { rest.first }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    /// `CET` or `<+0330>`.
    mutating func name() -> Bool {
        if take("<") {
            guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
            rest = rest[(end + 1)...]
            return true
        }
        let name = rest.prefix { (65...90).contains($0 & 0xDF) }
        rest.removeFirst(name.count)
        return !name.isEmpty
    }

    mutating func number(_ allowed: ClosedRange<Int>) -> Int? {
        let digits = rest.prefix { (48...57).contains($0) }
        guard (1...3).contains(digits.count) else { return nil }
        rest.removeFirst(digits.count)
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
        return allowed.contains(value) ? value : nil
    }

    /// Seconds of `[±]hh[:mm[:ss]]`, up to a week.
    mutating func time() -> Int64? {
        let isNegative = take("-")
        if !isNegative { _ = take("+") }
        guard let hours = number(0...167) else { return nil }
        var seconds = hours * 3600
        if take(":") {
            guard let minutes = number(0...59) else { return nil }
            seconds += minutes * 60
            if take(":") {
                guard let rest = number(0...59) else { return nil }
                seconds += rest
            }
        }
        return Int64(isNegative ? -seconds : seconds)
    }
}
