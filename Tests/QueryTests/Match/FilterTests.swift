import BSON
import Core
import Testing

@testable import Query

/// A filter, a document, and whether it matches.
struct MatchCase: Sendable, CustomStringConvertible {
    let filter: Document
    let document: Document
    let expected: Bool
    init(_ filter: Document, _ document: Document, _ expected: Bool) {
        self.filter = filter
        self.document = document
        self.expected = expected
    }
    var description: String {
        "\(ValueText.document(filter)) on \(ValueText.document(document)) is \(expected)"
    }
}

@Suite("Filter") struct FilterTests {
    static let regex = Value.regex(pattern: "^ab", options: "")
    static let nan = Value.double(.nan)

    static let equality: [MatchCase] = [
        MatchCase([:], ["a": 1], true),
        MatchCase(["a": 1], ["a": 1], true),
        MatchCase(["a": 1], ["a": 1.0], true),
        MatchCase(["a": 1], ["a": .int64(1)], true),
        MatchCase(["a": 1], ["a": "1"], false),
        MatchCase(["a": 1], ["b": 1], false),
        MatchCase(["a": 1, "b": 2], ["b": 2, "a": 1], true),
        MatchCase(["a": 1, "b": 2], ["b": 3, "a": 1], false),
        MatchCase(["a": ["$eq": 1]], ["a": 1], true),
        MatchCase(["a": ["b": 1]], ["a": ["b": 1]], true),
        MatchCase(["a": ["b": 1]], ["a": ["b": 1, "c": 2]], false),
        MatchCase(["a": ["b": 1, "c": 2]], ["a": ["c": 2, "b": 1]], false),
        MatchCase(["a": 2], ["a": [1, 2]], true),
        MatchCase(["a": [1, 2]], ["a": [1, 2]], true),
        MatchCase(["a": [1, 2]], ["a": [2, 1]], false),
        MatchCase(["a": [1, 2]], ["a": [[1, 2], 3]], true),
        MatchCase(["a": []], ["a": []], true),
        MatchCase(["a": 1], ["a": [[1]]], false),
        MatchCase(["a": nil], [:], true),
        MatchCase(["a": nil], ["a": nil], true),
        MatchCase(["a": nil], ["a": .undefined], false),
        MatchCase(["a": nil], ["a": 1], false),
        MatchCase(["a": nil], ["a": [1, nil]], true),
        MatchCase(["a": nil], ["a": []], false),
        MatchCase(["a": nan], ["a": nan], true),
        MatchCase(["a": nan], ["a": 1], false),
        MatchCase(["a": regex], ["a": "abc"], true),
        MatchCase(["a": regex], ["a": "cab"], false),
        MatchCase(["a": regex], ["a": ["x", "abx"]], true),
        MatchCase(["a": regex], ["a": regex], true),
        MatchCase(["a": ["$eq": regex]], ["a": "abc"], false),
        MatchCase(["a": ["$eq": regex]], ["a": regex], true),
        MatchCase(["a": 0.0], ["a": -0.0], true),
        MatchCase(["a": ["$ref": "c", "$id": 1]], ["a": ["$ref": "c", "$id": 1]], true),
        MatchCase(["a": .symbol("x")], ["a": "x"], true),
    ]

    static let paths: [MatchCase] = [
        MatchCase(["a.b": 1], ["a": ["b": 1]], true),
        MatchCase(["a.b": 1], ["a": [["b": 2], ["b": 1]]], true),
        MatchCase(["a.b": 1], ["a": [[["b": 1]]]], false),
        MatchCase(["a.0.b": 1], ["a": [[["b": 1]]]], true),
        MatchCase(["a.0": 5], ["a": [5, 6]], true),
        MatchCase(["a.1": 5], ["a": [5, 6]], false),
        MatchCase(["a.0": 1], ["a": [[1, 2], 3]], true),
        MatchCase(["a.0.0": 1], ["a": [[1, 2], 3]], true),
        MatchCase(["a.0": 7], ["a": ["0": 7]], true),
        MatchCase(["a.1.b": 1], ["a": [["b": 0], ["b": 1]]], true),
        MatchCase(["a.00": 5], ["a": [5]], false),
        MatchCase(["a.b.c": 3], ["a": [["b": [["c": 3]]]]], true),
        MatchCase(["a.b": nil], ["a": 5], true),
        MatchCase(["a.b": nil], ["a": [["b": 1], [:]]], true),
        MatchCase(["a.b": nil], ["a": [1, 2]], false),
        MatchCase(["a.b": nil], ["a": []], false),
        MatchCase(["a.b": ["$exists": false]], ["a": [1, 2]], true),
        MatchCase(["a.1": ["$exists": false]], ["a": [["x": 1]]], true),
        MatchCase(["a.1": ["$exists": true]], ["a": [["x": 1], 2]], true),
        MatchCase(["a.": 1], ["a": ["": 1]], true),
        MatchCase(["": 1], ["": 1], true),
    ]

    static let comparisons: [MatchCase] = [
        MatchCase(["a": ["$gt": 1]], ["a": 2], true),
        MatchCase(["a": ["$gt": 1]], ["a": 1], false),
        MatchCase(["a": ["$gte": 1]], ["a": 1], true),
        MatchCase(["a": ["$lt": 1.5]], ["a": 1], true),
        MatchCase(["a": ["$lte": 1]], ["a": .int64(2)], false),
        MatchCase(["a": ["$gt": 1]], ["a": "2"], false),
        MatchCase(["a": ["$lt": "b"]], ["a": "a"], true),
        MatchCase(["a": ["$lt": 5]], ["a": nan], false),
        MatchCase(["a": ["$lte": nan]], ["a": nan], true),
        MatchCase(["a": ["$lt": nan]], ["a": nan], false),
        MatchCase(["a": ["$gte": nan]], ["a": 3], false),
        MatchCase(["a": ["$gte": nil]], [:], true),
        MatchCase(["a": ["$lte": nil]], ["a": nil], true),
        MatchCase(["a": ["$gt": nil]], ["a": nil], false),
        MatchCase(["a": ["$lt": .maxKey]], ["a": 5], true),
        MatchCase(["a": ["$gt": .minKey]], ["a": 5], true),
        MatchCase(["a": ["$lt": .minKey]], ["a": 5], false),
        MatchCase(["a": ["$lte": .maxKey]], ["a": .maxKey], true),
        MatchCase(["a": ["$gt": 1, "$lt": 5]], ["a": [0, 9]], true),
        MatchCase(["a": ["$gt": 1, "$lt": 5]], ["a": 9], false),
        MatchCase(["a": ["$gt": [1]]], ["a": [2]], true),
        MatchCase(["a": ["$gt": ["b": 1]]], ["a": ["b": 2]], true),
        MatchCase(["a": ["$gte": false]], ["a": true], true),
        MatchCase(["a": ["$gt": .dateTime(5)]], ["a": .timestamp(Timestamp(rawValue: 6))], false),
        MatchCase(["a": ["$ne": 1]], ["a": 2], true),
        MatchCase(["a": ["$ne": 1]], [:], true),
        MatchCase(["a": ["$ne": 1]], ["a": [1, 2]], false),
        MatchCase(["a": ["$ne": nil]], [:], false),
        MatchCase(["a": ["$in": [1, 2]]], ["a": 2], true),
        MatchCase(["a": ["$in": [1, 2]]], ["a": 3], false),
        MatchCase(["a": ["$in": []]], ["a": 3], false),
        MatchCase(["a": ["$in": [nil]]], [:], true),
        MatchCase(["a": ["$in": [1, regex]]], ["a": "abc"], true),
        MatchCase(["a": ["$in": [[1, 2]]]], ["a": [1, 2]], true),
        MatchCase(["a": ["$in": [5, 2]]], ["a": [9, 2]], true),
        MatchCase(["a": ["$nin": [1, regex]]], ["a": "abc"], false),
        MatchCase(["a": ["$nin": [1]]], [:], true),
    ]

    static let logic: [MatchCase] = [
        MatchCase(["$and": [["a": 1], ["b": 2]]], ["a": 1, "b": 2], true),
        MatchCase(["$and": [["a": 1], ["b": 2]]], ["a": 1], false),
        MatchCase(["$or": [["a": 1], ["b": 2]]], ["b": 2], true),
        MatchCase(["$or": [["a": 1], ["b": 2]]], ["b": 3], false),
        MatchCase(["$nor": [["a": 1], ["b": 2]]], ["b": 3], true),
        MatchCase(["$nor": [["a": 1], ["b": 2]]], ["a": 1], false),
        MatchCase(["a": ["$not": ["$gt": 5]]], ["a": 3], true),
        MatchCase(["a": ["$not": ["$gt": 5]]], [:], true),
        MatchCase(["a": ["$not": ["$gt": 5]]], ["a": [1, 6]], false),
        MatchCase(["a": ["$not": ["$gt": 1, "$lt": 5]]], ["a": 3], false),
        MatchCase(["a": ["$not": regex]], ["a": "xyz"], true),
        MatchCase(["a": ["$not": ["$not": ["$eq": 1]]]], ["a": 1], true),
        MatchCase(["$comment": "x", "a": 1], ["a": 1], true),
        MatchCase(["a": ["$eq": 1, "$comment": "x"]], ["a": 1], true),
        MatchCase(["$alwaysFalse": 1], [:], false),
        MatchCase(["$alwaysTrue": 1], [:], true),
    ]

    static let elements: [MatchCase] = [
        MatchCase(["a": ["$exists": true]], ["a": nil], true),
        MatchCase(["a": ["$exists": 1]], [:], false),
        MatchCase(["a": ["$exists": false]], [:], true),
        MatchCase(["a": ["$exists": true]], ["a": []], true),
        MatchCase(["a": ["$type": 16]], ["a": 1], true),
        MatchCase(["a": ["$type": "int"]], ["a": 1], true),
        MatchCase(["a": ["$type": "int"]], ["a": 1.0], false),
        MatchCase(["a": ["$type": "number"]], ["a": 1.0], true),
        MatchCase(["a": ["$type": ["string", 8]]], ["a": true], true),
        MatchCase(["a": ["$type": "array"]], ["a": [1]], true),
        MatchCase(["a": ["$type": "int"]], ["a": [1]], true),
        MatchCase(["a": ["$type": -1]], ["a": .minKey], true),
        MatchCase(["a": ["$type": "null"]], [:], false),
        MatchCase(["a": ["$size": 2]], ["a": [1, 2]], true),
        MatchCase(["a": ["$size": 2]], ["a": [1]], false),
        MatchCase(["a": ["$size": 1]], ["a": [[1, 2]]], true),
        MatchCase(["a": ["$size": 0]], [:], false),
        MatchCase(["a.b": ["$size": 2]], ["a": [["b": [1, 2]]]], true),
        MatchCase(["a": ["$all": [1, 2]]], ["a": [2, 1, 3]], true),
        MatchCase(["a": ["$all": [1, 2]]], ["a": [1]], false),
        MatchCase(["a": ["$all": [1]]], ["a": 1], true),
        MatchCase(["a": ["$all": []]], ["a": []], false),
        MatchCase(["a": ["$all": [[1, 2]]]], ["a": [1, 2]], true),
        MatchCase(["a": ["$all": [regex]]], ["a": ["abc"]], true),
        MatchCase(
            ["a": ["$all": [["$elemMatch": ["x": 1]], ["$elemMatch": ["x": 2]]]]], ["a": [["x": 1], ["x": 2]]], true),
        MatchCase(["a": ["$all": [["$elemMatch": ["x": 1]], ["$elemMatch": ["x": 2]]]]], ["a": [["x": 1]]], false),
        MatchCase(["a": ["$elemMatch": ["$gt": 1, "$lt": 5]]], ["a": [0, 9]], false),
        MatchCase(["a": ["$elemMatch": ["$gt": 1, "$lt": 5]]], ["a": [0, 3]], true),
        MatchCase(["a": ["$elemMatch": ["$gt": 1]]], ["a": 3], false),
        MatchCase(["a": ["$elemMatch": ["$ne": 1]]], ["a": [1]], false),
        MatchCase(["a": ["$elemMatch": ["$nin": [1, 2]]]], ["a": [1, 3]], true),
        MatchCase(["a": ["$elemMatch": ["$not": ["$gt": 1]]]], ["a": [5, 0]], true),
        MatchCase(["a": ["$elemMatch": ["$eq": 1]]], ["a": [[1]]], false),
        MatchCase(["a": ["$elemMatch": ["$elemMatch": ["$eq": 1]]]], ["a": [[1]]], true),
        MatchCase(["a": ["$elemMatch": ["x": 1, "y": 2]]], ["a": [["x": 1, "y": 3], ["x": 1, "y": 2]]], true),
        MatchCase(["a": ["$elemMatch": ["x": 1, "y": 2]]], ["a": [["x": 1], ["y": 2]]], false),
        MatchCase(["a": ["$elemMatch": ["$or": [["x": 1], ["y": 2]]]]], ["a": [["y": 2]]], true),
        MatchCase(["a": ["$elemMatch": [:]]], ["a": [1]], false),
        MatchCase(["a": ["$elemMatch": [:]]], ["a": [["x": 1]]], true),
        MatchCase(["a.b": ["$elemMatch": ["$eq": 2]]], ["a": [["b": [1]], ["b": [2]]]], true),
    ]

    static let numbers: [MatchCase] = [
        MatchCase(["a": ["$mod": [4, 0]]], ["a": 8], true),
        MatchCase(["a": ["$mod": [4, 1]]], ["a": 9.9], true),
        MatchCase(["a": ["$mod": [4, 0]]], ["a": "8"], false),
        MatchCase(["a": ["$mod": [4.9, 0]]], ["a": 8], true),
        MatchCase(["a": ["$mod": [-4, -1]]], ["a": -9], true),
        MatchCase(["a": ["$mod": [-1, 0]]], ["a": .int64(.min)], true),
        MatchCase(["a": ["$mod": [4, 0]]], ["a": nan], false),
        MatchCase(["a": ["$mod": [4, 0]]], ["a": .double(1e300)], false),
        MatchCase(["a": ["$bitsAllSet": 5]], ["a": 7], true),
        MatchCase(["a": ["$bitsAllSet": 5]], ["a": 4], false),
        MatchCase(["a": ["$bitsAnySet": 5]], ["a": 4], true),
        MatchCase(["a": ["$bitsAllClear": [0, 2]]], ["a": 2], true),
        MatchCase(["a": ["$bitsAnyClear": [0, 2]]], ["a": 5], false),
        MatchCase(["a": ["$bitsAllSet": [100]]], ["a": -1], true),
        MatchCase(["a": ["$bitsAllSet": 1]], ["a": 1.5], false),
        MatchCase(["a": ["$bitsAllSet": [9]]], ["a": .binary(subtype: 0, [0, 2])], true),
        MatchCase(["a": ["$bitsAllClear": [20]]], ["a": .binary(subtype: 0, [0, 2])], true),
        MatchCase(["a": ["$bitsAnySet": .binary(subtype: 0, [2])]], ["a": 2], true),
    ]

    static let patterns: [MatchCase] = [
        MatchCase(["a": ["$regex": "^AB", "$options": "i"]], ["a": "abc"], true),
        MatchCase(["a": ["$regex": "^b", "$options": "m"]], ["a": "a\nb"], true),
        MatchCase(["a": ["$regex": "a.b", "$options": "s"]], ["a": "a\nb"], true),
        MatchCase(["a": ["$regex": "a.b"]], ["a": "a\nb"], false),
        MatchCase(["a": ["$regex": "a b # c", "$options": "x"]], ["a": "ab"], true),
        MatchCase(["a": ["$regex": regex]], ["a": "abc"], true),
        MatchCase(["a": ["$regex": "^.$"]], ["a": "ü"], true),
        MatchCase(["a": ["$regex": ""]], ["a": ""], true),
        MatchCase(["a": ["$regex": "a"]], ["a": 1], false),
        MatchCase(["a": ["$regex": "a", "$ne": "ab"]], ["a": "ab"], false),
    ]

    @Test(
        "a filter matches what MongoDB's rules say",
        arguments: equality + paths + comparisons + logic + elements + numbers + patterns)
    func table(_ test: MatchCase) throws {
        #expect(try matches(test.filter, test.document) == test.expected)
    }

    @Test("a filter inside $and gives what it gives alone", arguments: equality + paths + comparisons + elements)
    func nested(_ test: MatchCase) throws {
        let nested: Document = ["$and": [.document(test.filter), ["$nor": [["never": 1]]]]]
        #expect(try matches(nested, test.document) == test.expected)
    }

    @Test("the position is the index of the first matching element of the outermost array")
    func positions() throws {
        #expect(try compile(["a": 5]).position(["a": [4, 5, 5]]) == 1)
        #expect(try compile(["a.b": 5]).position(["a": [["b": 1], ["b": [0, 0, 5]]]]) == 1)
        #expect(try compile(["a": ["$elemMatch": ["x": 1]]]).position(["a": [["x": 2], ["x": 3], ["x": 1]]]) == 2)
        #expect(try compile(["a": 5]).position(["a": 5]) == nil)
        #expect(try compile(["a": 5]).position(["a": [4]]) == nil)
        #expect(try compile(["x": 1, "a": ["$gt": 4, "$lt": 9]]).position(["x": 1, "a": [1, 2, 6]]) == 0)
    }

    @Test("a value condition sees one value, and arrays as they are")
    func valueConditions() throws {
        func test(_ condition: Value, _ value: Value, filters: Bool = false) throws -> Bool {
            let document: Document = ["c": condition, "v": value]
            return try document.withView { view in
                let filter = try Filter(
                    valueCondition: view["c"]!, documentsAreFilters: filters, context: QueryContext())
                return try filter.matches(value: view["v"]!)
            }
        }
        #expect(try test(["$gte": 6], 7))
        #expect(try !test(["$gte": 6], 5))
        #expect(try !test(["$gte": 6], [7]))
        #expect(try test(3, 3.0))
        #expect(try test(["$in": [1, 2]], 2))
        #expect(try test(["$gt": 1, "$lt": 5], 3))
        #expect(try test(["$not": ["$gt": 1]], 0))
        #expect(try test(["x": 1], ["x": 1, "y": 2], filters: true))
        #expect(try !test(["x": 1], ["x": 1, "y": 2]))
        #expect(try test(["$or": [["x": 1], ["x": 2]]], ["x": 2], filters: true))
        #expect(try !test(["x": 1], 5, filters: true))
    }

    @Test("an upsert takes over equalities of the top level and of $and")
    func equalityAssignments() throws {
        let filter = try compile([
            "a": 1, "b": ["$eq": "x"], "c": ["$gt": 1], "d": ["$in": [1]], "$and": [["e.f": nil], ["g": ["$ne": 1]]],
            "h": ["$all": [7]], "$or": [["i": 1], ["j": 2]], "k": Self.regex,
        ])
        let found = filter.equalityAssignments
        #expect(found.map(\.path) == ["a", "b", "e.f", "h"])
        #expect(found.map(\.value) == [1, "x", nil, 7])
    }

    @Test("the parsed query spells implicit operators out")
    func parsedQuery() throws {
        #expect(try compile(["a": 1]).parsedQuery == ["a": ["$eq": 1]])
        #expect(try compile([:]).parsedQuery == [:])
        #expect(
            try compile(["a": ["$gt": 1, "$lt": 5], "b": ["$ne": 2]]).parsedQuery
                == ["$and": [["a": ["$gt": 1]], ["a": ["$lt": 5]], ["b": ["$not": ["$eq": 2]]]]])
    }

    @Test("matching a compiled filter again gives the same answer")
    func reuse() throws {
        let filter = try compile(["a": ["$regex": "b+"], "n": ["$gt": 2]])
        for round in 0..<100 { #expect(try filter.matches(["a": "abbb", "n": .int32(Int32(round))]) == (round > 2)) }
    }
}
