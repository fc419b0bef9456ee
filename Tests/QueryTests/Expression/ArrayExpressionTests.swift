import BSON
import Core
import Testing

@testable import Query

@Suite struct ArrayExpressionTests {
    @Test(
        "array operators",
        arguments: [
            ExpressionCase("{'$arrayElemAt': [[1, 2, 3], -1]}", "3"),
            ExpressionCase("{'$arrayElemAt': [[1], 5]}", "missing"),
            ExpressionCase("{'$arrayElemAt': [null, 0]}", "null"),
            ExpressionCase("{'$first': '$a'}", "1", over: "{'a': [1, 2]}"),
            ExpressionCase("{'$last': '$a'}", "2", over: "{'a': [1, 2]}"),
            ExpressionCase("{'$in': [1.0, [1, 2]]}", "true"),
            ExpressionCase("{'$indexOfArray': [['a', 'b'], 'b']}", "1"),
            ExpressionCase("{'$indexOfArray': [['a', 'b'], 'b', 0, 1]}", "-1"),
            ExpressionCase("{'$isArray': [[1]]}", "true"),
            ExpressionCase("{'$isArray': '$a'}", "false", over: "{'a': 1}"),
            ExpressionCase("{'$size': '$a'}", "2", over: "{'a': [1, 2]}"),
            ExpressionCase("{'$slice': [[1, 2, 3], 2]}", "[1, 2]"),
            ExpressionCase("{'$slice': [[1, 2, 3], -2]}", "[2, 3]"),
            ExpressionCase("{'$slice': [[1, 2, 3], 1, 5]}", "[2, 3]"),
            ExpressionCase("{'$slice': [[1, 2, 3], -5, 2]}", "[1, 2]"),
            ExpressionCase("{'$reverseArray': [[1, 2]]}", "[2, 1]"),
            ExpressionCase("{'$concatArrays': [[1], [2, 3]]}", "[1, 2, 3]"),
            ExpressionCase("{'$concatArrays': [[1], null]}", "null"),
            ExpressionCase("{'$range': [0, 5, 2]}", "[0, 2, 4]"),
            ExpressionCase("{'$range': [3, 0, -1]}", "[3, 2, 1]"),
            ExpressionCase("{'$range': [3, 0]}", "[]"),
            ExpressionCase("{'$zip': {'inputs': [[1, 2], ['a']]}}", "[[1, 'a']]"),
            ExpressionCase(
                "{'$zip': {'inputs': [[1, 2], ['a']], 'useLongestLength': true, 'defaults': [0, 'z']}}",
                "[[1, 'a'], [2, 'z']]"),
            ExpressionCase("{'$arrayToObject': [[['a', 1], ['b', 2]]]}", "{'a': 1, 'b': 2}"),
            ExpressionCase("{'$arrayToObject': [[{'k': 'a', 'v': 1}, {'k': 'a', 'v': 2}]]}", "{'a': 2}"),
            ExpressionCase("{'$objectToArray': {'a': 1}}", "[{'k': 'a', 'v': 1}]"),
            ExpressionCase("{'$filter': {'input': [1, 2, 3], 'as': 'n', 'cond': {'$gt': ['$$n', 1]}}}", "[2, 3]"),
            ExpressionCase("{'$filter': {'input': [1, 2, 3], 'cond': true, 'limit': 2}}", "[1, 2]"),
            ExpressionCase(
                "{'$map': {'input': [1, 2], 'in': {'$multiply': ['$$this', '$k']}}}", "[10, 20]", over: "{'k': 10}"),
            ExpressionCase(
                "{'$map': {'input': [[1], [2, 3]], 'as': 'x', 'in': {'$map': {'input': '$$x', 'as': 'y', 'in': "
                    + "{'$size': '$$x'}}}}}",
                "[[1], [2, 2]]"),
            ExpressionCase(
                "{'$reduce': {'input': [1, 2, 3], 'initialValue': 0, 'in': {'$add': ['$$value', '$$this']}}}", "6"),
            ExpressionCase("{'$reduce': {'input': null, 'initialValue': 0, 'in': 1}}", "null"),
            ExpressionCase("{'$setUnion': [[3, 1], [2, 1.0]]}", "[1, 2, 3]"),
            ExpressionCase("{'$setIntersection': [[1, 2, 3], [3, 2]]}", "[2, 3]"),
            ExpressionCase("{'$setDifference': [[3, 1, 2], [1]]}", "[3, 2]"),
            ExpressionCase("{'$setEquals': [[1, 2], [2, 1, 1]]}", "true"),
            ExpressionCase("{'$setIsSubset': [[1], [1, 2]]}", "true"),
            ExpressionCase("{'$allElementsTrue': [[1, true]]}", "true"),
            ExpressionCase("{'$anyElementTrue': [[0, false]]}", "false"),
            ExpressionCase("{'$sortArray': {'input': [3, 1, 2], 'sortBy': -1}}", "[3, 2, 1]"),
            ExpressionCase(
                "{'$sortArray': {'input': '$a', 'sortBy': {'x.y': 1}}}", "[{'x': {'y': 1}}, {'x': {'y': 2}}]",
                over: "{'a': [{'x': {'y': 2}}, {'x': {'y': 1}}]}"),
            ExpressionCase("{'$firstN': {'n': 2, 'input': [1, 2, 3]}}", "[1, 2]"),
            ExpressionCase("{'$lastN': {'n': 2, 'input': [1, 2, 3]}}", "[2, 3]"),
            ExpressionCase("{'$minN': {'n': 2, 'input': [3, null, 1, 2]}}", "[1, 2]"),
            ExpressionCase("{'$maxN': {'n': 2, 'input': [3, 1, 2]}}", "[3, 2]"),
        ])
    func arrays(_ row: ExpressionCase) throws { try row.check() }

    @Test(
        "array operators refuse other types with MongoDB's codes",
        arguments: [
            ErrorCase("{'$arrayElemAt': [1, 0]}", 28689),
            ErrorCase("{'$arrayElemAt': [[1], 0.5]}", 28691),
            ErrorCase("{'$in': [1, 2]}", 40081),
            ErrorCase("{'$indexOfArray': [1, 2]}", 40090),
            ErrorCase("{'$size': 1}", 17124, "The argument to $size must be an array, but was of type: int"),
            ErrorCase("{'$size': '$a'}", 17124, "The argument to $size must be an array, but was of type: missing"),
            ErrorCase("{'$slice': [[1], 1, 0]}", 28729),
            ErrorCase("{'$reverseArray': 1}", 34435),
            ErrorCase("{'$concatArrays': [1]}", 28664),
            ErrorCase("{'$range': [0, 5, 0]}", 34449),
            ErrorCase("{'$range': ['a', 5]}", 34443),
            ErrorCase("{'$range': [0, 2147483647]}", 146),
            ErrorCase("{'$zip': {'inputs': [1]}}", 34468),
            ErrorCase("{'$zip': {'inputs': []}}", 34465),
            ErrorCase("{'$arrayToObject': 1}", 40386),
            ErrorCase("{'$arrayToObject': [[1]]}", 40398),
            ErrorCase("{'$objectToArray': 1}", 40390),
            ErrorCase("{'$filter': {'input': 1, 'cond': true}}", 28651, "input to $filter must be an array not int"),
            ErrorCase("{'$filter': {'input': [1], 'cond': true, 'limit': 0}}", 327392),
            ErrorCase("{'$filter': 1}", 28646),
            ErrorCase("{'$map': {'input': 1, 'in': 1}}", 16883),
            ErrorCase("{'$map': {'in': 1}}", 16880),
            ErrorCase("{'$reduce': {'input': 1, 'initialValue': 0, 'in': 1}}", 40080),
            ErrorCase("{'$setUnion': [1]}", 17043),
            ErrorCase("{'$setDifference': [1, []]}", 17048),
            ErrorCase("{'$allElementsTrue': 1}", 17040),
            ErrorCase("{'$sortArray': {'input': 1, 'sortBy': 1}}", 2_942_504),
            ErrorCase("{'$firstN': {'n': 0, 'input': []}}", 5_787_908),
        ])
    func arrayErrors(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test("a $reduce that doubles its value stops at the size limit of a string")
    func reduceMemory() throws {
        let doubling =
            "{'$reduce': {'input': {'$range': [0, 60]}, 'initialValue': 'xxxxxxxxxxxxxxxx', 'in': {'$concat': "
            + "['$$value', '$$value']}}}"
        #expect(ServerError.caught { _ = try evaluate(doubling) }?.code.rawValue == 16493)
    }

    @Test("a $reduce that nests its value stops at the depth limit")
    func reduceDepth() throws {
        let nesting = "{'$reduce': {'input': {'$range': [0, 500]}, 'initialValue': {}, 'in': {'a': '$$value'}}}"
        #expect(ServerError.caught { _ = try evaluate(nesting) }?.code == .overflow)
    }
}
