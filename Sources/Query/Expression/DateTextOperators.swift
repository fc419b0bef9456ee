import BSON
import Core

/// `$dateToString`, `$dateFromString`.
enum DateTextOperators {
    static let table: [String: OperatorEntry] = [
        "$dateToString": .named(required: ["date"], optional: ["format", "timezone", "onNull"], toString),
        "$dateFromString": .named(
            required: ["dateString"], optional: ["format", "timezone", "onError", "onNull"], fromString),
    ]

    @Sendable private static func toString(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        let date = arguments["date"]
        if isNullish(date) { return arguments.has("onNull") ? arguments["onNull"] : .null }
        guard let zone = try timeZone(arguments) else { return .null }
        var format = zone.isUTC ? "%Y-%m-%dT%H:%M:%S.%LZ" : "%Y-%m-%dT%H:%M:%S.%L"
        if arguments.has("format") {
            let value = arguments["format"]
            if isNullish(value) { return .null }
            guard case .string(let text) = value else {
                throw ServerError(
                    location: 18533, "$dateToString requires that 'format' be a string, found: \(typeName(value))")
            }
            format = text
        }
        return .string(try DateFormat.format(try dateMillis(date), format, zone))
    }

    @Sendable private static func fromString(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        let input = arguments["dateString"]
        if isNullish(input) { return arguments.has("onNull") ? arguments["onNull"] : .null }
        guard let zone = try timeZone(arguments) else { return .null }
        if arguments.has("format"), isNullish(arguments["format"]) { return .null }
        do throws(ServerError) {
            guard case .string(let text) = input else {
                throw ServerError(
                    .conversionFailure,
                    "$dateFromString requires that 'dateString' be a string, found: \(typeName(input))")
            }
            let zone = arguments.has("timezone") ? zone : nil
            guard case .string(let format) = arguments["format"] else {
                return .dateTime(try DateFormat.parse(text, zone: zone))
            }
            return .dateTime(try DateFormat.parse(text, format: format, zone: zone ?? .utc))
        } catch {
            guard arguments.has("onError"), error.code == .conversionFailure else { throw error }
            return arguments["onError"]
        }
    }
}

/// Dates as text.
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

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]

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
            guard let specifier = characters.next() else {
                throw ServerError(location: 18535, "Unmatched '%' at end of format string")
            }
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
        case "b": return String(months[date.month - 1].prefix(3))
        case "B": return months[date.month - 1]
        case "z": return DateTimeZone.text(offset: offset)
        case "Z": return String(offset / 60)
        case "%": return "%"
        default:
            throw ServerError(location: 18536, "Invalid format character '%\(specifier)' in format string")
        }
    }

    private static func failure(_ text: String, _ reason: String) -> ServerError {
        ServerError(.conversionFailure, "Error parsing date string '\(text)'; \(reason)")
    }

    /// Parses ISO 8601: `yyyy-MM-dd`, then optionally a time (`T` or a blank before it), a fraction and an offset.
    static func parse(_ text: String, zone: DateTimeZone?) throws(ServerError) -> Int64 {
        var reader = DateReader(text)
        guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"),
            let day = reader.number(2)
        else { throw failure(text, "expected yyyy-MM-dd") }
        var parts = DateParts(year: year, month: month, day: day)
        if reader.skip("T") || reader.skip(" ") {
            guard let hour = reader.number(2), reader.skip(":"), let minute = reader.number(2) else {
                throw failure(text, "expected HH:mm behind the date")
            }
            (parts.hour, parts.minute) = (hour, minute)
            if reader.skip(":") {
                guard let second = reader.number(2) else { throw failure(text, "expected seconds behind ':'") }
                parts.second = second
                if reader.skip(".") {
                    guard let millisecond = reader.fraction() else { throw failure(text, "expected digits behind '.'") }
                    parts.millisecond = millisecond
                }
            }
        }
        if !reader.isAtEnd {
            guard let offset = try? DateTimeZone(reader.rest) else {
                throw failure(text, "unexpected text '\(reader.rest)' at its end")
            }
            guard zone == nil else {
                throw failure(
                    text,
                    "you cannot pass in a date/time string with time zone information together with a timezone argument"
                )
            }
            return try millis(parts, offset, text)
        }
        return try millis(parts, zone ?? .utc, text)
    }

    /// Parses by a format with the specifiers that carry a date.
    static func parse(_ text: String, format: String, zone: DateTimeZone) throws(ServerError) -> Int64 {
        var reader = DateReader(text)
        var parts = DateParts(year: 1970, month: 1, day: 1)
        var zone = zone
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                guard reader.skip(character) else { throw failure(text, "expected '\(character)'") }
                continue
            }
            guard let specifier = characters.next() else {
                throw ServerError(location: 18535, "Unmatched '%' at end of format string")
            }
            var number: Int?
            switch specifier {
            case "Y": (number, parts.year) = reader.assign(4, parts.year)
            case "m": (number, parts.month) = reader.assign(2, parts.month)
            case "d": (number, parts.day) = reader.assign(2, parts.day)
            case "H": (number, parts.hour) = reader.assign(2, parts.hour)
            case "M": (number, parts.minute) = reader.assign(2, parts.minute)
            case "S": (number, parts.second) = reader.assign(2, parts.second)
            case "L": (number, parts.millisecond) = reader.assign(3, parts.millisecond)
            case "j":
                number = reader.number(3)
                (parts.month, parts.day) = (1, number ?? 1)
            case "z":
                zone = try DateTimeZone(reader.takeZone())
                number = 0
            case "%": number = reader.skip("%") ? 0 : nil
            default:
                throw ServerError(location: 18536, "Invalid format character '%\(specifier)' in format string")
            }
            guard number != nil else { throw failure(text, "it does not fit '%\(specifier)'") }
        }
        guard reader.isAtEnd else { throw failure(text, "trailing text '\(reader.rest)'") }
        return try millis(parts, zone, text)
    }

    private struct DateParts {
        var year: Int
        var month: Int
        var day: Int
        var hour = 0
        var minute = 0
        var second = 0
        var millisecond = 0
    }

    private static func millis(_ parts: DateParts, _ zone: DateTimeZone, _ text: String) throws(ServerError) -> Int64 {
        // A day of the year may stand in for a day of January.
        guard (1...12).contains(parts.month), (1...366).contains(parts.day), parts.hour < 24, parts.minute < 60,
            parts.second < 60,
            parts.month == 1 || parts.day <= CivilDate.daysInMonth(year: parts.year, month: parts.month),
            let local = CivilDate.seconds(
                year: parts.year, month: parts.month, day: parts.day, hour: parts.hour, minute: parts.minute,
                second: parts.second),
            let millis = zone.millis(local: local, millisecond: parts.millisecond)
        else { throw failure(text, "a part of it is out of range") }
        return millis
    }
}

/// Reads a date's text from its start.
private struct DateReader {
    private var bytes: ArraySlice<UInt8>

    init(_ text: String) { bytes = Array(text.utf8)[...] }

    var isAtEnd: Bool { bytes.isEmpty }
    var rest: String { String(decoding: bytes, as: UTF8.self) }

    mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        let expected = Array(String(scalar).utf8)
        guard bytes.starts(with: expected) else { return false }
        bytes.removeFirst(expected.count)
        return true
    }

    /// Exactly `digits` digits.
    mutating func number(_ digits: Int) -> Int? {
        let head = bytes.prefix(digits)
        guard head.count == digits, head.allSatisfy({ (48...57).contains($0) }) else { return nil }
        bytes.removeFirst(digits)
        return head.reduce(0) { $0 * 10 + Int($1 - 48) }
    }

    /// Reads a number; the second is what to keep when there is none.
    mutating func assign(_ digits: Int, _ old: Int) -> (Int?, Int) {
        let number = number(digits)
        return (number, number ?? old)
    }

    /// A fraction of a second, cut to milliseconds.
    mutating func fraction() -> Int? {
        let digits = bytes.prefix { (48...57).contains($0) }
        guard !digits.isEmpty else { return nil }
        bytes.removeFirst(digits.count)
        let first = digits.prefix(3).map { Int($0 - 48) } + [0, 0]
        return first[0] * 100 + first[1] * 10 + first[2]
    }

    /// The text of an offset: up to the next blank.
    mutating func takeZone() -> String {
        let head = bytes.prefix { $0 != UInt8(ascii: " ") }
        bytes.removeFirst(head.count)
        return String(decoding: head, as: UTF8.self)
    }
}
