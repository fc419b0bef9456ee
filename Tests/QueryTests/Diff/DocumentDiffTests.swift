import BSON
import Core
import Testing

@testable import Query

@Suite struct DocumentDiffTests {
    private func diff(_ old: Document, _ new: Document) -> Document? {
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        let isDelta = old.withView { old in
            new.withView { DocumentDiff.compute(from: old, to: $0, into: writer) }
        }
        writer.finish()
        let entry = Document(trusted: buffer.toArray())
        if !isDelta { #expect(entry.isEmpty) }
        return isDelta ? entry : nil
    }

    private func apply(_ entry: Document, _ document: Document) throws -> Document {
        let output = ByteBuffer()
        try entry.withView { entry in
            try document.withView {
                try DocumentDiff.apply(#require(entry["diff"]?.asDocument), to: $0, into: output)
            }
        }
        return try Document(validating: output.toArray())
    }

    private static let filler = "'filler': '\(String(repeating: "x", count: 300))'"

    @Test(
        "a delta has MongoDB's documented shape",
        arguments: [
            ("{'_id': 1, 'a': 1, \(filler)}", "{'_id': 1, 'a': 2, \(filler)}", "{'u': {'a': 2}}"),
            ("{'_id': 1, 'a': 1, \(filler)}", "{'_id': 1, \(filler)}", "{'d': {'a': false}}"),
            ("{'_id': 1, \(filler)}", "{'_id': 1, \(filler), 'b': 5, 'a': 4}", "{'i': {'b': 5, 'a': 4}}"),
            (
                "{'_id': 1, 'o': {'p': 1, 'q': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}, \(filler)}",
                "{'_id': 1, 'o': {'p': 2, 'q': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}, \(filler)}",
                "{'so': {'u': {'p': 2}}}"
            ),
            (
                "{'_id': 1, 'l': [1, 2, 3, 4, 5, 6, 7, 8, 9], \(filler)}",
                "{'_id': 1, 'l': [1, 2, 0, 4, 5, 6, 7, 8, 9, 10], \(filler)}", "{'sl': {'a': true, 'u2': 0, 'u9': 10}}"
            ),
            (
                "{'_id': 1, 'l': [1, 2, 3, 4, 5, 6, 7, 8, 9], \(filler)}",
                "{'_id': 1, 'l': [1, 2, 3, 4, 5, 6], \(filler)}", "{'sl': {'a': true, 'l': 6}}"
            ),
        ])
    func shape(_ old: String, _ new: String, _ expected: String) throws {
        let entry = try #require(diff(try json(old), try json(new)))
        #expect(entry == ["$v": 2, "diff": .document(try json(expected))])
        #expect(try apply(entry, try json(old)) == json(new))
    }

    @Test("no delta is made when the document itself is smaller, or when its fields repeat a name")
    func replacement() throws {
        #expect(diff(["_id": 1, "a": 1], ["_id": 1, "b": 2]) == nil)
        let filler = Value.string(String(repeating: "x", count: 300))
        let repeated = Document { writer in
            writer.append("f", filler)
            writer.append("a", .int32(1))
            writer.append("a", .int32(2))
        }
        let changed = Document { writer in
            writer.append("f", filler)
            writer.append("a", .int32(1))
            writer.append("a", .int32(3))
        }
        #expect(diff(repeated, changed) == nil)
    }

    @Test("parts of a delta that do not fit a later document do nothing")
    func misfits() throws {
        let entry = Document {
            $0.append("diff", .document(["d": ["x": false], "so": ["u": ["p": 1]], "sl": ["a": true, "u0": 1]]))
        }
        #expect(try apply(entry, ["o": 5, "l": ["k": 1]]) == ["o": 5, "l": ["k": 1]])
        #expect(try apply(entry, Document()) == Document())
    }

    @Test("a malformed delta is refused")
    func malformed() throws {
        for diff: Document in [
            ["x": [:]], ["u": 5], ["sa": 5], ["sa": ["a": true, "l": -1]], ["sa": ["a": true, "ux": 1]],
            ["sa": ["a": true, "u999999999": 1]], ["sa": ["a": true, "s0": 1]],
        ] {
            let error = ServerError.caught { _ = try apply(["diff": .document(diff)], ["a": [1]]) }
            #expect(error?.code == .failedToParse, "\(diff)")
        }
    }

    @Test("over random documents a delta makes the new one of the old, and of the new one itself", arguments: 0..<4)
    func random(_ seed: UInt64) throws {
        var random = DiffRandom(seed: seed)
        var deltas = 0
        for _ in 0..<600 {
            let old = random.document(depth: 3)
            let new = random.chance(10) ? random.document(depth: 3) : random.changed(old, depth: 3)
            guard let entry = diff(old, new) else { continue }
            deltas += 1
            let once = try apply(entry, old)
            #expect(once == new)
            #expect(try apply(entry, once) == new)
            #expect(entry.byteCount < new.byteCount + 64)
        }
        #expect(deltas > 200)
    }
}

/// Random documents and random changes to them.
struct DiffRandom {
    private var source: SplitMix64
    init(seed: UInt64) { source = SplitMix64(seed: seed) }

    mutating func chance(_ percent: UInt64) -> Bool { source.chance(percent) }
    private mutating func number(_ bound: Int) -> Int { Int(source.next() % UInt64(bound)) }

    private mutating func scalar() -> Value {
        switch number(6) {
        case 0: .int32(Int32(number(5)))
        case 1: .double(Double(number(5)))
        case 2: .null
        case 3: .int64(Int64(number(5)))
        case 4: .bool(chance(50))
        default: .string(String(repeating: "s", count: number(40)))
        }
    }

    private mutating func value(depth: Int) -> Value {
        guard depth > 0, chance(45) else { return scalar() }
        if chance(50) { return .document(document(depth: depth - 1)) }
        return .array((0..<number(8)).map { _ in value(depth: depth - 1) })
    }

    mutating func document(depth: Int) -> Document {
        let names = ["a", "b", "c", "d", "sa", "u", "i", "", "0", "longer name"].filter { _ in chance(60) }
        var fields: [(String, Value)] = []
        for name in names { fields.append((name, value(depth: depth))) }
        return Document { writer in for (name, value) in fields { writer.append(name, value) } }
    }

    mutating func changed(_ document: Document, depth: Int) -> Document {
        var fields: [(String, Value)] = []
        for (name, value) in document.fields {
            if chance(10) { continue }
            fields.append((name, chance(30) ? changed(value, depth: depth) : value))
        }
        if chance(30) { fields.append(("new\(number(3))", value(depth: depth))) }
        if chance(10), fields.count > 1 { fields.swapAt(0, number(fields.count)) }
        return Document { writer in for (name, value) in fields { writer.append(name, value) } }
    }

    private mutating func changed(_ value: Value, depth: Int) -> Value {
        switch value {
        case .document(let document): return .document(changed(document, depth: depth - 1))
        case .array:
            var elements = value.asArray ?? []
            if !elements.isEmpty, chance(50) { elements[number(elements.count)] = scalar() }
            if !elements.isEmpty, chance(30) { elements.removeLast() }
            if chance(30) { elements.append(self.value(depth: max(depth - 1, 0))) }
            if !elements.isEmpty, chance(30) {
                let at = number(elements.count)
                elements[at] = changed(elements[at], depth: max(depth - 1, 0))
            }
            return .array(elements)
        default: return scalar()
        }
    }
}
