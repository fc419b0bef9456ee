import BSON
import Core
import Testing

@testable import Query

/// Every date operator on dates at the ends of 64 bits: a result or an error, never a trap.
@Suite struct DateBoundaryTests {
    private static let dates: [Int64] = [
        .min, .min + 1, .min + 999, .min + 86_399_999, .min + 86_400_000, -62_135_596_800_001, -62_167_219_200_001, -1,
        0, 253_402_300_800_000, .max - 86_400_000, .max - 1, .max,
    ]
    private static let zones = ["UTC", "+14:00", "-12:00", "+99:99", "-99:99"]
    private static let units = ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond"]
    private static let amounts: [Int64] = [.min, .min + 1, -1_000_000_000_000, -1, 0, 1, 999_999_999_999, .max]

    /// The result of an expression or the code of its error.
    private func run(_ expression: Document) throws -> Value? {
        let document: Document = ["e": .document(expression)]
        do {
            return try document.withView { view in
                let value = try #require(view["e"])
                return try Document().withView { root in
                    try Expression(value, context: QueryContext()).evaluate(root: root)
                }
            }
        } catch let error as ServerError {
            return .string("error \(error.code.rawValue)")
        }
    }

    @Test("the parts of a date at either end of 64 bits are those of the calendar", arguments: zones)
    func parts(_ zone: String) throws {
        for millis in Self.dates {
            let date = Value.dateTime(millis)
            for name in [
                "$year", "$month", "$dayOfMonth", "$dayOfWeek", "$dayOfYear", "$hour", "$minute", "$second",
                "$millisecond", "$week", "$isoWeek", "$isoDayOfWeek", "$isoWeekYear",
            ] {
                let part = try run([name: ["date": date, "timezone": .string(zone)]])
                #expect(part?.asInteger != nil, "\(name) of \(millis) in \(zone): \(String(describing: part))")
            }
            let parts = try #require(try run(["$dateToParts": ["date": date, "timezone": .string(zone)]])?.asDocument)
            #expect(parts["year"] != nil)
            for iso in [true, false] {
                let parts = try run(["$dateToParts": ["date": date, "timezone": .string(zone), "iso8601": .bool(iso)]])
                #expect(parts?.asDocument?.fields.count == 7)
            }
        }
    }

    @Test("the least and the greatest date")
    func ends() throws {
        #expect(try run(["$year": .dateTime(.min)]) == .int32(-292_275_055))
        #expect(try run(["$month": .dateTime(.min)]) == .int32(5))
        #expect(try run(["$dayOfMonth": .dateTime(.min)]) == .int32(16))
        #expect(try run(["$hour": .dateTime(.min)]) == .int32(16))
        #expect(try run(["$millisecond": .dateTime(.min)]) == .int32(192))
        #expect(try run(["$year": .dateTime(.max)]) == .int32(292_278_994))
        #expect(try run(["$dayOfMonth": .dateTime(.max)]) == .int32(17))
        #expect(try run(["$millisecond": .dateTime(.max)]) == .int32(807))
    }

    @Test("a year beyond four digits is no text")
    func text() throws {
        for millis in Self.dates {
            let isInRange = (-62_167_219_200_000...253_402_300_799_999).contains(millis)
            for operation in [
                ["$toString": .dateTime(millis)], ["$dateToString": ["date": .dateTime(millis)]],
                ["$toUpper": .dateTime(millis)], ["$convert": ["input": .dateTime(millis), "to": "string"]],
                ["$dateToString": ["date": .dateTime(millis), "format": "%Y %G %V %z %Z %j %U %b"]],
            ] as [Document] {
                let text = try #require(try run(operation))
                #expect((text == "error 18537") == !isInRange, "\(operation): \(text)")
            }
        }
    }

    @Test("arithmetic answers within 64 bits or says that it overflowed", arguments: zones)
    func arithmetic(_ zone: String) throws {
        let overflows: Set<Value> = ["error 5166406", "error 6045000", "error 15", "error 5166308"]
        for millis in Self.dates {
            let date = Value.dateTime(millis)
            for unit in Self.units {
                for amount in Self.amounts {
                    for name in ["$dateAdd", "$dateSubtract"] {
                        let moved = try #require(
                            try run([
                                name: [
                                    "startDate": date, "unit": .string(unit), "amount": .int64(amount),
                                    "timezone": .string(zone),
                                ]
                            ]))
                        #expect(moved.type == .dateTime || overflows.contains(moved), "\(name) \(unit): \(moved)")
                        if amount == 0 { #expect(moved == date) }
                    }
                    let bin = try #require(
                        try run([
                            "$dateTrunc": [
                                "date": date, "unit": .string(unit), "binSize": .int64(max(1, amount)),
                                "timezone": .string(zone),
                            ]
                        ]))
                    #expect(
                        bin.type == .dateTime || bin == "error 5439018" || overflows.contains(bin),
                        "$dateTrunc \(unit) of \(millis) by \(amount): \(bin)")
                }
                for other in Self.dates {
                    let distance = try #require(
                        try run([
                            "$dateDiff": [
                                "startDate": date, "endDate": .dateTime(other), "unit": .string(unit),
                                "timezone": .string(zone),
                            ]
                        ]))
                    #expect(distance.type == .int64 || overflows.contains(distance), "\(unit): \(distance)")
                }
            }
        }
    }

    @Test("parts at the ends of their ranges carry over or are out of range")
    func fromParts() throws {
        let values: [Int64] = [.min, -32769, -32768, -1, 0, 1, 32767, 32768, .max]
        for name in ["month", "day", "hour", "minute", "second", "millisecond"] {
            for value in values {
                for year: Int32 in [1, 9999] {
                    let result = try #require(
                        try run(["$dateFromParts": ["year": .int32(year), .init(name): .int64(value)]]))
                    #expect(result.type == .dateTime || ["error 31034", "error 15"].contains(result), "\(result)")
                }
            }
        }
        for name in ["isoWeek", "isoDayOfWeek"] {
            for value in values {
                let result = try #require(
                    try run(["$dateFromParts": ["isoWeekYear": 9999, .init(name): .int64(value)]]))
                #expect(result.type == .dateTime || result == "error 31034", "\(result)")
            }
        }
    }

    @Test("numbers beyond 64 bits are no dates")
    func conversion() throws {
        let wrong: [Value] = [
            .double(.nan), .double(.infinity), .double(-.infinity), .double(9.3e18), .double(-9.3e18),
            .decimal128(.nan), .decimal128(.infinity()), .decimal128(try #require(Decimal128("9223372036854775808"))),
        ]
        for value in wrong { #expect(try run(["$toDate": value]) == "error 241") }
        #expect(try run(["$toDate": .int64(.min)]) == .dateTime(.min))
        #expect(try run(["$toDate": .decimal128(try #require(Decimal128("-9223372036854775808")))]) == .dateTime(.min))
        #expect(try run(["$toLong": .dateTime(.min)]) == .int64(.min))
        #expect(try run(["$toDate": .objectID(try #require(ObjectID("ffffffff0000000000000000")))]) == .dateTime(-1000))
    }
}
