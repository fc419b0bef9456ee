import BSON
import Core
import Foundation
import Testing

@testable import Query

/// Zones of the system's database, by the word of Python's `zoneinfo`.
@Suite struct TimeZoneTests {
    init() { TimeZoneFiles.useSystem() }

    private static let zones = [
        "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "Europe/Lisbon", "America/New_York",
        "America/Los_Angeles", "America/St_Johns", "America/Sao_Paulo", "America/Caracas", "America/Santiago",
        "America/Nuuk", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Jerusalem", "Asia/Gaza", "Asia/Tokyo",
        "Asia/Pyongyang", "Australia/Sydney", "Australia/Lord_Howe", "Australia/Eucla", "Pacific/Apia",
        "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Auckland", "Africa/Casablanca", "Africa/Cairo",
        "Africa/Monrovia", "Antarctica/Troll", "Etc/GMT+5", "EST5EDT", "America/Argentina/Buenos_Aires",
    ]

    @Test("offsets at many instants, and what local times mean")
    func offsets() throws {
        var random = SplitMix64(seed: 81)
        var cases: [(zone: String, seconds: Int64, local: Int64)] = []
        for zone in Self.zones {
            // 1850 to 2400: local mean time, all changes, and the rule behind them.
            let range: ClosedRange<Int64> = -3_700_000_000...13_569_000_000
            let span = UInt64(range.upperBound - range.lowerBound)
            for _ in 0..<150 {
                let seconds = range.lowerBound + Int64(random.next(below: span))
                cases.append((zone, seconds, seconds))
            }
            // Every hour and a half around the changes of two years.
            for year in [2024, 2051] {
                let start = Int64(CivilDate.days(year: year, month: 1, day: 1)) * CivilDate.secondsPerDay
                for step in 0..<1500 {
                    cases.append((zone, start + Int64(step) * 21_000, start + Int64(step) * 21_000))
                }
            }
        }
        // Times in the gap and in the hour that comes twice.
        for (zone, local) in [
            ("Europe/Berlin", "2024-03-31T02:30:00Z"), ("Europe/Berlin", "2024-10-27T02:30:00Z"),
            ("America/New_York", "2024-03-10T02:30:00Z"), ("America/New_York", "2024-11-03T01:30:00Z"),
            ("Australia/Lord_Howe", "2024-04-07T01:45:00Z"), ("Pacific/Apia", "2011-12-30T12:00:00Z"),
        ] {
            let seconds = try #require(DateText.parse(local)) / 1000
            cases.append((zone, seconds, seconds))
        }
        let script = """
            import sys
            from datetime import *
            from zoneinfo import ZoneInfo
            epoch = datetime(1970, 1, 1)
            for line in sys.stdin:
                name, seconds, local = line.split()
                zone = ZoneInfo(name)
                at = epoch.replace(tzinfo=timezone.utc) + timedelta(seconds=int(seconds))
                offset = int(at.astimezone(zone).utcoffset().total_seconds())
                wall = epoch + timedelta(seconds=int(local))
                def utc(fold):
                    shift = wall.replace(tzinfo=zone, fold=fold).utcoffset()
                    return int((wall - shift - epoch).total_seconds())
                late = datetime.fromtimestamp(utc(1), timezone.utc).astimezone(zone).replace(tzinfo=None)
                print(offset, utc(1) if late == wall else utc(0))
            """
        guard let expected = try PythonOracle.run(script, cases.map { "\($0.zone) \($0.seconds) \($0.local)" }) else {
            return
        }
        try #require(expected.count == cases.count)
        var wrong: [String] = []
        for (one, line) in zip(cases, expected) {
            let zone = try DateTimeZone(one.zone)
            let computed = "\(zone.offset(at: one.seconds)) \(zone.utc(local: one.local))"
            if computed != line { wrong.append("\(one.zone) \(one.seconds): \(computed), not \(line)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count) of \(cases.count): \(wrong.prefix(5))")
    }

    @Test("every zone of the database can be read")
    func everyZone() throws {
        guard let names = try PythonOracle.run("import zoneinfo; print(*zoneinfo.available_timezones(), sep='\\n')", [])
        else { return }
        try #require(names.count > 300)
        for name in names.sorted() where name.utf8.first.map({ (65...90).contains($0) }) ?? false {
            #expect(throws: Never.self, "\(name)") { try DateTimeZone(name) }
        }
    }

    @Test(
        "a name that is none is refused, and reads nothing else",
        arguments: [
            "Europe/Nowhere", "europe/berlin", "Europe", "Europe/", "/etc/passwd", "../../../etc/passwd",
            "Europe/../../../../etc/passwd", "America/New York", "right/Europe/Berlin", "posixrules", "zone.tab", "",
            "+1", "+1:00", "+001", "+010", "+01:0", "+01:000", "+0a", "Europe/Berlin\u{0}", "Zürich",
            String(repeating: "A", count: 10_000),
        ])
    func refused(_ name: String) {
        let error = ServerError.caught { _ = try DateTimeZone(name) }
        #expect(error?.code.rawValue == 40485)
    }

    @Test("a file that is cut off anywhere, or has a byte changed, is no zone or another one, and no trap")
    func damagedFiles() throws {
        let bytes = try #require(TimeZoneFiles.read("Europe/Berlin"))
        #expect(ZoneRules(bytes) != nil)
        for length in 0..<bytes.count { #expect(ZoneRules(Array(bytes.prefix(length))) == nil) }
        var random = SplitMix64(seed: 5)
        for _ in 0..<20_000 {
            var damaged = bytes
            for _ in 0...random.below(3) { damaged[random.below(damaged.count)] = UInt8(random.below(256)) }
            guard let zone = ZoneRules(damaged) else { continue }
            for seconds: Int64 in [.min / 1000, -1, 0, 1_711_850_400, 4_000_000_000, .max / 1000] {
                #expect(zone.offset(at: seconds).magnitude < 1_000_000)
            }
        }
    }

    @Test(
        "date operators in zones with changes of their clocks",
        arguments: [
            ("{'$hour': {'date': {'$date': '2024-07-01T10:00:00Z'}, 'timezone': 'Europe/Berlin'}}", "12"),
            ("{'$hour': {'date': {'$date': '2024-01-01T10:00:00Z'}, 'timezone': 'Europe/Berlin'}}", "11"),
            ("{'$minute': {'date': {'$date': '2024-01-01T10:00:00Z'}, 'timezone': 'Asia/Kathmandu'}}", "45"),
            (
                "{'$dateToString': {'date': {'$date': '2024-07-01T10:00:00Z'}, 'timezone': 'America/New_York', "
                    + "'format': '%Y-%m-%d %H:%M %z %Z'}}", "'2024-07-01 06:00 -0400 -240'"
            ),
            (
                "{'$dateToString': {'date': {'$date': '2024-07-01T10:00:00Z'}, 'timezone': 'America/New_York'}}",
                "'2024-07-01T06:00:00.000'"
            ),
            (
                "{'$dateFromString': {'dateString': '2024-07-01 06:00', 'timezone': 'America/New_York'}}",
                "{'$date': '2024-07-01T10:00:00Z'}"
            ),
            (
                "{'$dateFromParts': {'year': 2024, 'month': 3, 'day': 31, 'hour': 2, 'minute': 30, 'timezone': "
                    + "'Europe/Berlin'}}", "{'$date': '2024-03-31T01:30:00Z'}"
            ),
            (
                "{'$dateToParts': {'date': {'$date': '2024-12-31T23:30:00Z'}, 'timezone': 'Europe/Berlin'}}",
                "{'year': 2025, 'month': 1, 'day': 1, 'hour': 0, 'minute': 30, 'second': 0, 'millisecond': 0}"
            ),
            // A day keeps what clocks show; hours pass.
            (
                "{'$dateAdd': {'startDate': {'$date': '2024-03-30T11:00:00Z'}, 'unit': 'day', 'amount': 1, "
                    + "'timezone': 'Europe/Berlin'}}", "{'$date': '2024-03-31T10:00:00Z'}"
            ),
            (
                "{'$dateAdd': {'startDate': {'$date': '2024-03-30T11:00:00Z'}, 'unit': 'hour', 'amount': 24, "
                    + "'timezone': 'Europe/Berlin'}}", "{'$date': '2024-03-31T11:00:00Z'}"
            ),
            (
                "{'$dateSubtract': {'startDate': {'$date': '2024-04-15T10:00:00Z'}, 'unit': 'month', 'amount': 1, "
                    + "'timezone': 'Europe/Berlin'}}", "{'$date': '2024-03-15T11:00:00Z'}"
            ),
            (
                "{'$dateDiff': {'startDate': {'$date': '2024-03-30T23:00:00Z'}, 'endDate': {'$date': "
                    + "'2024-03-31T22:00:00Z'}, 'unit': 'day', 'timezone': 'Europe/Berlin'}}", "{'$numberLong': '1'}"
            ),
            (
                "{'$dateDiff': {'startDate': {'$date': '2024-03-30T23:00:00Z'}, 'endDate': {'$date': "
                    + "'2024-03-31T22:00:00Z'}, 'unit': 'hour', 'timezone': 'Europe/Berlin'}}", "{'$numberLong': '23'}"
            ),
            (
                "{'$dateDiff': {'startDate': {'$date': '2024-01-01T00:20:00Z'}, 'endDate': {'$date': "
                    + "'2024-01-01T00:40:00Z'}, 'unit': 'hour', 'timezone': 'Asia/Kolkata'}}", "{'$numberLong': '1'}"
            ),
            (
                "{'$dateTrunc': {'date': {'$date': '2024-07-01T10:00:00Z'}, 'unit': 'day', 'timezone': "
                    + "'Europe/Berlin'}}", "{'$date': '2024-06-30T22:00:00Z'}"
            ),
            (
                "{'$dateTrunc': {'date': {'$date': '2024-07-01T10:10:00Z'}, 'unit': 'hour', 'timezone': "
                    + "'Asia/Kolkata'}}", "{'$date': '2024-07-01T09:30:00Z'}"
            ),
            (
                "{'$dateTrunc': {'date': {'$date': '2024-07-17T10:10:00Z'}, 'unit': 'month', 'timezone': "
                    + "'America/New_York'}}", "{'$date': '2024-07-01T04:00:00Z'}"
            ),
            (
                "{'$dateTrunc': {'date': {'$date': '2024-03-12T12:00:00Z'}, 'unit': 'week', 'startOfWeek': 'monday', "
                    + "'timezone': 'America/New_York'}}", "{'$date': '2024-03-11T04:00:00Z'}"
            ),
        ])
    func operators(_ expression: String, _ expected: String) throws { try ExpressionCase(expression, expected).check() }
}
