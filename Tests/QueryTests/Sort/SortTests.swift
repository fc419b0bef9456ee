import BSON
import Core
import Testing

@testable import Query

@Suite("Sort") struct SortTests {
    private func sorted(_ sort: Document, _ documents: [Document], limit: Int? = nil) throws -> [Document] {
        let sorter = DocumentSorter(try sortPattern(sort), limit: limit)
        for (index, document) in documents.enumerated() {
            try document.withView { try sorter.add($0, tag: UInt64(index)) }
        }
        #expect(sorter.finish())
        return (0..<sorter.count).map { index in
            let (document, tag) = sorter[index]
            #expect(document.document == documents[Int(tag)])
            return document.document
        }
    }

    @Test("types sort in MongoDB's order, missing as null, an empty array before both")
    func types() throws {
        let ordered: [Document] = [
            ["a": .minKey], ["a": []], [:], ["a": 1], ["a": 2.5], ["a": .int64(3)], ["a": "x"], ["a": ["b": 1]],
            ["a": .binary(subtype: 0, [1])], ["a": .objectID(ObjectID(high: 1, low: 1))], ["a": false], ["a": true],
            ["a": .dateTime(0)], ["a": .timestamp(Timestamp(rawValue: 1))], ["a": .regex(pattern: "a", options: "")],
            ["a": .maxKey],
        ]
        #expect(try sorted(["a": 1], ordered.reversed()) == ordered)
        #expect(try sorted(["a": -1], ordered) == ordered.reversed())
    }

    @Test("an array sorts by its least element ascending and by its greatest descending")
    func arrays() throws {
        let low: Document = ["_id": 1, "a": [1, 9]]
        let middle: Document = ["_id": 2, "a": 5]
        #expect(try sorted(["a": 1], [middle, low]) == [low, middle])
        #expect(try sorted(["a": -1], [middle, low]) == [low, middle])
        let nested: Document = ["_id": 3, "x": [["a": 7], ["a": 2]]]
        let plain: Document = ["_id": 4, "x": ["a": 3]]
        #expect(try sorted(["x.a": 1], [plain, nested]) == [nested, plain])
        #expect(try sorted(["x.a": -1], [plain, nested]) == [nested, plain])
    }

    @Test("a compound sort orders by the first field, then by the next; equal documents keep their order")
    func compound() throws {
        let documents: [Document] = [
            ["a": 1, "b": 1, "n": 0], ["a": 2, "b": 1, "n": 1], ["a": 1, "b": 2, "n": 2], ["a": 1, "b": 1, "n": 3],
        ]
        let result = try sorted(["a": 1, "b": -1], documents)
        #expect(result.map { $0["n"] } == [2, 0, 3, 1])
    }

    @Test("a limited sort gives the beginning of the whole sort")
    func limited() throws {
        var random = SplitMix64(seed: 7)
        for _ in 0..<60 {
            let documents = (0..<Int(random.next() % 80)).map { index -> Document in
                [
                    "a": .int32(Int32(random.next() % 9)), "n": .int32(Int32(index)),
                    "pad": .string(String(repeating: "x", count: 900)),
                ]
            }
            let all = try sorted(["a": -1], documents)
            for limit in [1, 3, 20, 200] {
                #expect(try sorted(["a": -1], documents, limit: limit) == Array(all.prefix(limit)))
            }
        }
    }

    @Test("a sort in steps, between which time is up, gives the same order")
    func steps() throws {
        var random = SplitMix64(seed: 11)
        for count in [0, 1, 2, 1000, 1023, 1024, 1025, 2048, 3000, 5000, 9001] {
            let keys = (0..<count).map { _ in Int32(random.next() % 500) }
            let sorter = DocumentSorter(try sortPattern(["a": 1]))
            for (index, key) in keys.enumerated() {
                try (["a": .int32(key)] as Document).withView { try sorter.add($0, tag: UInt64(index)) }
            }
            var steps = 1
            while !sorter.finish(until: { true }) { steps += 1 }
            #expect(steps >= count / 1024)
            let wanted = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
            #expect((0..<sorter.count).map { Int(sorter[$0].tag) } == wanted)
        }
    }

    @Test("a limited sort gives back the memory of documents that fell out")
    func compaction() throws {
        let sorter = DocumentSorter(try sortPattern(["a": 1]), limit: 2, bytesMax: 100_000)
        for value in (0..<5000).reversed() {
            let document: Document = ["a": .int32(Int32(value)), "pad": .string(String(repeating: "x", count: 1000))]
            try document.withView { try sorter.add($0) }
        }
        #expect(sorter.finish())
        #expect((0..<sorter.count).map { sorter[$0].document["a"]?.asInt32 } == [0, 1])
        #expect(sorter.byteCount < 3000)
    }

    @Test("a sort beyond its memory is refused with 292")
    func memory() throws {
        let sorter = DocumentSorter(try sortPattern(["a": 1]), bytesMax: 4000)
        let document: Document = ["a": .string(String(repeating: "x", count: 500))]
        let failed = code { for _ in 0..<10 { try document.withView { try sorter.add($0) } } }
        #expect(failed == 292)
        #expect(ErrorCode(rawValue: 292).name == "QueryExceededMemoryLimitNoDiskUseAllowed")
    }

    static let errors: [FilterErrorCase] = [
        FilterErrorCase(["a": "x"], 15974), FilterErrorCase(["a": 2], 15975), FilterErrorCase(["a": 0], 15975),
        FilterErrorCase(["a": true], 15974), FilterErrorCase(["$a": 1], 16410), FilterErrorCase(["a..b": 1], 15998),
        FilterErrorCase(["": 1], 40352), FilterErrorCase(["a.": 1], 40353),
        FilterErrorCase(["a": ["$meta": "x"]], 31138),
        FilterErrorCase(["$natural": 1, "a": 1], 2), FilterErrorCase(["a": 1, "b": 1, "a": 1], 7_472_500),
    ]

    @Test("a bad sort is refused with MongoDB's code", arguments: errors)
    func refused(_ test: FilterErrorCase) { #expect(code { _ = try sortPattern(test.filter) } == test.code) }

    @Test("two arrays cannot sort together")
    func parallel() {
        #expect(code { _ = try sorted(["a": 1, "b": 1], [["a": [1], "b": [2]]]) } == 2)
    }

    @Test("natural order is a direction, not a field")
    func natural() throws {
        #expect(try sortPattern(["$natural": -1]).natural == .backward)
        #expect(try sortPattern(["$natural": 1]).natural == .forward)
        #expect(try sortPattern([:]).isEmpty)
    }
}
