import BSON
import Core
import Testing

@testable import Query

@Suite struct ArithmeticExpressionTests {
    @Test(
        "arithmetic follows MongoDB's promotion of number types",
        arguments: [
            ExpressionCase("{'$add': [1, 2]}", "3"),
            ExpressionCase("{'$add': []}", "0"),
            ExpressionCase("{'$add': [2147483647, 1]}", "{'$numberLong': '2147483648'}"),
            ExpressionCase("{'$add': [{'$numberLong': '1'}, 1]}", "{'$numberLong': '2'}"),
            ExpressionCase("{'$add': [{'$numberLong': '9223372036854775807'}, 1]}", "9.223372036854775807e18"),
            ExpressionCase("{'$add': [1, 0.5]}", "1.5"),
            ExpressionCase("{'$add': ['$a', 1]}", "null"),
            ExpressionCase(
                "{'$add': [{'$numberDecimal': '0.1'}, {'$numberDecimal': '0.2'}]}", "{'$numberDecimal': '0.3'}"),
            ExpressionCase("{'$add': [{'$date': {'$numberLong': '1000'}}, 500]}", "{'$date': {'$numberLong': '1500'}}"),
            ExpressionCase("{'$subtract': [5, 7]}", "-2"),
            ExpressionCase(
                "{'$subtract': [{'$date': {'$numberLong': '1000'}}, 1]}", "{'$date': {'$numberLong': '999'}}"),
            ExpressionCase(
                "{'$subtract': ['$d', {'$date': {'$numberLong': '400'}}]}", "{'$numberLong': '600'}",
                over: "{'d': {'$date': {'$numberLong': '1000'}}}"),
            ExpressionCase(
                "{'$subtract': [{'$date': {'$numberLong': '3'}}, 2.5]}", "{'$date': {'$numberLong': '0'}}"),
            ExpressionCase(
                "{'$subtract': [{'$date': {'$numberLong': '10'}}, {'$numberDecimal': '1.5'}]}",
                "{'$date': {'$numberLong': '8'}}"),
            ExpressionCase("{'$add': [{'$date': {'$numberLong': '10'}}, -0.5]}", "{'$date': {'$numberLong': '9'}}"),
            ExpressionCase("{'$multiply': [3, 4]}", "12"),
            ExpressionCase("{'$multiply': [2147483647, 2]}", "{'$numberLong': '4294967294'}"),
            ExpressionCase("{'$divide': [7, 2]}", "3.5"),
            ExpressionCase("{'$divide': [6, 2]}", "3.0"),
            ExpressionCase("{'$divide': [null, 0]}", "null"),
            ExpressionCase("{'$mod': [-7, 3]}", "-1"),
            ExpressionCase("{'$mod': [7.5, 2]}", "1.5"),
            ExpressionCase("{'$mod': [{'$numberLong': '-9223372036854775808'}, -1]}", "{'$numberLong': '0'}"),
            ExpressionCase("{'$abs': -3}", "3"),
            ExpressionCase("{'$abs': -2147483648}", "{'$numberLong': '2147483648'}"),
            ExpressionCase("{'$ceil': 1.2}", "2.0"),
            ExpressionCase("{'$floor': -1.2}", "-2.0"),
            ExpressionCase("{'$floor': 3}", "3"),
            ExpressionCase("{'$round': 2.5}", "2.0"),
            ExpressionCase("{'$round': [2.675, 2]}", "2.67"),
            ExpressionCase("{'$round': [0.15, 1]}", "0.1"),
            ExpressionCase("{'$round': [0.45, 1]}", "0.5"),
            ExpressionCase("{'$round': [-1.15, 1]}", "-1.1"),
            ExpressionCase("{'$round': [0.5, 0]}", "0.0"),
            ExpressionCase("{'$round': [1.5, 0]}", "2.0"),
            ExpressionCase("{'$round': [1e300, 5]}", "1e300"),
            ExpressionCase("{'$round': [5e-324, 100]}", "0.0"),
            ExpressionCase("{'$toString': {'$round': [{'$numberDouble': 'NaN'}, 2]}}", "'NaN'"),
            ExpressionCase("{'$round': [{'$numberDouble': '-Infinity'}, -2]}", "{'$numberDouble': '-Infinity'}"),
            ExpressionCase("{'$round': [2147483647, -1]}", "{'$numberLong': '2147483650'}"),
            ExpressionCase("{'$round': [{'$numberLong': '4999999999999999999'}, -19]}", "{'$numberLong': '0'}"),
            ExpressionCase("{'$trunc': [{'$numberLong': '9223372036854775807'}, -19]}", "{'$numberLong': '0'}"),
            ExpressionCase("{'$round': [{'$numberLong': '9223372036854775807'}, -20]}", "{'$numberLong': '0'}"),
            ExpressionCase("{'$round': [5, 3]}", "5"),
            ExpressionCase("{'$trunc': [{'$numberDecimal': '1.1'}, 2]}", "{'$numberDecimal': '1.10'}"),
            ExpressionCase("{'$round': [{'$numberDecimal': '5'}, 3]}", "{'$numberDecimal': '5.000'}"),
            ExpressionCase("{'$round': [null, 'x']}", "null"),
            ExpressionCase("{'$round': [1.5, null]}", "null"),
            ExpressionCase("{'$round': [19.25, 1]}", "19.2"),
            ExpressionCase("{'$round': [1234.5678, -2]}", "1200.0"),
            ExpressionCase("{'$round': [155, -1]}", "160"),
            ExpressionCase("{'$round': [145, -1]}", "140"),
            ExpressionCase("{'$round': [99.995, 2]}", "100.0"),
            ExpressionCase("{'$round': [99.994, 2]}", "99.99"),
            ExpressionCase("{'$round': [0.05, 0]}", "0.0"),
            ExpressionCase("{'$round': [{'$numberDecimal': '2.345'}, 2]}", "{'$numberDecimal': '2.34'}"),
            ExpressionCase("{'$trunc': [2.679, 2]}", "2.67"),
            ExpressionCase("{'$trunc': -7.9}", "-7.0"),
            ExpressionCase("{'$pow': [2, 10]}", "1024"),
            ExpressionCase("{'$pow': [2, 40]}", "{'$numberLong': '1099511627776'}"),
            ExpressionCase("{'$pow': [2, -1]}", "0.5"),
            ExpressionCase("{'$pow': [2, 64]}", "18446744073709551616.0"),
            ExpressionCase("{'$sqrt': 9}", "3.0"),
            ExpressionCase("{'$exp': 0}", "1.0"),
            ExpressionCase("{'$ln': 1}", "0.0"),
            ExpressionCase("{'$log10': 1000}", "3.0"),
            ExpressionCase("{'$log': [8, 2]}", "3.0"),
            ExpressionCase("{'$sum': [1, 2, 'x', 3.5]}", "6.5"),
            ExpressionCase("{'$sum': '$a'}", "6", over: "{'a': [1, 2, 3]}"),
            ExpressionCase("{'$avg': [1, 2]}", "1.5"),
            ExpressionCase("{'$avg': []}", "null"),
            ExpressionCase("{'$min': [3, null, 1]}", "1"),
            ExpressionCase("{'$max': ['$a', 'x', 5]}", "'x'"),
            ExpressionCase("{'$stdDevPop': [2, 4]}", "1.0"),
            ExpressionCase("{'$stdDevSamp': [2]}", "null"),
        ])
    func arithmetic(_ row: ExpressionCase) throws { try row.check() }

    @Test(
        "arithmetic refuses what it cannot compute with MongoDB's codes",
        arguments: [
            ErrorCase("{'$add': ['x', 1]}", 14, "$add only supports numeric or date types, not string"),
            ErrorCase("{'$add': [{'$date': {'$numberLong': '1'}}, {'$date': {'$numberLong': '1'}}]}", 16612),
            ErrorCase("{'$subtract': ['x', 1]}", 14, "can't $subtract int from string"),
            ErrorCase("{'$multiply': ['x']}", 14),
            ErrorCase("{'$divide': [1, 0]}", 2, "can't $divide by zero"),
            ErrorCase("{'$divide': ['x', 1]}", 14),
            ErrorCase("{'$mod': [1, 0]}", 16610),
            ErrorCase("{'$mod': ['x', 0]}", 16611),
            ErrorCase("{'$abs': 'x'}", 28765),
            ErrorCase("{'$abs': {'$numberLong': '-9223372036854775808'}}", 28680),
            ErrorCase("{'$sqrt': -1}", 28714),
            ErrorCase("{'$ln': 0}", 28766),
            ErrorCase("{'$log10': 0}", 28761),
            ErrorCase("{'$log': [1, 1]}", 28759),
            ErrorCase("{'$pow': [0, -1]}", 28764),
            ErrorCase("{'$round': [1.5, 101]}", 51083),
            ErrorCase("{'$round': [1.5, 0.5]}", 51082),
            ErrorCase("{'$round': 'x'}", 51081),
            ErrorCase("{'$trunc': [1, 'x']}", 16004),
            ErrorCase("{'$trunc': [1, {'$numberDouble': 'NaN'}]}", 31109),
            ErrorCase("{'$round': [1, 1e30]}", 31109),
            ErrorCase("{'$round': [{'$numberLong': '9223372036854775807'}, -1]}", 51080),
            ErrorCase("{'$round': [{'$numberLong': '-9223372036854775808'}, -19]}", 51080),
            ErrorCase("{'$subtract': [1]}", 16020, "Expression $subtract takes exactly 2 arguments. 1 were passed in."),
            ErrorCase("{'$rand': {}}", 238),
        ])
    func arithmeticErrors(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test("$rand replays with its seed and stays below one")
    func random() throws {
        let draw = { try evaluate("[{'$rand': {}}, {'$rand': {}}]", context: QueryContext(randomSeed: 7)) }
        let first = try #require(draw()?.asArray)
        #expect(first[0] != first[1])
        #expect(first.allSatisfy { ($0.asNumber ?? 1) < 1 })
        #expect(try draw()?.asArray == first)
    }
}
