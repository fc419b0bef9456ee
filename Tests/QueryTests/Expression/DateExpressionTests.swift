import BSON
import Core
import Testing

@testable import Query

@Suite struct DateExpressionTests {
    private static let root = "{'d': {'$date': '2024-02-29T13:45:30.123Z'}, 'e': {'$date': '2021-01-03T00:00:00Z'}}"

    @Test(
        "parts of dates",
        arguments: [
            ("{'$year': '$d'}", "2024"), ("{'$month': '$d'}", "2"), ("{'$dayOfMonth': '$d'}", "29"),
            ("{'$hour': '$d'}", "13"), ("{'$minute': '$d'}", "45"), ("{'$second': '$d'}", "30"),
            ("{'$millisecond': '$d'}", "123"), ("{'$dayOfYear': '$d'}", "60"), ("{'$dayOfWeek': '$d'}", "5"),
            ("{'$isoDayOfWeek': '$d'}", "4"), ("{'$week': '$d'}", "8"), ("{'$isoWeek': '$d'}", "9"),
            ("{'$isoWeek': '$e'}", "53"), ("{'$isoWeekYear': '$e'}", "{'$numberLong': '2020'}"),
            ("{'$week': '$e'}", "1"),
            ("{'$month': ['$d']}", "2"),
            ("{'$hour': {'date': '$d', 'timezone': '+02:30'}}", "16"),
            ("{'$dayOfMonth': {'date': '$d', 'timezone': '-1400'}}", "28"),
            ("{'$year': '$missing'}", "null"),
            ("{'$year': {'$oid': '5f5e10000000000000000000'}}", "2020"),
        ])
    func parts(_ expression: String, _ expected: String) throws {
        try ExpressionCase(expression, expected, over: DateExpressionTests.root).check()
    }

    @Test(
        "dates from and to text and parts",
        arguments: [
            ("{'$dateToString': {'date': '$d'}}", "'2024-02-29T13:45:30.123Z'"),
            ("{'$dateToString': {'date': '$d', 'format': '%Y-%m'}}", "'2024-02'"),
            (
                "{'$dateToString': {'date': '$d', 'format': '%d %b %B %j %H:%M:%S.%L %z %% %u %w %V %G', "
                    + "'timezone': '+01:00'}}",
                "'29 Feb February 060 14:45:30.123 +0100 % 4 5 09 2024'"
            ),
            ("{'$dateToString': {'date': null, 'onNull': 'none'}}", "'none'"),
            ("{'$dateFromString': {'dateString': '2024-02-29'}}", "{'$date': '2024-02-29T00:00:00Z'}"),
            (
                "{'$dateFromString': {'dateString': '2024-02-29T10:00:00.5', 'timezone': '+01:00'}}",
                "{'$date': '2024-02-29T09:00:00.500Z'}"
            ),
            (
                "{'$dateFromString': {'dateString': '29/02/2024', 'format': '%d/%m/%Y'}}",
                "{'$date': '2024-02-29T00:00:00Z'}"
            ),
            ("{'$dateFromString': {'dateString': 'nope', 'onError': 0}}", "0"),
            ("{'$dateFromParts': {'year': 2024, 'month': 14, 'day': 0}}", "{'$date': '2025-01-31T00:00:00Z'}"),
            (
                "{'$dateFromParts': {'isoWeekYear': 2020, 'isoWeek': 53, 'isoDayOfWeek': 7}}",
                "{'$date': '2021-01-03T00:00:00Z'}"
            ),
            (
                "{'$dateToParts': {'date': '$e'}}",
                "{'year': 2021, 'month': 1, 'day': 3, 'hour': 0, 'minute': 0, 'second': 0, 'millisecond': 0}"
            ),
            (
                "{'$dateToParts': {'date': '$e', 'iso8601': true}}",
                "{'isoWeekYear': 2020, 'isoWeek': 53, 'isoDayOfWeek': 7, 'hour': 0, 'minute': 0, 'second': 0, "
                    + "'millisecond': 0}"
            ),
        ])
    func text(_ expression: String, _ expected: String) throws {
        try ExpressionCase(expression, expected, over: DateExpressionTests.root).check()
    }

    @Test(
        "date arithmetic",
        arguments: [
            ("{'$dateAdd': {'startDate': '$d', 'unit': 'year', 'amount': 1}}", "{'$date': '2025-02-28T13:45:30.123Z'}"),
            ("{'$dateAdd': {'startDate': '$d', 'unit': 'day', 'amount': 1}}", "{'$date': '2024-03-01T13:45:30.123Z'}"),
            (
                "{'$dateSubtract': {'startDate': '$d', 'unit': 'quarter', 'amount': 1}}",
                "{'$date': '2023-11-29T13:45:30.123Z'}"
            ),
            ("{'$dateDiff': {'startDate': '$e', 'endDate': '$d', 'unit': 'month'}}", "{'$numberLong': '37'}"),
            ("{'$dateDiff': {'startDate': '$d', 'endDate': '$e', 'unit': 'year'}}", "{'$numberLong': '-3'}"),
            (
                "{'$dateDiff': {'startDate': {'$date': '2024-03-02T23:00:00Z'}, 'endDate': {'$date': "
                    + "'2024-03-03T01:00:00Z'}, 'unit': 'week'}}",
                "{'$numberLong': '1'}"
            ),
            (
                "{'$dateDiff': {'startDate': {'$date': '2024-03-02T23:00:00Z'}, 'endDate': {'$date': "
                    + "'2024-03-03T01:00:00Z'}, 'unit': 'week', 'startOfWeek': 'monday'}}",
                "{'$numberLong': '0'}"
            ),
            ("{'$dateTrunc': {'date': '$d', 'unit': 'month'}}", "{'$date': '2024-02-01T00:00:00Z'}"),
            ("{'$dateTrunc': {'date': '$d', 'unit': 'hour', 'binSize': 6}}", "{'$date': '2024-02-29T12:00:00Z'}"),
            ("{'$dateTrunc': {'date': '$d', 'unit': 'week'}}", "{'$date': '2024-02-25T00:00:00Z'}"),
            (
                "{'$dateTrunc': {'date': '$d', 'unit': 'week', 'startOfWeek': 'mon'}}",
                "{'$date': '2024-02-26T00:00:00Z'}"
            ),
            ("{'$dateTrunc': {'date': '$d', 'unit': 'quarter'}}", "{'$date': '2024-01-01T00:00:00Z'}"),
        ])
    func arithmetic(_ expression: String, _ expected: String) throws {
        try ExpressionCase(expression, expected, over: DateExpressionTests.root).check()
    }

    @Test(
        "date operators refuse what has no time",
        arguments: [
            ErrorCase("{'$month': 'x'}", 16006, "can't convert from BSON type string to Date"),
            ErrorCase("{'$hour': {'date': {'$date': {'$numberLong': '0'}}, 'timezone': 'Europe/Nowhere'}}", 40485),
            ErrorCase("{'$hour': {'date': {'$date': {'$numberLong': '0'}}, 'timezone': 5}}", 40517),
            ErrorCase("{'$hour': {'timezone': 'Z'}}", 40539),
            ErrorCase("{'$hour': {'date': 1, 'x': 1}}", 40535),
            ErrorCase("{'$dateToString': {'date': {'$date': {'$numberLong': '0'}}, 'format': '%q'}}", 18536),
            ErrorCase("{'$dateToString': {'date': {'$date': {'$numberLong': '0'}}, 'format': '%'}}", 18535),
            ErrorCase("{'$dateFromString': {'dateString': '2024-02-30'}}", 241),
            ErrorCase("{'$dateFromString': {'dateString': 5}}", 241),
            ErrorCase("{'$dateFromParts': {'month': 1}}", 40516),
            ErrorCase("{'$dateFromParts': {'year': 0}}", 40523),
            ErrorCase("{'$dateFromParts': {'year': 2020, 'isoWeek': 1}}", 40489),
            ErrorCase("{'$dateAdd': {'startDate': {'$date': {'$numberLong': '0'}}, 'unit': 'eon', 'amount': 1}}", 9),
            ErrorCase(
                "{'$dateAdd': {'startDate': {'$date': {'$numberLong': '0'}}, 'unit': 'day', 'amount': "
                    + "1.5}}", 5_166_405),
            ErrorCase(
                "{'$dateAdd': {'startDate': {'$date': {'$numberLong': '0'}}, 'unit': 'day', 'amount': "
                    + "{'$numberLong': '9223372036854775807'}}}",
                5_166_406),
            ErrorCase(
                "{'$dateTrunc': {'date': {'$date': {'$numberLong': '0'}}, 'unit': 'day', 'binSize': 0}}", 5_439_018),
        ])
    func errors(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test("the calendar agrees with counting days one by one, leap years included")
    func calendar() {
        var (year, month, day) = (1599, 12, 31)
        var dayNumber = CivilDate.days(year: year, month: month, day: day)
        while year < 2201 {
            let civil = CivilDate(seconds: Int64(dayNumber) * CivilDate.secondsPerDay, millisecond: 0)
            #expect((civil.year, civil.month, civil.day) == (year, month, day))
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            dayNumber += 1
            day += 1
            if day > lengths[month - 1] { (day, month) = (1, month + 1) }
            if month > 12 { (month, year) = (1, year + 1) }
        }
    }
}
