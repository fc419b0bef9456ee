import BSON
import Core
import Testing

@testable import Query

/// Trigonometry, bit operators, decimals to 34 digits, and operators that look at how a value is represented.
@Suite struct FunctionExpressionTests {
    private static func decimal(_ text: String) -> String { "{'$numberDecimal': '\(text)'}" }

    @Test(
        "decimals are computed to 34 digits",
        arguments: [
            ExpressionCase("{'$sqrt': \(decimal("2"))}", decimal("1.414213562373095048801688724209698")),
            ExpressionCase("{'$sqrt': \(decimal("2.25"))}", decimal("1.5")),
            ExpressionCase("{'$exp': \(decimal("1"))}", decimal("2.718281828459045235360287471352662")),
            ExpressionCase("{'$ln': \(decimal("10"))}", decimal("2.302585092994045684017991454684364")),
            ExpressionCase("{'$log10': \(decimal("2"))}", decimal("0.3010299956639811952137388947244930")),
            ExpressionCase("{'$pow': [\(decimal("1.1")), 2]}", decimal("1.210000000000000000000000000000000")),
            ExpressionCase(
                "{'$pow': [\(decimal("2")), \(decimal("0.5"))]}", decimal("1.414213562373095048801688724209698")),
            ExpressionCase("{'$sin': \(decimal("0"))}", decimal("0")),
            ExpressionCase("{'$cos': \(decimal("0"))}", decimal("1.000000000000000000000000000000000")),
            ExpressionCase("{'$degreesToRadians': \(decimal("180"))}", decimal("3.141592653589793238462643383279503")),
            ExpressionCase("{'$toBool': \(decimal("1E-6176"))}", "true"),
            ExpressionCase("{'$floor': \(decimal("1.5"))}", decimal("1")),
            ExpressionCase("{'$ceil': \(decimal("-1.5"))}", decimal("-1")),
        ])
    func decimals(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "sums of decimals and doubles take the doubles at their exact value",
        arguments: [
            ExpressionCase(
                "{'$sum': [3.14, \(decimal("0"))]}", decimal("3.140000000000000124344978758017533")),
            ExpressionCase("{'$sum': [0.5, \(decimal("0.5"))]}", decimal("1.0")),
            ExpressionCase(
                "{'$sum': [{'$numberLong': '9223372036854775807'}, 1, \(decimal("0"))]}", decimal("9223372036854775808")
            ),
        ])
    func mixedSums(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "trigonometry computes in doubles, and answers null to null",
        arguments: [
            ExpressionCase("{'$sin': 0}", "0.0"), ExpressionCase("{'$cos': 0}", "1.0"),
            ExpressionCase("{'$tan': 0}", "0.0"), ExpressionCase("{'$atan': 0}", "0.0"),
            ExpressionCase("{'$asin': 0}", "0.0"), ExpressionCase("{'$acos': 1}", "0.0"),
            ExpressionCase("{'$sinh': 0}", "0.0"), ExpressionCase("{'$cosh': 0}", "1.0"),
            ExpressionCase("{'$tanh': 0}", "0.0"), ExpressionCase("{'$asinh': 0}", "0.0"),
            ExpressionCase("{'$acosh': 1}", "0.0"), ExpressionCase("{'$atanh': 0}", "0.0"),
            ExpressionCase("{'$atan2': [0, 1]}", "0.0"),
            ExpressionCase("{'$degreesToRadians': 180}", "3.141592653589793"),
            ExpressionCase("{'$radiansToDegrees': 3.141592653589793}", "180.0"),
            ExpressionCase("{'$atanh': 1}", "{'$numberDouble': 'Infinity'}"),
            ExpressionCase("{'$sin': null}", "null"), ExpressionCase("{'$atan2': ['$none', 1]}", "null"),
        ])
    func trigonometry(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "a function outside of where it is defined fails",
        arguments: [
            ErrorCase("{'$sin': {'$numberDouble': 'Infinity'}}", 50989), ErrorCase("{'$asin': 1.5}", 50989),
            ErrorCase("{'$acosh': 0.5}", 50989), ErrorCase("{'$atanh': \(decimal("-1.1"))}", 50989),
            ErrorCase("{'$cos': 'x'}", 28765), ErrorCase("{'$atan2': ['x', 1]}", 51044),
            ErrorCase("{'$atan2': [1, 'x']}", 51045), ErrorCase("{'$mod': [1, \(decimal("0"))]}", 5_733_415),
        ])
    func domains(_ one: ErrorCase) throws { try one.check { _ = try evaluate(one.source) } }

    @Test(
        "bits are combined as ints unless a long is among them",
        arguments: [
            ExpressionCase("{'$bitAnd': [12, 10]}", "8"), ExpressionCase("{'$bitOr': [12, 10]}", "14"),
            ExpressionCase("{'$bitXor': [12, {'$numberLong': '10'}]}", "{'$numberLong': '6'}"),
            ExpressionCase("{'$bitAnd': []}", "-1"), ExpressionCase("{'$bitOr': []}", "0"),
            ExpressionCase("{'$bitNot': 5}", "-6"), ExpressionCase("{'$bitNot': null}", "null"),
            ExpressionCase("{'$bitAnd': [1, null]}", "null"),
        ])
    func bits(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "bits of other numbers are refused",
        arguments: [
            ErrorCase("{'$bitAnd': [1, 1.0]}", 14), ErrorCase("{'$bitOr': ['x']}", 14),
            ErrorCase("{'$bitNot': 1.5}", 14),
        ])
    func otherBits(_ one: ErrorCase) throws { try one.check { _ = try evaluate(one.source) } }

    @Test(
        "sizes, hashes and parts of timestamps",
        arguments: [
            ExpressionCase("{'$binarySize': 'höher'}", "6"), ExpressionCase("{'$binarySize': '$none'}", "null"),
            ExpressionCase("{'$binarySize': {'$binary': {'base64': 'AQID', 'subType': '00'}}}", "3"),
            ExpressionCase("{'$bsonSize': {'$literal': {'a': 1}}}", "12"),
            // The hash of 1 in a hashed index of MongoDB, whatever its type.
            ExpressionCase("{'$toHashedIndexKey': 1}", "{'$numberLong': '5902408780260971510'}"),
            ExpressionCase("{'$toHashedIndexKey': 1.5}", "{'$numberLong': '5902408780260971510'}"),
            ExpressionCase("{'$toHashedIndexKey': \(decimal("1"))}", "{'$numberLong': '5902408780260971510'}"),
            ExpressionCase("{'$tsSecond': {'$timestamp': {'t': 7, 'i': 3}}}", "{'$numberLong': '7'}"),
            ExpressionCase("{'$tsIncrement': {'$timestamp': {'t': 7, 'i': 3}}}", "{'$numberLong': '3'}"),
            ExpressionCase("{'$tsSecond': null}", "null"), ExpressionCase("{'$const': '$a'}", "'$a'"),
            ExpressionCase("'$$USER_ROLES'", "[]"),
        ])
    func representation(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "what has no size or no parts is refused",
        arguments: [
            ErrorCase("{'$binarySize': 1}", 51276), ErrorCase("{'$bsonSize': [1]}", 31393),
            ErrorCase("{'$tsSecond': 1}", 5_687_301), ErrorCase("{'$tsIncrement': 'x'}", 5_687_302),
            ErrorCase("{'$meta': 1}", 17307), ErrorCase("{'$meta': 'x'}", 17308),
            ErrorCase("{'$meta': 'textScore'}", 40218),
        ])
    func noRepresentation(_ one: ErrorCase) throws { try one.check { _ = try evaluate(one.source) } }

    @Test(
        "percentiles of few numbers are numbers among them",
        arguments: [
            ExpressionCase("{'$median': {'input': [62, 60, 55, 64, 67], 'method': 'approximate'}}", "62.0"),
            ExpressionCase(
                "{'$percentile': {'input': [1, 2, 3, 4, 'x', null], 'p': [0, 0.5, 0.75, 1], 'method': 'approximate'}}",
                "[1.0, 2.0, 3.0, 4.0]"),
            ExpressionCase("{'$median': {'input': '$none', 'method': 'approximate'}}", "null"),
            ExpressionCase("{'$percentile': {'input': [], 'p': [0.5], 'method': 'approximate'}}", "[null]"),
            ExpressionCase("{'$median': {'input': 5, 'method': 'approximate'}}", "5.0"),
        ])
    func percentiles(_ one: ExpressionCase) throws { try one.check() }

    @Test(
        "a percentile says what is wrong with it",
        arguments: [
            ErrorCase("{'$median': {'input': 1}}", 40414), ErrorCase("{'$median': {'input': 1, 'method': 'x'}}", 2),
            ErrorCase("{'$median': {'input': 1, 'method': 'approximate', 'p': [0]}}", 40415),
            ErrorCase("{'$percentile': {'input': 1, 'method': 'approximate', 'p': []}}", 7_750_301),
            ErrorCase("{'$percentile': {'input': 1, 'method': 'approximate', 'p': ['x']}}", 7_750_302),
            ErrorCase("{'$percentile': {'input': 1, 'method': 'approximate', 'p': [2]}}", 7_750_303),
        ])
    func percentileErrors(_ one: ErrorCase) throws { try one.check { _ = try evaluate(one.source) } }

    @Test("percentiles of many numbers are near, in bounded memory")
    func manyNumbers() throws {
        var random = SplitMix64(seed: 5)
        var numbers: [Double] = []
        var sketch = PercentileSketch()
        for _ in 0..<200_000 {
            let number = random.nextUnit() * random.nextUnit() * 1000
            numbers.append(number)
            sketch.add(number)
        }
        numbers.sort()
        #expect(sketch.memoryBytes < 100_000)
        for fraction in [0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999, 1] {
            let found = try #require(sketch.percentiles([fraction])[0])
            let rank = Double(numbers.firstIndex { $0 >= found } ?? numbers.count) / Double(numbers.count)
            #expect(abs(rank - fraction) < 0.002, "\(fraction) is at \(rank)")
        }
    }
}
