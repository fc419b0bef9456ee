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
            guard arguments.has("format") else { return .dateTime(try DateParser.parse(text, zone: zone)) }
            guard case .string(let format) = arguments["format"] else {
                throw ServerError(
                    location: 40684,
                    "$dateFromString requires that 'format' be a string, found: \(typeName(arguments["format"]))")
            }
            return .dateTime(try DateFormat.parse(text, format: format, zone: zone))
        } catch {
            guard arguments.has("onError"), error.code == .conversionFailure else { throw error }
            return arguments["onError"]
        }
    }
}
