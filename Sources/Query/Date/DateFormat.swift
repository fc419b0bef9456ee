import BSON
import Core

/// Dates as text, and texts by a format.
enum DateFormat {
    /// As `$toString` and `$dateToString` write it by default.
    /// - Throws: 18537 for a year beyond four digits.
    static func iso(_ millis: Int64) throws(ServerError) -> String {
        let date = CivilDate(millis: millis)
        return "\(try yearText(date.year))-\(pad(date.month, 2))-\(pad(date.day, 2))T\(pad(date.hour, 2)):"
            + "\(pad(date.minute, 2)):\(pad(date.second, 2)).\(pad(date.millisecond, 3))Z"
    }

    private static func yearText(_ year: Int) throws(ServerError) -> String {
        guard (0...9999).contains(year) else {
            throw ServerError(
                location: 18537,
                "Could not convert date to string: date component was outside the supported range of 0-9999: \(year)")
        }
        return pad(year, 4)
    }

    private static func unmatched() -> ServerError {
        ServerError(location: 18535, "Unmatched '%' at end of format string")
    }
    private static func unknown(_ specifier: Unicode.Scalar) -> ServerError {
        ServerError(location: 18536, "Invalid format character '%\(specifier)' in format string")
    }

    // MARK: Writing

    static func format(_ millis: Int64, _ format: String, _ zone: DateTimeZone) throws(ServerError) -> String {
        let date = zone.local(millis)
        let offset = zone.offset(at: CivilDate.floorDivide(millis, 1000))
        var result = ""
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                result.unicodeScalars.append(character)
                continue
            }
            guard let specifier = characters.next() else { throw unmatched() }
            result += try text(of: specifier, date, offset)
        }
        return result
    }

    private static func text(
        of specifier: Unicode.Scalar, _ date: CivilDate, _ offset: Int64
    ) throws(ServerError) -> String {
        switch specifier {
        case "Y": return try yearText(date.year)
        case "m": return pad(date.month, 2)
        case "d": return pad(date.day, 2)
        case "H": return pad(date.hour, 2)
        case "M": return pad(date.minute, 2)
        case "S": return pad(date.second, 2)
        case "L": return pad(date.millisecond, 3)
        case "j": return pad(date.dayOfYear, 3)
        case "w": return String(date.dayOfWeek)
        case "u": return String(date.isoDayOfWeek)
        case "U": return pad(date.week, 2)
        case "V": return pad(date.isoWeek.week, 2)
        case "G": return try yearText(date.isoWeek.year)
        case "b": return String(DateNames.months[date.month - 1].prefix(3))
        case "B": return DateNames.months[date.month - 1]
        case "z": return DateTimeZone.text(offset: offset)
        case "Z": return String(offset / 60)
        case "%": return "%"
        default: throw unknown(specifier)
        }
    }

    // MARK: Reading

    /// Milliseconds since 1970 of a text by a format.
    static func parse(_ text: String, format: String, zone: DateTimeZone?) throws(ServerError) -> Int64 {
        var reader = FormatReader(text)
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                guard reader.scan.take(text: String(character).utf8) else {
                    throw DateParts.failure(text, "expected '\(character)' before '\(reader.scan.rest)'")
                }
                continue
            }
            guard let specifier = characters.next() else { throw unmatched() }
            guard let isRead = reader.read(specifier) else { throw unknown(specifier) }
            guard isRead else {
                throw DateParts.failure(text, "'\(reader.scan.rest)' does not fit '%\(specifier)'")
            }
        }
        guard reader.scan.isAtEnd else { throw DateParts.failure(text, "trailing data '\(reader.scan.rest)'") }
        return try reader.parts(text).millis(zone, text)
    }
}

/// The parts of a date as the specifiers of a format give them.
private struct FormatReader {
    var scan: DateScanner
    private var numbers: [Unicode.Scalar: Int] = [:]
    private var offset: Int64?

    init(_ text: String) { scan = DateScanner(text) }

    /// Whether the text has what a specifier stands for; nil for one that is none.
    mutating func read(_ specifier: Unicode.Scalar) -> Bool? {
        switch specifier {
        case "Y", "G": return keep(specifier, scan.number(4...4))
        case "m", "d", "H", "M", "S", "V": return keep(specifier, scan.number(1...2))
        case "L": return keep(specifier, scan.fraction(places: 3))
        case "j": return keep(specifier, scan.number(1...3))
        case "u": return keep(specifier, scan.number(1...1))
        case "b": return keep("m", scan.attempt { $0.word(3).flatMap { DateNames.month($0) } })
        case "B":
            return keep(
                "m",
                scan.attempt {
                    $0.word().flatMap { word in
                        word.utf8.count > 3 || word == "may" ? DateNames.month(word) : nil
                    }
                })
        case "z":
            offset = scan.offset() ?? (scan.take("Z") ? 0 : nil)
            return offset != nil
        case "Z":
            offset = scan.attempt { scan in
                guard let sign = scan.take(anyOf: "+-"), let minutes = scan.number(1...4) else { return nil }
                return Int64(sign == UInt8(ascii: "-") ? -minutes : minutes) * 60
            }
            return offset != nil
        case "%": return scan.take("%")
        default: return nil
        }
    }

    private mutating func keep(_ specifier: Unicode.Scalar, _ number: Int?) -> Bool {
        if let number { numbers[specifier] = number }
        return number != nil
    }

    /// - Throws: 241 for parts of the calendar mixed with those of ISO weeks.
    func parts(_ text: String) throws(ServerError) -> DateParts {
        var parts = DateParts()
        parts.offset = offset
        let isWeekDate = ["G", "V", "u"].contains { numbers[$0] != nil }
        if isWeekDate {
            guard !["Y", "m", "d", "j"].contains(where: { numbers[$0] != nil }) else {
                throw DateParts.failure(text, "mixing of ISO dates with natural dates is not allowed")
            }
            parts.year = numbers["G"]
            if let week = numbers["V"] { parts.day = .week(week, numbers["u"] ?? 1) }
        } else {
            parts.year = numbers["Y"]
            if let day = numbers["j"] {
                parts.day = .ordinal(day)
            } else if let month = numbers["m"], let day = numbers["d"] {
                parts.day = .month(month, day)
            }
        }
        if ["H", "M", "S", "L"].contains(where: { numbers[$0] != nil }) {
            parts.time = (numbers["H"] ?? 0, numbers["M"] ?? 0, numbers["S"] ?? 0, numbers["L"] ?? 0)
        }
        return parts
    }
}
