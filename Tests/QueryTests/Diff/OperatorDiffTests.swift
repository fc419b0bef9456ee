import BSON
import Core
import Testing

@testable import Query

/// The deltas of updates with operators name the parts that the operators name, however small the document is.
@Suite struct OperatorDiffTests {
    @Test(
        "the delta of an operator",
        arguments: [
            ("{'n': 1}", "{'$inc': {'n': 1}}", "{'u': {'n': 2}}"),
            ("{}", "{'$inc': {'n': 1}}", "{'i': {'n': 1}}"),
            ("{'a': 1, 'b': 2, 'c': 3}", "{'$unset': {'b': 1}}", "{'d': {'b': false}}"),
            ("{'a': 1}", "{'$rename': {'a': 'b'}}", "{'d': {'a': false}, 'i': {'b': 1}}"),
            ("{'a': {'b': 1}}", "{'$set': {'a': {'b': 2}}}", "{'u': {'a': {'b': 2}}}"),
            ("{'a': {'b': 1}}", "{'$set': {'a.b': 2}}", "{'sa': {'u': {'b': 2}}}"),
            ("{'a': {'b': {'c': 1}}}", "{'$set': {'a.b.d': 2}}", "{'sa': {'sb': {'i': {'d': 2}}}}"),
            ("{'a': []}", "{'$push': {'a': 1}}", "{'sa': {'a': true, 'u0': 1}}"),
            ("{'a': [1]}", "{'$push': {'a': {'$each': [2, 3]}}}", "{'sa': {'a': true, 'u1': 2, 'u2': 3}}"),
            ("{'a': [1]}", "{'$push': {'a': {'$each': [2], '$position': 0}}}", "{'u': {'a': [2, 1]}}"),
            ("{'a': [1, 2]}", "{'$pop': {'a': 1}}", "{'u': {'a': [1]}}"),
            ("{'a': [1, 2]}", "{'$pull': {'a': 1}}", "{'u': {'a': [2]}}"),
            ("{'a': [1, 2]}", "{'$set': {'a.1': 5}}", "{'sa': {'a': true, 'u1': 5}}"),
            ("{'a': [1]}", "{'$set': {'a.2': 5}}", "{'sa': {'a': true, 'u1': null, 'u2': 5}}"),
            ("{'a': [{'b': 1}]}", "{'$set': {'a.0.b': 5}}", "{'sa': {'a': true, 's0': {'u': {'b': 5}}}}"),
            ("{'a': [{'b': 1}]}", "{'$inc': {'a.$[].b': 5}}", "{'sa': {'a': true, 's0': {'u': {'b': 6}}}}"),
            ("{'a': [1, 2]}", "{'$inc': {'a.$[]': 1}}", "{'sa': {'a': true, 'u0': 2, 'u1': 3}}"),
            ("{'a': 1}", "{'$set': {'a': {'b': 1}}}", "{'u': {'a': {'b': 1}}}"),
        ])
    func shape(_ document: String, _ update: String, _ expected: String) throws {
        let wrapped = Document { $0.append("u", .document((try? json(update)) ?? Document())) }
        let program = try wrapped.withView { try UpdateProgram(#require($0["u"]), context: QueryContext()) }
        let old = try json(document)
        let made = ByteBuffer()
        _ = try old.withView { try program.apply(to: $0, into: made) }
        let new = try Document(validating: made.toArray())
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        let isDelta = old.withView { old in
            new.withView { DocumentDiff.compute(from: old, to: $0, by: program, into: writer) }
        }
        writer.finish()
        #expect(isDelta)
        let entry = try Document(validating: buffer.toArray())
        #expect(entry == ["$v": 2, "diff": .document(try json(expected))])
        // Done twice it does what it does once.
        var current = old
        for _ in 0..<2 {
            let output = ByteBuffer()
            try entry.withView { entry in
                try current.withView {
                    try DocumentDiff.apply(#require(entry["diff"]?.asDocument), to: $0, into: output)
                }
            }
            current = try Document(validating: output.toArray())
            #expect(current == new)
        }
    }
}
