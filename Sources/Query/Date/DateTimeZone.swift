import BSON
import Core

/// Where a date's parts are read: a fixed offset from UTC or a zone of the system's database.
enum DateTimeZone {
    /// Seconds east of Greenwich.
    case fixed(Int64)
    case named(ZoneRules)

    static let utc = DateTimeZone.fixed(0)

    var isUTC: Bool { if case .fixed(0) = self { true } else { false } }

    /// Parses `UTC`, `GMT`, `Z`, `±hh[[:]mm]` and names such as `Europe/Berlin`.
    init(_ text: String) throws(ServerError) {
        if ["UTC", "GMT", "Z", "Etc/UTC"].contains(text) {
            self = .utc
        } else if let offset = DateTimeZone.offset(text) {
            self = .fixed(offset)
        } else if let rules = ZoneDatabase.zone(text) {
            self = .named(rules)
        } else {
            throw ServerError(location: 40485, "unrecognized time zone identifier: \"\(text)\"")
        }
    }

    /// Seconds of `±hh`, `±hhmm` or `±hh:mm`; nil for other text.
    static func offset(_ text: String) -> Int64? {
        guard let sign = text.utf8.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") else { return nil }
        var digits: [Int64] = []
        for (index, byte) in text.utf8.dropFirst().enumerated() {
            if byte == UInt8(ascii: ":"), index == 2 { continue }
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits.count < 4 else { return nil }
            digits.append(Int64(byte - UInt8(ascii: "0")))
        }
        let isComplete = digits.count == 2 ? text.utf8.count == 3 : digits.count == 4
        guard isComplete else { return nil }
        let minutes = digits.count == 4 ? digits[2] * 10 + digits[3] : 0
        let seconds = (digits[0] * 10 + digits[1]) * 3600 + minutes * 60
        return sign == UInt8(ascii: "-") ? -seconds : seconds
    }

    /// The offset that holds at a time, in seconds since 1970.
    func offset(at seconds: Int64) -> Int64 {
        switch self {
        case .fixed(let offset): offset
        case .named(let rules): rules.offset(at: seconds)
        }
    }

    /// The date that clocks of the zone show.
    func local(_ millis: Int64) -> CivilDate {
        let seconds = CivilDate.floorDivide(millis, 1000)
        return CivilDate(
            seconds: seconds + offset(at: seconds), millisecond: CivilDate.modulo(Int(millis), 1000))
    }

    /// The seconds since 1970 at which clocks of the zone show a time.
    ///
    /// A time that clocks show twice is the later one, a time that they leave out is taken by the offset before the
    /// gap: it lies as far behind the change as the text lies in the gap.
    func utc(local seconds: Int64) -> Int64 {
        switch self {
        case .fixed(let offset): return seconds - offset
        case .named(let rules):
            // No two changes of a zone are closer than two days.
            let before = rules.offset(at: seconds - CivilDate.secondsPerDay)
            let after = rules.offset(at: seconds + CivilDate.secondsPerDay)
            return seconds - (rules.offset(at: seconds - after) == after ? after : before)
        }
    }

    /// Milliseconds since 1970 at which clocks show the time; nil when that is no 64-bit number.
    func millis(local seconds: Int64, millisecond: Int) -> Int64? {
        CivilDate.millis(seconds: utc(local: seconds), millisecond: millisecond)
    }

    /// An offset in seconds as `+hhmm`.
    static func text(offset: Int64) -> String {
        let minutes = Int(offset.magnitude) / 60
        return (offset < 0 ? "-" : "+") + pad(minutes / 60, 2) + pad(minutes % 60, 2)
    }
}

/// A number with leading zeros.
func pad(_ value: Int, _ width: Int) -> String {
    let digits = String(value.magnitude)
    return (value < 0 ? "-" : "") + String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A value's time in milliseconds: dates, object ids and timestamps have one. The seconds of an object id are signed.
func dateMillis(_ value: Value?, _ refusal: () -> ServerError? = { nil }) throws(ServerError) -> Int64 {
    switch value {
    case .dateTime(let millis): return millis
    case .objectID(let id): return Int64(Int32(bitPattern: id.seconds)) * 1000
    case .timestamp(let timestamp): return Int64(timestamp.seconds) * 1000
    default:
        throw refusal() ?? ServerError(location: 16006, "can't convert from BSON type \(typeName(value)) to Date")
    }
}

/// The operand `timezone`; nil when it is null or missing, so that the operator answers null.
func timeZone(_ arguments: NamedArguments) throws(ServerError) -> DateTimeZone? {
    guard arguments.has("timezone") else { return .utc }
    let value = arguments["timezone"]
    if isNullish(value) { return nil }
    guard case .string(let text) = value else {
        throw ServerError(location: 40517, "timezone must evaluate to a string, found \(typeName(value))")
    }
    return try DateTimeZone(text)
}
