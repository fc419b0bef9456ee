import BSON
import Core
import Testing

@testable import Query

/// A key pattern, a document, and the values of the keys it must give, in order.
struct IndexKeyCase: Sendable, CustomStringConvertible {
    let key: Document
    let document: Document
    let expected: [[Value]]
    let options: Document
    init(_ key: Document, _ document: Document, _ expected: [[Value]], _ options: Document = [:]) {
        self.key = key
        self.document = document
        self.expected = expected
        self.options = options
    }
    var description: String { "\(ValueText.document(key)) of \(ValueText.document(document))" }
}

func indexKeys(_ spec: IndexSpec, _ document: Document) throws -> [[UInt8]] {
    let keys = IndexKeys()
    try document.withView { try IndexKeyGenerator(spec).generate($0, into: keys) }
    return (0..<keys.count).map { [UInt8](keys[$0]) }
}

@Suite("Index keys") struct IndexKeyTests {
    static let cases: [IndexKeyCase] = [
        IndexKeyCase(["a": 1], ["a": 5], [[5]]),
        IndexKeyCase(["a": 1], [:], [[nil]]),
        IndexKeyCase(["a": 1], ["a": [2, 1, 2]], [[1], [2]]),
        IndexKeyCase(["a": -1], ["a": [1, 2]], [[2], [1]]),
        IndexKeyCase(["a": 1], ["a": []], [[.undefined]]),
        IndexKeyCase(["a": 1], ["a": [[1, 2], 3]], [[3], [[1, 2]]]),
        IndexKeyCase(["a": 1], ["a": ["b": 1]], [[["b": 1]]]),
        IndexKeyCase(["a.b": 1], ["a": ["b": 1]], [[1]]),
        IndexKeyCase(["a.b": 1], ["a": [["b": 1], ["b": [2, 3]], [:], 4]], [[nil], [1], [2], [3]]),
        IndexKeyCase(["a.b": 1], ["a": []], [[nil]]),
        IndexKeyCase(["a.b": 1], ["a": 5], [[nil]]),
        IndexKeyCase(["a.b": 1], ["a": ["b": []]], [[.undefined]]),
        IndexKeyCase(["a.0": 1], ["a": [7, 8]], [[7]]),
        IndexKeyCase(["a.5": 1], ["a": [7, 8]], [[nil]]),
        IndexKeyCase(["a.0.b": 1], ["a": [["b": 1], ["b": 2]]], [[1]]),
        IndexKeyCase(["a": 1, "b": 1], ["a": 1, "b": 2], [[1, 2]]),
        IndexKeyCase(["a": 1, "b": -1], ["a": [1, 2], "b": 3], [[1, 3], [2, 3]]),
        IndexKeyCase(["a.x": 1, "a.y": 1], ["a": [["x": 1, "y": 2], ["x": 3, "y": 4]]], [[1, 2], [3, 4]]),
        IndexKeyCase(["a": 1, "a.x": 1], ["a": [["x": 1]]], [[["x": 1], 1]]),
        IndexKeyCase(
            ["a.x": 1, "a.y": 1], ["a": [["x": [1, 2], "y": 3], ["y": 4]]], [[nil, 4], [1, 3], [2, 3]]),
        IndexKeyCase(["a": 1], [:], [], ["sparse": true]),
        IndexKeyCase(["a": 1], ["a": nil], [[nil]], ["sparse": true]),
        IndexKeyCase(["a": 1, "b": 1], ["b": 1], [[nil, 1]], ["sparse": true]),
        IndexKeyCase(["a": 1, "b": 1], ["c": 1], [], ["sparse": true]),
        IndexKeyCase(["a": 1], ["a": 5, "s": 1], [], ["partialFilterExpression": ["s": ["$gt": 3]]]),
        IndexKeyCase(["a": 1], ["a": 5, "s": 4], [[5]], ["partialFilterExpression": ["s": ["$gt": 3]]]),
    ]

    @Test("a document gives the keys that MongoDB gives", arguments: cases)
    func table(_ test: IndexKeyCase) throws {
        let spec = try indexSpec(test.key, test.options)
        let expected = test.expected.map { values in
            zip(values, spec.pattern.fields).flatMap { value, field in
                field.kind == .descending ? IntervalEnd(value).key.map { ~$0 } : IntervalEnd(value).key
            }
        }
        #expect(try indexKeys(spec, test.document) == expected)
    }

    @Test("two arrays in one key are refused with 171")
    func parallel() throws {
        let spec = try indexSpec(["a": 1, "b": 1])
        #expect(code { _ = try indexKeys(spec, ["a": [1], "b": [2]]) } == 171)
        #expect(message { _ = try indexKeys(spec, ["a": [1], "b": [2]]) } == "cannot index parallel arrays [b] [a]")
        #expect(ErrorCode(rawValue: 171).name == "CannotIndexParallelArrays")
    }

    @Test("a number that may mean a field or an element is refused with 16746")
    func ambiguous() throws {
        let spec = try indexSpec(["a.0": 1])
        #expect(code { _ = try indexKeys(spec, ["a": [["0": 1]]]) } == 16746)
    }

    @Test("a hashed index refuses arrays and keys documents by their hash")
    func hashed() throws {
        var spec = try indexSpec(["a": "hashed"])
        spec.hash = { ($0.asInteger ?? -1) * 1000 }
        #expect(try indexKeys(spec, ["a": 5]) == [IntervalEnd(.int64(5000)).key])
        #expect(try indexKeys(spec, [:]) == [IntervalEnd(.int64(-1000)).key])
        #expect(code { _ = try indexKeys(spec, ["a": [1]]) } == 16766)
    }

    @Test("arrays on the way are reported name by name")
    func multikey() throws {
        let keys = IndexKeys()
        let generator = IndexKeyGenerator(try indexSpec(["a.b": 1, "c": 1]))
        let array: Document = ["a": [["b": [1]]], "c": 1]
        try array.withView { try generator.generate($0, into: keys) }
        #expect(keys.multikeyPaths == [0b11, 0])
        let plain: Document = ["a": ["b": 1], "c": 1]
        try plain.withView { try generator.generate($0, into: keys) }
        #expect(!keys.isMultikey)
    }

    @Test("the values of a key are found again, for the error that names them")
    func keyValue() throws {
        let spec = try indexSpec(["a": 1, "b.c": -1])
        let document: Document = ["a": [1, 2], "b": ["c": "x"]]
        let generator = IndexKeyGenerator(spec)
        let keys = try indexKeys(spec, document)
        let found = try keys.map { key in
            try key.withUnsafeBytes { bytes in try document.withView { try generator.keyValue(of: $0, key: bytes) } }
        }
        #expect(found == [["a": 1, "b.c": "x"], ["a": 2, "b.c": "x"]])
        let other: [UInt8] = [1, 2, 3]
        #expect(
            try other.withUnsafeBytes { bytes in try document.withView { try generator.keyValue(of: $0, key: bytes) } }
                == nil)
    }
}
