import BSON
import Core
import Testing

@testable import Query

@Suite struct CoreExpressionTests {
    @Test(
        "paths, variables, comparison, logic, objects and types",
        arguments: [
            ExpressionCase("'$a.b'", "1", over: "{'a': {'b': 1}}"),
            ExpressionCase("'$a.b'", "[1, 2]", over: "{'a': [{'b': 1}, {'c': 0}, {'b': 2}, 5, [{'b': 3}]]}"),
            ExpressionCase("'$a.0'", "[]", over: "{'a': [1]}"),
            ExpressionCase("'$x.y'", "missing", over: "{'x': 1}"),
            ExpressionCase("'$$ROOT'", "{'a': 1}", over: "{'a': 1}"),
            ExpressionCase("'$$ROOT.a'", "1", over: "{'a': 1}"),
            ExpressionCase("'$$CURRENT.a'", "1", over: "{'a': 1}"),
            ExpressionCase("'$$REMOVE'", "missing"),
            ExpressionCase("{'a': '$$REMOVE', 'b': '$x'}", "{'b': 1}", over: "{'x': 1}"),
            ExpressionCase("['$x', '$y']", "[1, null]", over: "{'x': 1}"),
            ExpressionCase("{'$literal': '$x'}", "'$x'", over: "{'x': 1}"),
            ExpressionCase(
                "{'$let': {'vars': {'a': 1, 'b': '$x'}, 'in': {'$add': ['$$a', '$$b']}}}", "3", over: "{'x': 2}"),
            ExpressionCase("{'$let': {'vars': {'a': {'b': 5}}, 'in': '$$a.b'}}", "5"),
            ExpressionCase("{'$cmp': [1, 2.5]}", "-1"),
            ExpressionCase("{'$eq': [1, 1.0]}", "true"),
            ExpressionCase("{'$eq': ['$a', null]}", "false"),
            ExpressionCase("{'$lt': ['$a', null]}", "true"),
            ExpressionCase("{'$ne': [1, '1']}", "true"),
            ExpressionCase("{'$gt': ['a', 5]}", "true"),
            ExpressionCase("{'$gte': [[1], {}]}", "true"),
            ExpressionCase("{'$and': [1, true, 'x']}", "true"),
            ExpressionCase("{'$and': []}", "true"),
            ExpressionCase("{'$or': [0, null]}", "false"),
            ExpressionCase("{'$or': [true, {'$divide': [1, '$zero']}]}", "true", over: "{'zero': 0}"),
            ExpressionCase("{'$not': [0]}", "true"),
            ExpressionCase("{'$cond': [{'$gt': [2, 1]}, 'y', 'n']}", "'y'"),
            ExpressionCase("{'$cond': {'if': false, 'then': {'$divide': [1, 0]}, 'else': 'n'}}", "'n'"),
            ExpressionCase("{'$ifNull': ['$a', null, 7]}", "7"),
            ExpressionCase("{'$switch': {'branches': [{'case': false, 'then': 1}, {'case': true, 'then': 2}]}}", "2"),
            ExpressionCase("{'$switch': {'branches': [{'case': false, 'then': 1}], 'default': 3}}", "3"),
            ExpressionCase("{'$mergeObjects': [{'a': 1, 'b': 1}, null, {'b': 2, 'c': 3}]}", "{'a': 1, 'b': 2, 'c': 3}"),
            ExpressionCase("{'$mergeObjects': '$l'}", "{'a': 1, 'b': 2}", over: "{'l': [{'a': 1}, {'b': 2}]}"),
            ExpressionCase("{'$getField': 'a.b'}", "1", over: "{'a.b': 1}"),
            ExpressionCase(
                "{'$getField': {'field': {'$literal': '$x'}, 'input': '$o'}}", "2", over: "{'o': {'$x': 2}}"),
            ExpressionCase(
                "{'$setField': {'field': 'a.b', 'input': '$$ROOT', 'value': 5}}", "{'c': 1, 'a.b': 5}", over: "{'c': 1}"
            ),
            ExpressionCase("{'$unsetField': {'field': 'c', 'input': '$$ROOT'}}", "{'d': 1}", over: "{'c': 1, 'd': 1}"),
            ExpressionCase("{'$type': '$a'}", "'missing'"),
            ExpressionCase("{'$type': [[1]]}", "'array'"),
            ExpressionCase("{'$isNumber': 1.5}", "true"),
            ExpressionCase("{'$toString': 1.5}", "'1.5'"),
            ExpressionCase("{'$toString': 3.0}", "'3'"),
            ExpressionCase("{'$toString': true}", "'true'"),
            ExpressionCase("{'$toString': {'$date': {'$numberLong': '0'}}}", "'1970-01-01T00:00:00.000Z'"),
            ExpressionCase("{'$toInt': '42'}", "42"),
            ExpressionCase("{'$toInt': -3.9}", "-3"),
            ExpressionCase("{'$toLong': true}", "{'$numberLong': '1'}"),
            ExpressionCase("{'$toDouble': '-1e3'}", "-1000.0"),
            ExpressionCase("{'$toDecimal': '1.50'}", "{'$numberDecimal': '1.50'}"),
            ExpressionCase("{'$toBool': 'false'}", "true"),
            ExpressionCase("{'$toBool': 0.0}", "false"),
            ExpressionCase("{'$toDate': {'$numberLong': '5'}}", "{'$date': {'$numberLong': '5'}}"),
            ExpressionCase("{'$toDate': '2020-02-29T12:00:00+02:00'}", "{'$date': '2020-02-29T10:00:00Z'}"),
            ExpressionCase("{'$toObjectId': '0123456789abcdef01234567'}", "{'$oid': '0123456789abcdef01234567'}"),
            ExpressionCase("{'$convert': {'input': 'x', 'to': 'int', 'onError': 'bad'}}", "'bad'"),
            ExpressionCase("{'$convert': {'input': null, 'to': 16, 'onNull': 'none'}}", "'none'"),
            ExpressionCase("{}", "{}"),
        ])
    func core(_ row: ExpressionCase) throws { try row.check() }

    @Test(
        "expressions that make no sense are refused with MongoDB's codes",
        arguments: [
            ErrorCase("{'$foo': 1}", 168, "Unrecognized expression '$foo'"),
            ErrorCase("{'$add': 1, 'b': 2}", 15983),
            ErrorCase("{'a.b': 1}", 16412),
            ErrorCase("{'a': {'x': 1, '$add': []}}", 16410),
            ErrorCase("'$'", 16872),
            ErrorCase("'$a.'", 40353),
            ErrorCase("'$a..b'", 15998),
            ErrorCase("'$a.$b'", 16410),
            ErrorCase("'$$'", 9),
            ErrorCase("'$$nope'", 17276, "Use of undefined variable: nope"),
            ErrorCase("'$$CLUSTER_TIME'", 51144),
            ErrorCase("{'$let': {'vars': {'Upper': 1}, 'in': 1}}", 9),
            ErrorCase("{'$let': {'vars': {'a': 1}}}", 16877),
            ErrorCase("{'$let': {'vars': {'a': 1}, 'in': 1, 'x': 1}}", 16875),
            ErrorCase("{'$cond': [1, 2]}", 16020),
            ErrorCase("{'$cond': {'if': 1, 'then': 1}}", 17082),
            ErrorCase("{'$ifNull': [1]}", 1_257_300),
            ErrorCase("{'$switch': {'branches': []}}", 40068),
            ErrorCase("{'$switch': {'branches': [{'case': false, 'then': 1}]}}", 40069),
            ErrorCase("{'$switch': {'branches': [{'case': '$none', 'then': 1}]}}", 40066),
            ErrorCase("{'$mergeObjects': [1]}", 40400),
            ErrorCase("{'$toInt': 'x'}", 241, "Failed to parse number 'x' in $convert with no onError value"),
            ErrorCase("{'$toInt': 3e10}", 241),
            ErrorCase("{'$toInt': {'$date': {'$numberLong': '5'}}}", 241),
            ErrorCase("{'$toObjectId': 'x'}", 241),
            ErrorCase("{'$convert': {'input': 1, 'to': 'nope'}}", 2),
            ErrorCase("{'$indexOfArray': [1]}", 28667),
        ])
    func coreErrors(_ row: ErrorCase) throws { try row.check { _ = try evaluate(row.source) } }

    @Test("$$NOW, $$CLUSTER_TIME and the variables of `let` come from the context")
    func context() throws {
        let context = QueryContext(
            variables: ["x": ["y": 5]], nowMillis: 77, clusterTime: Timestamp(seconds: 1, increment: 2))
        #expect(try evaluate("'$$NOW'", context: context) == .dateTime(77))
        #expect(try evaluate("'$$CLUSTER_TIME'", context: context) == .timestamp(Timestamp(seconds: 1, increment: 2)))
        #expect(try evaluate("'$$x.y'", context: context) == 5)
    }

    @Test("a constant that fails does so only when it is reached")
    func lazyConstants() throws {
        #expect(try evaluate("{'$cond': ['$a', {'$divide': [1, 0]}, 'ok']}") == "ok")
        #expect(ServerError.caught { _ = try evaluate("{'$divide': [1, 0]}") }?.code == .badValue)
    }
}
