import BSON
import Core
import Testing

@testable import Query

@Suite struct DateParserTests {
    init() { TimeZoneFiles.useSystem() }

    @Test(
        "dates are understood without a format",
        arguments: [
            ("2018-03-20", "2018-03-20T00:00:00Z"), ("2018-3-2", "2018-03-02T00:00:00Z"),
            ("2018/03/20", "2018-03-20T00:00:00Z"), ("2018-03", "2018-03-01T00:00:00Z"),
            ("20180320", "2018-03-20T00:00:00Z"), ("20180320T110006Z", "2018-03-20T11:00:06Z"),
            ("20180320T1100", "2018-03-20T11:00:00Z"), ("20180320110006", "2018-03-20T11:00:06Z"),
            ("2018-079", "2018-03-20T00:00:00Z"), ("2018079", "2018-03-20T00:00:00Z"),
            ("2018-W12-2", "2018-03-20T00:00:00Z"), ("2018W122", "2018-03-20T00:00:00Z"),
            ("2020-W53", "2020-12-28T00:00:00Z"),
            ("2018-03-20T11:00:06Z", "2018-03-20T11:00:06Z"), ("2018-03-20t11:00:06z", "2018-03-20T11:00:06Z"),
            ("2018-03-20 11:00", "2018-03-20T11:00:00Z"), ("2018-03-20T11", "2018-03-20T11:00:00Z"),
            ("2018-03-20T11:00:06.5Z", "2018-03-20T11:00:06.500Z"),
            ("2018-03-20T11:00:06,123456789Z", "2018-03-20T11:00:06.123Z"),
            ("2018-03-20 11:00:06 +0500", "2018-03-20T06:00:06Z"),
            ("2018-03-20 11:00:06+05:30", "2018-03-20T05:30:06Z"), ("2018-03-20T11:00:06-08", "2018-03-20T19:00:06Z"),
            ("2018-03-20 11:00:06 UTC", "2018-03-20T11:00:06Z"), ("2018-03-20 11:00:06 GMT+2", "2018-03-20T09:00:06Z"),
            ("2018-03-20 11:00:06 GMT-02:30", "2018-03-20T13:30:06Z"),
            ("2018-03-20 11:00:06 EST", "2018-03-20T16:00:06Z"), ("2018-07-20 11:00 BST", "2018-07-20T10:00:00Z"),
            ("  2018-03-20T11:00:06Z \n", "2018-03-20T11:00:06Z"),
            ("Mar 20 2018", "2018-03-20T00:00:00Z"), ("mar 20 2018", "2018-03-20T00:00:00Z"),
            ("March 20, 2018", "2018-03-20T00:00:00Z"), ("July 4th, 2017", "2017-07-04T00:00:00Z"),
            ("July 4th, 2017 11am", "2017-07-04T11:00:00Z"), ("July 4th, 2017 12:39 am", "2017-07-04T00:39:00Z"),
            ("July 4th, 2017 12:39:30 p.m.", "2017-07-04T12:39:30Z"), ("March 2018", "2018-03-01T00:00:00Z"),
            ("20 March 2018 10:00", "2018-03-20T10:00:00Z"), ("20th of March 2018", "2018-03-20T00:00:00Z"),
            ("20-Mar-2018", "2018-03-20T00:00:00Z"), ("Mar-20-2018", "2018-03-20T00:00:00Z"),
            ("2018-Mar-20", "2018-03-20T00:00:00Z"), ("1 Sept 2018", "2018-09-01T00:00:00Z"),
            ("3/20/2018", "2018-03-20T00:00:00Z"), ("7/4/17", "2017-07-04T00:00:00Z"),
            ("20-03-2018", "2018-03-20T00:00:00Z"), ("20.3.2018", "2018-03-20T00:00:00Z"),
            ("20.3.71", "1971-03-20T00:00:00Z"),
            ("Tue, 20 Mar 2018 11:00:06 +0000", "2018-03-20T11:00:06Z"),
            ("Tue Mar 20 2018 11:00:06 GMT+0500 (EST)", nil), ("Tuesday, 20 March 2018", "2018-03-20T00:00:00Z"),
            ("Wed, 20 Mar 2018", nil),
            ("10:00 20 March 2018", "2018-03-20T10:00:00Z"), ("2018-03-20T24:00:00Z", "2018-03-21T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"), ("0000-01-01", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("2018-02-30", nil), ("2018-13-01", nil), ("2018-00-01", nil), ("2018-366", nil), ("2018-W53-1", nil),
            ("2018-03-20T25:00", nil), ("2018-03-20T10:60", nil), ("2018-03-20T24:00:01", nil), ("13:00 pm", nil),
            ("", nil), (" ", nil), ("Friday", nil), ("tomorrow", nil), ("now", nil), ("last monday", nil),
            ("yesterday 10:00", nil), ("2018-03-20 + 1 day", nil), ("10:00", nil), ("March 20", nil), ("3/20", nil),
            ("2018", nil), ("20", nil), ("@1234567890", nil), ("2018-03-20 2018-03-21", nil),
            ("2018-03-20 10:00 11:00", nil), ("2018-03-20 10:00 Z Z", nil), ("2018-03-20x", nil),
            ("2018-03-20 11:00:06 Europe/Berlin", nil), ("2018-03-20T", nil), ("2018-03-20 +", nil),
            ("99999999999999999999", nil), ("2018-03-20T11:00:06.Z", nil), ("2018-03-20 11:00:06 ABC", nil),
        ])
    func free(_ text: String, _ expected: String?) throws {
        let result = try evaluate(
            "{'$convert': {'input': '\(text.replacing("\n", with: "\\n"))', 'to': 'date', 'onError': 'no'}}")
        #expect(result == (expected.flatMap { DateText.parse($0) }.map { .dateTime($0) } ?? "no"), "\(text)")
    }

    @Test(
        "dates are read by a format",
        arguments: [
            ("Oct 20 2020", "%b %d %Y", "2020-10-20T00:00:00Z"),
            ("20 January 2020", "%d %B %Y", "2020-01-20T00:00:00Z"),
            ("5 may 2020", "%d %B %Y", "2020-05-05T00:00:00Z"), ("20May2020", "%d%b%Y", "2020-05-20T00:00:00Z"),
            ("2020-W01-1", "%G-W%V-%u", "2019-12-30T00:00:00Z"), ("2020W53", "%GW%V", "2020-12-28T00:00:00Z"),
            ("2020-01-01 12:00 +360", "%Y-%m-%d %H:%M %Z", "2020-01-01T06:00:00Z"),
            ("2020-01-01 12:00 -0130", "%Y-%m-%d %H:%M %z", "2020-01-01T13:30:00Z"),
            ("2020-01-01 12:00 +01:30", "%Y-%m-%d %H:%M %z", "2020-01-01T10:30:00Z"),
            ("2020 060", "%Y %j", "2020-02-29T00:00:00Z"), ("1%2%2020", "%d%%%m%%%Y", "2020-02-01T00:00:00Z"),
            ("2020-01-01T01:02:03.4", "%Y-%m-%dT%H:%M:%S.%L", "2020-01-01T01:02:03.400Z"),
            ("ä01.02.2020", "ä%d.%m.%Y", "2020-02-01T00:00:00Z"),
            ("2020-01", "%Y-%m", nil), ("2020-01-01x", "%Y-%m-%d", nil), ("20-01-01", "%Y-%m-%d", nil),
            ("2020-W54-1", "%G-W%V-%u", nil), ("2020-W01-8", "%G-W%V-%u", nil), ("2020 1 3", "%G %V %m", nil),
            ("2020-02-30", "%Y-%m-%d", nil), ("Okt 20 2020", "%b %d %Y", nil), ("2020-01-01 +", "%Y-%m-%d %z", nil),
            ("2019 366", "%Y %j", nil), ("", "%Y", nil), ("12", "%H", nil),
        ])
    func format(_ text: String, _ format: String, _ expected: String?) throws {
        let result = try evaluate(
            "{'$dateFromString': {'dateString': '\(text)', 'format': '\(format)', 'onError': 'no'}}")
        #expect(result == (expected.flatMap { DateText.parse($0) }.map { .dateTime($0) } ?? "no"), "\(text)")
    }

    @Test(
        "formats and zones that do not fit are refused",
        arguments: [
            ErrorCase("{'$dateFromString': {'dateString': '1', 'format': '%q'}}", 18536),
            ErrorCase("{'$dateFromString': {'dateString': '2020', 'format': '%Y%'}}", 18535),
            ErrorCase("{'$dateFromString': {'dateString': '2020', 'format': 5}}", 40684),
            ErrorCase("{'$dateFromString': {'dateString': '2020-01-01T00:00:00Z', 'timezone': '+01:00'}}", 241),
            ErrorCase(
                "{'$dateFromString': {'dateString': '2020-01-01 +0100', 'timezone': '+01:00', 'format': "
                    + "'%Y-%m-%d %z'}}", 241),
            ErrorCase("{'$dateFromString': {'dateString': '2020-01-01', 'timezone': 'Nowhere'}}", 40485),
            ErrorCase("{'$convert': {'input': null, 'to': 'foo'}}", 2),
            ErrorCase("{'$toDouble': '1e400'}", 241), ErrorCase("{'$toDecimal': '1e7000'}", 241),
        ])
    func refused(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test(
        "arguments of a wrong shape have codes of their operator",
        arguments: [
            ErrorCase("{'$dateToString': 'x'}", 18629), ErrorCase("{'$dateToString': {'x': 1}}", 18534),
            ErrorCase("{'$dateToString': {}}", 18628), ErrorCase("{'$dateFromString': 'x'}", 40540),
            ErrorCase("{'$dateFromString': {'format': '%Y'}}", 40542), ErrorCase("{'$dateToParts': 5}", 40524),
            ErrorCase("{'$dateFromParts': 5}", 40519), ErrorCase("{'$dateAdd': 5}", 5_166_400),
            ErrorCase("{'$dateSubtract': {'x': 5}}", 5_166_401), ErrorCase("{'$dateAdd': {}}", 5_166_402),
            ErrorCase("{'$dateTrunc': 5}", 5_439_007), ErrorCase("{'$dateTrunc': {'x': 5}}", 5_439_008),
            ErrorCase("{'$dateTrunc': {'unit': 'day'}}", 5_439_009),
            ErrorCase("{'$dateDiff': {'startDate': null, 'unit': 'day'}}", 5_166_304),
        ])
    func shapes(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test("long decimals are rounded, infinity is a text of one")
    func numbers() throws {
        try ExpressionCase(
            "{'$toDecimal': '12345678901234567890123456789012345'}",
            "{'$numberDecimal': '1.234567890123456789012345678901234E+34'}"
        ).check()
        try ExpressionCase("{'$toDouble': '-Infinity'}", "{'$numberDouble': '-Infinity'}").check()
    }

    @Test("random texts are dates or errors, and no trap")
    func noise() throws {
        var random = SplitMix64(seed: 99)
        let pieces = [
            "2018", "20", "3", "-", "-", "/", ".", ":", ":", " ", "T", "Z", "+", "0500", "W12", "Mar", "march", "th",
            "am",
            "PM", "Tue", ",", "999999999999999999999", "\0", "é", "%", "(", ")", "GMT", "Europe/Berlin", "00", "366",
        ]
        for _ in 0..<100_000 {
            let text = (0...random.below(8)).map { _ in pieces[random.below(pieces.count)] }.joined()
            let error = ServerError.caught { _ = try DateParser.parse(text, zone: nil) }
            #expect(error == nil || error?.code == .conversionFailure)
            let format = (0...random.below(4)).map { _ in
                "%" + ["Y", "m", "d", "H", "L", "z", "b", "j", "V"][random.below(9)]
            }
            _ = ServerError.caught { _ = try DateFormat.parse(text, format: format.joined(), zone: .utc) }
        }
    }
}
