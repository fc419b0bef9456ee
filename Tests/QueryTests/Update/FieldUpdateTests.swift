import BSON
import Core
import Testing

@testable import Query

@Suite struct FieldUpdateTests {
    @Test(
        "field operators change what they name and keep the order of fields",
        arguments: [
            UpdateCase("{'_id': 1, 'a': 1, 'b': 2}", "{'$set': {'a': 5}}", "{'_id': 1, 'a': 5, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{'$set': {'a': 1}}", "{'_id': 1, 'a': 1}"),
            UpdateCase("{'_id': 1}", "{'$set': {}}", "{'_id': 1}"),
            UpdateCase(
                "{'_id': 1}", "{'$set': {'c': 3, 'a': 1, 'b.d': 2, 'b.c': 1}}",
                "{'_id': 1, 'a': 1, 'b': {'c': 1, 'd': 2}, 'c': 3}"),
            UpdateCase("{'_id': 1}", "{'$set': {'10': 1, '9': 1, 'a': 1}}", "{'_id': 1, '9': 1, '10': 1, 'a': 1}"),
            UpdateCase(
                "{'_id': 1, 'a': {'b': {'c': 1, 'd': 2}}}", "{'$set': {'a.b.c': 9, 'a.x': 1}}",
                "{'_id': 1, 'a': {'b': {'c': 9, 'd': 2}, 'x': 1}}"),
            UpdateCase("{'_id': 1, 'a': [1, 2, 3]}", "{'$set': {'a.1': 9}}", "{'_id': 1, 'a': [1, 9, 3]}"),
            UpdateCase("{'_id': 1, 'a': [1]}", "{'$set': {'a.3': 9}}", "{'_id': 1, 'a': [1, null, null, 9]}"),
            UpdateCase(
                "{'_id': 1, 'a': [1]}", "{'$set': {'a.2': 9, 'a.10': 8, 'a.0': 7}}",
                "{'_id': 1, 'a': [7, null, 9, null, null, null, null, null, null, null, 8]}"),
            UpdateCase(
                "{'_id': 1, 'a': [{'b': 1}]}", "{'$set': {'a.0.b': 2, 'a.1.b': 3}}",
                "{'_id': 1, 'a': [{'b': 2}, {'b': 3}]}"),
            UpdateCase("{'_id': 1, 'a': 1, 'b': 2}", "{'$unset': {'a': ''}}", "{'_id': 1, 'b': 2}"),
            UpdateCase("{'_id': 1, 'a': {'b': 1}}", "{'$unset': {'a.b': 1, 'x.y': 1}}", "{'_id': 1, 'a': {}}"),
            UpdateCase("{'_id': 1, 'a': 5}", "{'$unset': {'a.b': 1}}", "{'_id': 1, 'a': 5}"),
            UpdateCase("{'_id': 1, 'a': [1, 2]}", "{'$unset': {'a.0': 1, 'a.7': 1}}", "{'_id': 1, 'a': [null, 2]}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{'$inc': {'a': 2, 'b': 3}}", "{'_id': 1, 'a': 3, 'b': 3}"),
            UpdateCase(
                "{'_id': 1, 'a': 2147483647}", "{'$inc': {'a': 1}}", "{'_id': 1, 'a': {'$numberLong': '2147483648'}}"),
            UpdateCase("{'_id': 1, 'a': 1}", "{'$inc': {'a': 0.5}}", "{'_id': 1, 'a': 1.5}"),
            UpdateCase(
                "{'_id': 1, 'a': {'$numberDecimal': '1.10'}}", "{'$inc': {'a': {'$numberDecimal': '0.05'}}}",
                "{'_id': 1, 'a': {'$numberDecimal': '1.15'}}"),
            UpdateCase("{'_id': 1, 'a': 3}", "{'$mul': {'a': 2, 'b': 5}}", "{'_id': 1, 'a': 6, 'b': 0}"),
            UpdateCase("{'_id': 1}", "{'$mul': {'b': {'$numberLong': '5'}}}", "{'_id': 1, 'b': {'$numberLong': '0'}}"),
            UpdateCase(
                "{'_id': 1, 'a': 3, 'b': 3}", "{'$min': {'a': 2, 'b': 5, 'c': 1}}", "{'_id': 1, 'a': 2, 'b': 3, 'c': 1}"
            ),
            UpdateCase("{'_id': 1, 'a': 3, 'b': 3}", "{'$max': {'a': 2, 'b': 'x'}}", "{'_id': 1, 'a': 3, 'b': 'x'}"),
            UpdateCase("{'_id': 1, 'a': 5, 'b': 1}", "{'$rename': {'a': 'c'}}", "{'_id': 1, 'b': 1, 'c': 5}"),
            UpdateCase("{'_id': 1, 'a': 5, 'b': 1}", "{'$rename': {'a': 'b'}}", "{'_id': 1, 'b': 5}"),
            UpdateCase(
                "{'_id': 1, 'a': {'x': 5}}", "{'$rename': {'a.x': 'b.y'}}", "{'_id': 1, 'a': {}, 'b': {'y': 5}}"),
            UpdateCase("{'_id': 1, 'b': 1}", "{'$rename': {'a': 'b'}}", "{'_id': 1, 'b': 1}"),
            UpdateCase("{'_id': 1, 'b': 1}", "{'$rename': {'a': 'b.c.d'}}", "{'_id': 1, 'b': 1}"),
            UpdateCase("{'_id': 1}", "{'$setOnInsert': {'a': 1}}", "{'_id': 1}"),
            UpdateCase("{'_id': 1, 'a': 5}", "{'$setOnInsert': {'a.b': 1}}", "{'_id': 1, 'a': 5}"),
            UpdateCase("{'_id': 1, 'a': 13}", "{'$bit': {'a': {'and': 10}}}", "{'_id': 1, 'a': 8}"),
            UpdateCase(
                "{'_id': 1, 'a': 3}", "{'$bit': {'a': {'or': 4, 'xor': 1}, 'b': {'or': {'$numberLong': '1'}}}}",
                "{'_id': 1, 'a': 6, 'b': {'$numberLong': '1'}}"),
            UpdateCase("{'_id': 1}", "{'$set': {'_id': 1}}", "{'_id': 1}"),
            UpdateCase("{'_id': 1, 'r': {}}", "{'$set': {'r.$id': 5}}", "{'_id': 1, 'r': {'$id': 5}}"),
        ])
    func fields(_ row: UpdateCase) throws { try row.check() }

    @Test("$currentDate writes the time of the context")
    func currentDate() throws {
        let context = QueryContext(nowMillis: 5000, clusterTime: Timestamp(seconds: 5, increment: 3))
        let made = try update(
            "{'_id': 1}", "{'$currentDate': {'a': true, 'b': {'$type': 'timestamp'}, 'c': {'$type': 'date'}}}",
            context: context)
        #expect(made.document["a"] == .dateTime(5000))
        #expect(made.document["b"] == .timestamp(Timestamp(seconds: 5, increment: 3)))
        #expect(made.document["c"] == .dateTime(5000))
    }

    @Test(
        "updates that cannot be done are refused with MongoDB's codes",
        arguments: [
            UpdateErrorCase(
                "{'_id': 1}", "{'$foo': {'a': 1}}", 9,
                "Unknown modifier: $foo. Expected a valid update modifier or pipeline-style update specified as "
                    + "an array"
            ),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a': 1}, 'b': 2}", 9),
            UpdateErrorCase("{'_id': 1}", "{'b': 2, '$set': {'a': 1}}", 52),
            UpdateErrorCase("{'_id': 1}", "{'$set': 5}", 9),
            UpdateErrorCase("{'_id': 1}", "5", 9),
            UpdateErrorCase(
                "{'_id': 1}", "{'$set': {'a': 1}, '$inc': {'a': 1}}", 40,
                "Updating the path 'a' would create a conflict at 'a'"),
            UpdateErrorCase(
                "{'_id': 1}", "{'$set': {'a': 1, 'a.b': 1}}", 40,
                "Updating the path 'a.b' would create a conflict at 'a'"),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.b': 1, 'a': 1}}", 40),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a': 1}, '$setOnInsert': {'a': 1}}", 40),
            UpdateErrorCase("{'_id': 1}", "{'$rename': {'a': 'b'}, '$set': {'b': 1}}", 40),
            UpdateErrorCase(
                "{'_id': 1}", "{'$set': {'_id': 2}}", 66,
                "Performing an update on the path '_id' would modify the immutable field '_id'"),
            UpdateErrorCase("{'_id': 1}", "{'$unset': {'_id': 1}}", 66),
            UpdateErrorCase("{'_id': {'a': 1}}", "{'$set': {'_id.a': 2}}", 66),
            UpdateErrorCase(
                "{'_id': 1, 'a': 5}", "{'$set': {'a.b': 1}}", 28, "Cannot create field 'b' in element {a: 5}"),
            UpdateErrorCase("{'_id': 1, 'a': [1]}", "{'$set': {'a.b': 1}}", 28),
            UpdateErrorCase("{'_id': 1, 'a': 5}", "{'$pop': {'a.b': 1}}", 28),
            UpdateErrorCase("{'_id': 1, 'a': []}", "{'$set': {'a.9999999': 1}}", 15891),
            UpdateErrorCase(
                "{'_id': 1, 'a': 'x'}", "{'$inc': {'a': 1}}", 14,
                "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of non-numeric "
                    + "type string"
            ),
            UpdateErrorCase(
                "{'_id': 1}", "{'$inc': {'a': 'x'}}", 14, "Cannot increment with non-numeric argument: {a: \"x\"}"),
            UpdateErrorCase("{'_id': 1, 'a': {'$numberLong': '9223372036854775807'}}", "{'$inc': {'a': 1}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$mul': {'a': null}}", 14),
            UpdateErrorCase("{'_id': 1, 'a': 1.5}", "{'$bit': {'a': {'and': 1}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$bit': {'a': {'and': 1.5}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$bit': {'a': {'nor': 1}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$bit': {'a': {}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$currentDate': {'a': 5}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$currentDate': {'a': {'$type': 'x'}}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$rename': {'a': 5}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$rename': {'a': 'a'}}", 2),
            UpdateErrorCase("{'_id': 1, 'a': [{'b': 1}]}", "{'$rename': {'a.b': 'c'}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'': 1}}", 56),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a..b': 1}}", 56),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'$x': 1}}", 52),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'$': 1}}", 2),
            UpdateErrorCase("{'_id': 1}", "{'$set': {'a.$.b.$': 1}}", 2),
            UpdateErrorCase(
                "{'_id': 1, 'a': [1]}", "{'$set': {'a.$': 1}}", 2,
                "The positional operator did not find the match needed from the query."),
        ])
    func errors(_ row: UpdateErrorCase) throws { try row.check() }

    @Test("a result larger than a document may be is refused and leaves the output as it was")
    func tooLarge() throws {
        let big = String(repeating: "x", count: 9 * 1024 * 1024)
        let document: Document = ["_id": 1, "a": .string(big)]
        let change: Value = .document(["$set": ["b": .string(big)]])
        let program = try Document { $0.append("u", change) }.withView {
            try UpdateProgram(#require($0["u"]), context: QueryContext())
        }
        let output = ByteBuffer()
        output.append(byte: 7)
        let error = ServerError.caught { _ = try document.withView { try program.apply(to: $0, into: output) } }
        #expect(error?.code.rawValue == 17419)
        #expect(output.toArray() == [7])
    }

    @Test("a result that nests deeper than a document may is refused")
    func tooDeep() throws {
        let path = (0..<90).map { "a\($0)" }.joined(separator: ".")
        var inner = Document()
        for _ in 0..<20 { inner = ["longer field name": .document(inner)] }
        let change: Value = .document(["$set": .document(Document { $0.append(path, .document(inner)) })])
        let program = try Document { $0.append("u", change) }.withView {
            try UpdateProgram(#require($0["u"]), context: QueryContext())
        }
        let error = ServerError.caught {
            _ = try Document().withView { try program.apply(to: $0, into: ByteBuffer()) }
        }
        #expect(error?.code == .overflow)
    }
}
