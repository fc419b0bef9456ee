import BSON
import Core
import Testing

@testable import Query

@Suite("RegularExpression") struct RegularExpressionTests {
    private func matches(_ pattern: String, _ options: String, _ text: String) throws -> Bool {
        let expression = try RegularExpression(pattern: pattern, options: options)
        return try Array(text.utf8).withUnsafeBytes { try expression.matches($0) }
    }

    @Test("a pattern that backtracks without end is stopped by its limit")
    func catastrophe() {
        let text = String(repeating: "a", count: 40) + "b"
        #expect(code { _ = try matches("^(a+)+$", "", text) } == 51156)
    }

    @Test("a pattern longer than the limit is refused")
    func tooLong() {
        let pattern = String(repeating: "a", count: Limits.regexPatternBytesMax + 1)
        #expect(code { _ = try RegularExpression(pattern: pattern, options: "") } == 51091)
    }

    @Test(
        "the literal prefix is what every match starts with",
        arguments: [
            ("^abc", "abc"), ("^abc.*", "abc"), ("^abc?", "ab"), ("^abc+", "abc"), ("^a.c", "a"), ("^ab{2}", "a"),
            ("^üb[c]", "üb"),
        ] as [(String, String)])
    func prefix(_ pattern: String, _ expected: String) throws {
        #expect(try RegularExpression(pattern: pattern, options: "").literalPrefix?.text == expected)
    }

    @Test("patterns without a sure prefix have none", arguments: ["abc", "^a|b", "^", "^.a", "^(ab)", "^a?"])
    func noPrefix(_ pattern: String) throws {
        #expect(try RegularExpression(pattern: pattern, options: "").literalPrefix == nil)
    }

    @Test("case-insensitive and extended patterns have no literal prefix", arguments: ["i", "x", "m"])
    func optionsWithoutPrefix(_ options: String) throws {
        #expect(try RegularExpression(pattern: "^abc", options: options).literalPrefix == nil)
    }
}
