import BSON
import Core

/// The parts of a date: `$year`, `$month`, … `$dateToParts`, `$dateFromParts`.
enum DatePartOperators {
    static let table: [String: OperatorEntry] = [
        "$year": part { $0.year },
        "$month": part { $0.month },
        "$dayOfMonth": part { $0.day },
        "$dayOfWeek": part { $0.dayOfWeek },
        "$dayOfYear": part { $0.dayOfYear },
        "$hour": part { $0.hour },
        "$minute": part { $0.minute },
        "$second": part { $0.second },
        "$millisecond": part { $0.millisecond },
        "$week": part { $0.week },
        "$isoWeek": part { $0.isoWeek.week },
        "$isoDayOfWeek": part { $0.isoDayOfWeek },
        "$isoWeekYear": .form { (argument, compiler) throws(ServerError) in
            try compilePart(argument, compiler) { .int64(Int64($0.isoWeek.year)) }
        },
        "$dateToParts": .named(required: ["date"], optional: ["timezone", "iso8601"], toParts),
        "$dateFromParts": .named(
            required: [],
            optional: [
                "year", "month", "day", "hour", "minute", "second", "millisecond", "timezone", "isoWeekYear", "isoWeek",
                "isoDayOfWeek",
            ], fromParts),
    ]

    private static func part(_ part: @escaping @Sendable (CivilDate) -> Int) -> OperatorEntry {
        .form { (argument, compiler) throws(ServerError) in
            try compilePart(argument, compiler) { .int32(Int32(truncatingIfNeeded: part($0))) }
        }
    }

    private struct DatePart: ExpressionForm {
        let date: ExpressionTree
        let zone: ExpressionTree?
        let part: (CivilDate) -> Value

        func evaluate(_ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let value = try date.evaluate(&scope)
            var arguments = NamedArguments()
            if let zone { arguments.append("timezone", try zone.evaluate(&scope)) }
            guard !isNullish(value), let zone = try timeZone(arguments) else { return .null }
            return part(zone.local(try dateMillis(value)))
        }
    }

    /// Takes `<date>`, `[<date>]` or `{date: <date>, timezone: <zone>}`.
    private static func compilePart(
        _ argument: ValueView, _ compiler: ExpressionCompiler, _ part: @escaping (CivilDate) -> Value
    ) throws(ServerError) -> ExpressionTree {
        if let document = argument.asDocument, let first = document.first, !first.key.isOperator {
            for element in document where !(element.key == "date" || element.key == "timezone") {
                throw ServerError(
                    location: 40535, "unrecognized option to a date expression: \"\(element.key.string)\"")
            }
            guard let date = document["date"] else {
                throw ServerError(location: 40539, "missing 'date' argument to a date expression")
            }
            let zone = try document["timezone"].map { (zone) throws(ServerError) in try compiler.compile(zone) }
            return .form(DatePart(date: try compiler.compile(date), zone: zone, part: part))
        }
        let operands = try compiler.compileOperands(argument)
        guard operands.count == 1 else {
            throw ServerError(
                location: 40536,
                "a date expression accepts exactly one argument if given an array, but was given "
                    + "\(operands.count)")
        }
        return .form(DatePart(date: operands[0], zone: nil, part: part))
    }

    // MARK: Parts

    @Sendable private static func toParts(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        let date = arguments["date"]
        guard !isNullish(date), let zone = try timeZone(arguments) else { return .null }
        var isISO = false
        if arguments.has("iso8601") {
            let flag = arguments["iso8601"]
            if isNullish(flag) { return .null }
            guard case .bool(let value) = flag else {
                throw ServerError(location: 40521, "iso8601 must evaluate to a bool, found \(typeName(flag))")
            }
            isISO = value
        }
        let civil = zone.local(try dateMillis(date))
        let iso = civil.isoWeek
        var parts: [(String, Int)] =
            isISO
            ? [("isoWeekYear", iso.year), ("isoWeek", iso.week), ("isoDayOfWeek", civil.isoDayOfWeek)]
            : [("year", civil.year), ("month", civil.month), ("day", civil.day)]
        parts += [
            ("hour", civil.hour), ("minute", civil.minute), ("second", civil.second),
            ("millisecond", civil.millisecond),
        ]
        return .document(
            Document { writer in
                for (name, value) in parts { writer.append(name, .int32(Int32(truncatingIfNeeded: value))) }
            })
    }

    @Sendable private static func fromParts(_ arguments: NamedArguments) throws(ServerError) -> Value? {
        let isISO = arguments.has("isoWeekYear")
        guard isISO || arguments.has("year") else {
            throw ServerError(location: 40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present")
        }
        let mixed = isISO ? ["year", "month", "day"] : ["isoWeek", "isoDayOfWeek"]
        for name in mixed where arguments.has(name) {
            throw ServerError(location: 40489, "$dateFromParts does not allow mixing natural dates with ISO dates")
        }
        let names = isISO ? ["isoWeekYear", "isoWeek", "isoDayOfWeek"] : ["year", "month", "day"]
        var parts: [Int] = []
        for name in names + ["hour", "minute", "second", "millisecond"] {
            guard let part = try numberPart(arguments, name, default: names.contains(name) ? 1 : 0) else {
                return .null
            }
            parts.append(part)
        }
        guard (1...9999).contains(parts[0]) else {
            throw ServerError(
                location: isISO ? 31095 : 40523,
                "'\(names[0])' must evaluate to an integer in the range 1 to 9999, found \(parts[0])")
        }
        guard let zone = try timeZone(arguments) else { return .null }
        var (year, month, day) = (parts[0], parts[1], parts[2])
        if isISO {
            day = CivilDate.days(isoYear: parts[0], week: parts[1], weekday: parts[2]) + 1
            (year, month) = (1970, 1)
        }
        guard
            let seconds = CivilDate.seconds(
                year: year, month: month, day: day, hour: parts[3], minute: parts[4], second: parts[5]),
            let millis = zone.millis(local: seconds, millisecond: parts[6])
        else { throw ServerError(.overflow, "$dateFromParts: the date is out of range") }
        return .dateTime(millis)
    }

    private static func numberPart(
        _ arguments: NamedArguments, _ name: String, default standard: Int
    ) throws(ServerError) -> Int? {
        guard arguments.has(name) else { return standard }
        let value = arguments[name]
        if isNullish(value) { return nil }
        guard let whole = value?.asInteger else {
            throw ServerError(
                location: 40515,
                "'\(name)' must evaluate to an integer, found \(typeName(value)) with value of another kind")
        }
        // Years have bounds of their own; what seconds and milliseconds make of the date is checked in the end.
        let isFree = ["year", "isoWeekYear", "second", "millisecond"].contains(name)
        guard isFree || (-32768...32767).contains(whole) else {
            throw ServerError(
                location: 31034,
                "'\(name)' must evaluate to a value in the range [-32768, 32767]; value \(whole) is not in range")
        }
        return Int(whole)
    }
}
