import BSON
import Core
import Testing

@testable import Query

@Suite struct ArrayUpdateTests {
    @Test(
        "array operators",
        arguments: [
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$push': {'a': 2}}", "{'_id': 1, 'a': [1, 2]}"),
            UpdateCase("{'_id': 1}", "{'$push': {'a': [1]}}", "{'_id': 1, 'a': [[1]]}"),
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$push': {'a': {'$each': [2, 3]}}}", "{'_id': 1, 'a': [1, 2, 3]}"),
            UpdateCase(
                "{'_id': 1, 'a': [1, 2]}", "{'$push': {'a': {'$each': [9], '$position': 1}}}",
                "{'_id': 1, 'a': [1, 9, 2]}"),
            UpdateCase(
                "{'_id': 1, 'a': [1, 2]}", "{'$push': {'a': {'$each': [9], '$position': -1}}}",
                "{'_id': 1, 'a': [1, 9, 2]}"),
            UpdateCase(
                "{'_id': 1, 'a': [3, 1]}", "{'$push': {'a': {'$each': [2], '$sort': 1, '$slice': 2}}}",
                "{'_id': 1, 'a': [1, 2]}"),
            UpdateCase(
                "{'_id': 1, 'a': [3, 1]}", "{'$push': {'a': {'$each': [2], '$slice': -2}}}", "{'_id': 1, 'a': [1, 2]}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'x': 2}]}", "{'$push': {'a': {'$each': [{'x': 1}], '$sort': {'x': 1}}}}",
                "{'_id': 1, 'a': [{'x': 1}, {'x': 2}]}"),
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$push': {'a': {'$each': []}}}", "{'_id': 1, 'a': [1]}"),
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$addToSet': {'a': 1.0}}", "{'_id': 1, 'a': [1]}"),
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$addToSet': {'a': {'$each': [2, 1, 2]}}}", "{'_id': 1, 'a': [1, 2]}"),
            UpdateCase("{'_id': 1}", "{'$addToSet': {'a': {'$each': [2, 2]}}}", "{'_id': 1, 'a': [2]}"),
            UpdateCase("{'_id': 1, 'a': [1, 2, 3]}", "{'$pop': {'a': 1}}", "{'_id': 1, 'a': [1, 2]}"),
            UpdateCase("{'_id': 1, 'a': [1, 2, 3]}", "{'$pop': {'a': -1, 'b': 1}}", "{'_id': 1, 'a': [2, 3]}"),
            UpdateCase("{'_id': 1, 'a': [1, 2, 1]}", "{'$pull': {'a': 1}}", "{'_id': 1, 'a': [2]}"),
            UpdateCase("{'_id': 1, 'a': [1, 5, 9]}", "{'$pull': {'a': {'$gte': 5}, 'b': 1}}", "{'_id': 1, 'a': [1]}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'x': 1, 'y': 2}, {'x': 2}, 5]}", "{'$pull': {'a': {'x': 1}}}",
                "{'_id': 1, 'a': [{'x': 2}, 5]}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'x': 5}, {'x': 2}]}", "{'$pull': {'a': {'x': {'$gt': 3}}}}",
                "{'_id': 1, 'a': [{'x': 2}]}"),
            UpdateCase(
                "{'_id': 1, 'a': ['ab', 'cd', 1]}",
                "{'$pull': {'a': {'$regularExpression': {'pattern': '^a', 'options': ''}}}}",
                "{'_id': 1, 'a': ['cd', 1]}"),
            UpdateCase("{'_id': 1, 'a': [1, 2, 3, 2]}", "{'$pullAll': {'a': [2, 3.0]}}", "{'_id': 1, 'a': [1]}"),
        ])
    func arrays(_ row: UpdateCase) throws { try row.check() }

    @Test(
        "positional operators choose elements",
        arguments: [
            UpdateCase("{'_id': 1, 'a': [1, 2, 3]}", "{'$set': {'a.$': 9}}", "{'_id': 1, 'a': [1, 9, 3]}", position: 1),
            UpdateCase(
                "{'_id': 1, 'a': [{'b': 1}, {'b': 2}]}", "{'$inc': {'a.$.b': 5, 'a.0.c': 1}}",
                "{'_id': 1, 'a': [{'b': 6, 'c': 1}, {'b': 2}]}", position: 0),
            UpdateCase("{'_id': 1, 'a': [1, 2]}", "{'$inc': {'a.$[]': 10}}", "{'_id': 1, 'a': [11, 12]}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'b': [1]}, {'b': [2, 3]}]}", "{'$mul': {'a.$[].b.$[]': 2}}",
                "{'_id': 1, 'a': [{'b': [2]}, {'b': [4, 6]}]}"),
            UpdateCase(
                "{'_id': 1, 'a': [1, 5, 9]}", "{'$set': {'a.$[x]': 0}}", "{'_id': 1, 'a': [1, 0, 0]}",
                filters: ["{'x': {'$gte': 5}}"]),
            UpdateCase(
                "{'_id': 1, 'a': [{'g': 80, 'm': 1}, {'g': 90}]}", "{'$set': {'a.$[e].m': 7}}",
                "{'_id': 1, 'a': [{'g': 80, 'm': 1}, {'g': 90, 'm': 7}]}", filters: ["{'e.g': {'$gt': 85}}"]),
            UpdateCase(
                "{'_id': 1, 'a': [{'b': 1}, {'b': 2}]}", "{'$set': {'a.$[x].c': 1, 'a.$[y].d': 2}}",
                "{'_id': 1, 'a': [{'b': 1, 'c': 1, 'd': 2}, {'b': 2, 'd': 2}]}",
                filters: ["{'x.b': 1}", "{'y.b': {'$lt': 5}}"]),
            UpdateCase("{'_id': 1, 'a': [1, 2]}", "{'$unset': {'a.$[]': 1}}", "{'_id': 1, 'a': [null, null]}"),
        ])
    func positional(_ row: UpdateCase) throws { try row.check() }

    @Test(
        "array operators are refused with MongoDB's codes",
        arguments: [
            UpdateErrorCase(
                "{'_id': 1, 'a': 'x'}", "{'$push': {'a': 1}}", 2,
                "The field 'a' must be an array but is of type string in document {_id: 1}"),
            UpdateErrorCase("{'_id': 1}", "{'$push': {'a': {'$each': 1}}}", 2),
            UpdateErrorCase(
                "{'_id': 1}", "{'$push': {'a': {'$each': [], '$foo': 1}}}", 2, "Unrecognized clause in $push: $foo"),
            UpdateErrorCase("{'_id': 1}", "{'$push': {'a': {'$each': [], '$slice': 1.5}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$push': {'a': {'$each': [], '$sort': 2}}}", 2),
            UpdateErrorCase("{'_id': 1, 'a': 1}", "{'$addToSet': {'a': 1}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$addToSet': {'a': {'$each': 5}}}", 14),
            UpdateErrorCase("{'_id': 1, 'a': 1}", "{'$pop': {'a': 1}}", 14),
            UpdateErrorCase("{'_id': 1}", "{'$pop': {'a': 2}}", 9, "$pop expects 1 or -1, found: 2"),
            UpdateErrorCase("{'_id': 1, 'a': 1}", "{'$pull': {'a': 1}}", 2, "Cannot apply $pull to a non-array value"),
            UpdateErrorCase("{'_id': 1}", "{'$pullAll': {'a': 1}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.$[x]': 1}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a': 1}}", 9, filters: ["{'x': 1}"]),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.$[x]': 1}}", 9, filters: ["{'x': 1}", "{'x': 2}"]),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.$[x]': 1}}", 9, filters: ["{'x': 1, 'y': 2}"]),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.$[X]': 1}}", 2, filters: ["{'X': 1}"]),
            UpdateErrorCase(
                "{'_id': 1}", "{'$set': {'a.$[]': 1}}", 2,
                "The path 'a' must exist in the document in order to apply array updates."),
            UpdateErrorCase("{'_id': 1, 'a': 5}", "{'$set': {'a.$[]': 1}}", 2),
            UpdateErrorCase("{'_id': 1, 'a': [1]}", "{'$set': {'a.$[]': 1, 'a.0': 2}}", 40),
            UpdateErrorCase("{'_id': 1, 'a': [1]}", "{'$set': {'a.$[]': 1, 'a.$[x]': 2}}", 40, filters: ["{'x': 1}"]),
            UpdateErrorCase("{'_id': 1}", "[{'$set': {'a': 1}}]", 9, filters: ["{'x': 1}"]),
        ])
    func errors(_ row: UpdateErrorCase) throws { try row.check() }
}
