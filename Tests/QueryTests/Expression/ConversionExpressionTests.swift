import BSON
import Core
import Testing

@testable import Query

/// `$convert`: binary data with all its options, and texts of numbers.
@Suite struct ConversionExpressionTests {
    private static func binary(_ base64: String, _ subtype: String = "00") -> String {
        "{'$binary': {'base64': '\(base64)', 'subType': '\(subtype)'}}"
    }

    @Test(
        "strings and binary data convert by their format",
        arguments: [
            ExpressionCase(
                "{'$convert': {'input': '3q2+7w==', 'to': 'binData', 'format': 'base64'}}", binary("3q2+7w==")),
            ExpressionCase(
                "{'$convert': {'input': '3q2-7w', 'to': 'binData', 'format': 'base64url'}}", binary("3q2+7w==")),
            ExpressionCase("{'$convert': {'input': 'DEADbeef', 'to': 5, 'format': 'hex'}}", binary("3q2+7w==")),
            ExpressionCase(
                "{'$convert': {'input': 'hi', 'to': {'type': 'binData', 'subtype': 6}, 'format': 'utf8'}}",
                binary("aGk=", "06")),
            ExpressionCase(
                "{'$convert': {'input': \(binary("3q2+7w==")), 'to': 'string', 'format': 'base64url'}}", "'3q2-7w'"),
            ExpressionCase(
                "{'$convert': {'input': \(binary("3q2+7w==")), 'to': 'string', 'format': 'hex'}}", "'DEADBEEF'"),
            ExpressionCase("{'$convert': {'input': \(binary("aGk=")), 'to': 'string', 'format': 'utf8'}}", "'hi'"),
            ExpressionCase(
                "{'$convert': {'input': \(binary("3q2+7w==")), 'to': 'string', 'format': 'auto'}}", "'3q2+7w=='"),
            ExpressionCase(
                "{'$toUUID': '01020304-0506-0708-090a-0b0c0d0e0f10'}", binary("AQIDBAUGBwgJCgsMDQ4PEA==", "04")),
            ExpressionCase(
                "{'$toString': \(binary("AQIDBAUGBwgJCgsMDQ4PEA==", "04"))}", "'01020304-0506-0708-090a-0b0c0d0e0f10'"),
        ])
    func formats(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "numbers and binary data convert in either byte order",
        arguments: [
            ExpressionCase("{'$convert': {'input': 258, 'to': 'binData'}}", binary("AgEAAA==")),
            ExpressionCase("{'$convert': {'input': 258, 'to': 'binData', 'byteOrder': 'big'}}", binary("AAABAg==")),
            ExpressionCase("{'$convert': {'input': \(binary("AgE=")), 'to': 'int'}}", "258"),
            ExpressionCase("{'$convert': {'input': \(binary("/w==")), 'to': 'long'}}", "{'$numberLong': '-1'}"),
            ExpressionCase("{'$convert': {'input': \(binary("AAAAAAAA8D8=")), 'to': 'double'}}", "1.0"),
            ExpressionCase("{'$convert': {'input': \(binary("P4AAAA==")), 'to': 'double', 'byteOrder': 'big'}}", "1.0"),
            ExpressionCase("{'$convert': {'input': \(binary("AQID")), 'to': 'int', 'onError': 'bad'}}", "'bad'"),
        ])
    func byteOrders(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "a conversion says what is wrong with it",
        arguments: [
            ErrorCase("{'$convert': {'input': 'x', 'to': 'binData'}}", 4_341_115),
            ErrorCase("{'$convert': {'input': 'x', 'to': 'binData', 'format': 1}}", 4_341_114),
            ErrorCase("{'$convert': {'input': 'x', 'to': 'binData', 'format': 'rot13'}}", 4_341_125),
            ErrorCase("{'$convert': {'input': 1, 'to': 'binData', 'byteOrder': 1}}", 9_130_001),
            ErrorCase("{'$convert': {'input': 1, 'to': 'binData', 'byteOrder': 'middle'}}", 9_130_002),
            ErrorCase("{'$convert': {'input': 1, 'to': {'type': 'binData', 'subtype': 'x'}}}", 4_341_108),
            ErrorCase("{'$convert': {'input': 1, 'to': {'type': 'binData', 'subtype': 1.5}}}", 4_341_106),
            ErrorCase("{'$convert': {'input': 1, 'to': {'type': 'binData', 'subtype': 64}}}", 4_341_107),
            ErrorCase("{'$convert': {'input': 1, 'to': {'subtype': 1}}}", 9),
            ErrorCase("{'$convert': {'input': 1, 'to': 0}}", 241),
            ErrorCase("{'$convert': {'input': \(binary("AQID")), 'to': 'int'}}", 241),
            ErrorCase("{'$convert': {'input': 'abc', 'to': 'binData', 'format': 'hex'}}", 241),
            ErrorCase("{'$convert': {'input': 'x', 'to': {'type': 'binData', 'subtype': 4}, 'format': 'utf8'}}", 241),
            ErrorCase("{'$toInt': ['1', '2']}", 50723), ErrorCase("{'$toUUID': '1234'}", 241),
            ErrorCase("{'$toDecimal': '1E-9999'}", 241), ErrorCase("{'$toDouble': '0x1p0'}", 241),
        ])
    func errors(_ one: ErrorCase) throws { try one.check { _ = try evaluate(one.source) } }

    @Test(
        "numbers as text, the way $toString and string operators write them",
        arguments: [
            ExpressionCase("{'$toString': 1e15}", "'1000000000000000'"),
            ExpressionCase("{'$toString': 9999999999999998.0}", "'9999999999999998'"),
            ExpressionCase("{'$toString': 1e16}", "'1e+16'"), ExpressionCase("{'$toString': 0.0001}", "'0.0001'"),
            ExpressionCase("{'$toString': 0.00001}", "'1e-05'"), ExpressionCase("{'$toString': 2.5}", "'2.5'"),
            ExpressionCase("{'$toString': -0.0}", "'-0'"), ExpressionCase("{'$toString': 123456.789}", "'123456.789'"),
            ExpressionCase("{'$toLower': 123456.789}", "'123457'"), ExpressionCase("{'$toLower': 1e6}", "'1e+06'"),
            ExpressionCase("{'$toLower': 0.5}", "'0.5'"), ExpressionCase("{'$toUpper': -0.0}", "'-0'"),
            ExpressionCase("{'$substr': [{'$timestamp': {'t': 1, 'i': 42}}, 0, -1]}", "'Jan  1 00:00:01:42'"),
            ExpressionCase("{'$toInt': '+42'}", "42"), ExpressionCase("{'$toDouble': '-0x1p1'}", "-2.0"),
        ])
    func texts(_ one: ExpressionCase) throws { try one.check() }
}
