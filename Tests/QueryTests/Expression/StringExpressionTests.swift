import BSON
import Core
import Testing

@testable import Query

@Suite struct StringExpressionTests {
    @Test(
        "string operators work on UTF-8 as MongoDB's do",
        arguments: [
            ExpressionCase("{'$concat': ['a', 'b', 'c']}", "'abc'"),
            ExpressionCase("{'$concat': ['a', null]}", "null"),
            ExpressionCase("{'$toLower': 'AbÉ'}", "'abÉ'"),
            ExpressionCase("{'$toUpper': 'abc'}", "'ABC'"),
            ExpressionCase("{'$toUpper': '$missing'}", "''"),
            ExpressionCase("{'$substrBytes': ['hello', 1, 3]}", "'ell'"),
            ExpressionCase("{'$substrBytes': ['hello', 1, -1]}", "'ello'"),
            ExpressionCase("{'$substrBytes': ['hello', 9, 1]}", "''"),
            ExpressionCase("{'$substr': [123, 0, 2]}", "'12'"),
            ExpressionCase("{'$substrCP': ['héllo', 1, 2]}", "'él'"),
            ExpressionCase("{'$strLenBytes': 'é'}", "2"),
            ExpressionCase("{'$strLenCP': 'é'}", "1"),
            ExpressionCase("{'$strcasecmp': ['a', 'B']}", "-1"),
            ExpressionCase("{'$strcasecmp': ['AB', 'ab']}", "0"),
            ExpressionCase("{'$split': ['a-b-c', '-']}", "['a', 'b', 'c']"),
            ExpressionCase("{'$split': ['-a', '-']}", "['', 'a']"),
            ExpressionCase("{'$indexOfBytes': ['hello', 'l']}", "2"),
            ExpressionCase("{'$indexOfBytes': ['hello', 'l', 3]}", "3"),
            ExpressionCase("{'$indexOfBytes': ['hello', 'z']}", "-1"),
            ExpressionCase("{'$indexOfCP': ['éa', 'a']}", "1"),
            ExpressionCase("{'$trim': {'input': '  a b  '}}", "'a b'"),
            ExpressionCase("{'$ltrim': {'input': 'xxaxx', 'chars': 'x'}}", "'axx'"),
            ExpressionCase("{'$rtrim': {'input': 'xxaxx', 'chars': 'x'}}", "'xxa'"),
            ExpressionCase("{'$replaceOne': {'input': 'aXbX', 'find': 'X', 'replacement': '-'}}", "'a-bX'"),
            ExpressionCase("{'$replaceAll': {'input': 'aXbX', 'find': 'X', 'replacement': '-'}}", "'a-b-'"),
            ExpressionCase("{'$replaceAll': {'input': null, 'find': 'X', 'replacement': '-'}}", "null"),
            ExpressionCase("{'$regexMatch': {'input': 'hello', 'regex': '^h.l'}}", "true"),
            ExpressionCase("{'$regexMatch': {'input': 'HELLO', 'regex': 'l+', 'options': 'i'}}", "true"),
            ExpressionCase("{'$regexMatch': {'input': null, 'regex': 'l'}}", "false"),
            ExpressionCase(
                "{'$regexFind': {'input': 'a1b22', 'regex': '([0-9])([0-9])?x?'}}",
                "{'match': '1', 'idx': 1, 'captures': ['1', null]}"),
            ExpressionCase("{'$regexFind': {'input': 'éa', 'regex': 'a'}}", "{'match': 'a', 'idx': 1, 'captures': []}"),
            ExpressionCase("{'$regexFind': {'input': 'abc', 'regex': 'z'}}", "null"),
            ExpressionCase(
                "{'$regexFindAll': {'input': 'a1b22', 'regex': '[0-9]+'}}",
                "[{'match': '1', 'idx': 1, 'captures': []}, {'match': '22', 'idx': 3, 'captures': []}]"),
            ExpressionCase(
                "{'$regexFindAll': {'input': 'abc', 'regex': 'z*'}}",
                "[{'match': '', 'idx': 0, 'captures': []}, {'match': '', 'idx': 1, 'captures': []}, {'match': "
                    + "'', 'idx': 2, 'captures': []}]"
            ),
        ])
    func strings(_ row: ExpressionCase) throws { try row.check() }

    @Test(
        "string operators refuse other types with MongoDB's codes",
        arguments: [
            ErrorCase("{'$concat': ['a', 1]}", 16702, "$concat only supports strings, not int"),
            ErrorCase("{'$toLower': [[1]]}", 16007),
            ErrorCase("{'$substrBytes': ['é', 1, 1]}", 28656),
            ErrorCase("{'$substrBytes': ['é', 0, 1]}", 28657),
            ErrorCase("{'$substrBytes': ['a', -1, 1]}", 50752),
            ErrorCase("{'$substrCP': ['a', 'x', 1]}", 34450),
            ErrorCase("{'$strLenBytes': 1}", 34473),
            ErrorCase("{'$strLenCP': null}", 34471),
            ErrorCase("{'$split': [1, 'a']}", 40085),
            ErrorCase("{'$split': ['a', '']}", 40087),
            ErrorCase("{'$indexOfBytes': [1, 'a']}", 40091),
            ErrorCase("{'$indexOfBytes': ['a', 'a', -1]}", 40097),
            ErrorCase("{'$trim': {'input': 1}}", 50699),
            ErrorCase("{'$trim': {}}", 50695), ErrorCase("{'$trim': 'x'}", 50696),
            ErrorCase("{'$replaceOne': {'input': 'x', 'find': 'x'}}", 51747),
            ErrorCase("{'$regexMatch': {'input': 'x'}}", 31023),
            ErrorCase("{'$replaceOne': {'input': 1, 'find': 'a', 'replacement': 'b'}}", 51746),
            ErrorCase("{'$regexMatch': {'input': 1, 'regex': 'a'}}", 51104),
            ErrorCase("{'$regexMatch': {'input': 'a', 'regex': 1}}", 51105),
            ErrorCase("{'$regexMatch': {'input': 'a', 'regex': '('}}", 51111),
        ])
    func stringErrors(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }
}
