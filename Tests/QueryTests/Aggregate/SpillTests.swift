import BSON
import Core
import Testing

@testable import Query

/// Temporary tables in a sorted array.
final class ArraySpillStore: SpillStore {
    final class Table: SpillTable {
        private(set) var rows: [(key: [UInt8], value: [UInt8])] = []
        private let store: ArraySpillStore
        private var isDropped = false

        init(_ store: ArraySpillStore) { self.store = store }

        func put(_ rows: SpillRows) throws {
            try #require(!isDropped)
            rows.forEach { self.rows.append((Array($0), Array($1))) }
            self.rows.sort { $0.key.lexicographicallyPrecedes($1.key) }
            store.puts += 1
        }

        func read(
            behind key: [UInt8]?, limit: Int,
            _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
        ) throws -> Bool {
            try #require(!isDropped)
            let from = key.map { key in rows.firstIndex { key.lexicographicallyPrecedes($0.key) } ?? rows.count } ?? 0
            let page = rows[from...].prefix(limit)
            for row in page {
                try row.key.withUnsafeBytes { key in try row.value.withUnsafeBytes { try body(key, $0) } }
            }
            return page.count == limit
        }

        func drop() {
            if !isDropped { store.open -= 1 }
            isDropped = true
        }
    }

    /// Tables that were not dropped.
    var open = 0
    var made = 0
    var puts = 0

    func makeTable() -> any SpillTable {
        open += 1
        made += 1
        return Table(self)
    }
}

@Suite("stages beyond their memory")
struct SpillTests {
    private static let documents = (0..<2000).map { index -> Document in
        var random = SplitMix64(seed: UInt64(index))
        return [
            "_id": .int32(Int32(index)), "k": .int32(Int32(random.below(50))), "v": .int32(Int32(random.below(9))),
            "pad": .string(String(repeating: "x", count: random.below(60))),
        ]
    }

    @Test(
        "a stage whose memory is used up goes on in a temporary table, gives the same, and gives the table back",
        arguments: [
            "[{'$sort': {'k': 1, 'v': -1}}]",
            "[{'$sort': {'pad': 1}}, {'$skip': 10}, {'$limit': 1500}]",
            "[{'$group': {'_id': '$pad', 'n': {'$sum': '$v'}, 'all': {'$push': '$_id'}}}, {'$sort': {'_id': 1}}]",
            "[{'$group': {'_id': {'k': '$k', 'v': '$v'}, 'first': {'$first': '$_id'}}}, {'$sort': {'_id': 1}}]",
            "[{'$bucketAuto': {'groupBy': '$k', 'buckets': 7, 'output': {'n': {'$sum': '$v'}, "
                + "'f': {'$first': '$_id'}}}}]",
            """
            [{'$setWindowFields': {'partitionBy': '$v', 'sortBy': {'k': 1}, 'output': {
                'sum': {'$sum': '$k', 'window': {'documents': [-2, 2]}}, 'rank': {'$rank': {}},
                'all': {'$sum': '$v'}, 'last': {'$last': '$_id', 'window': {'range': [-3, 3]}}}}}]
            """,
            """
            [{'$setWindowFields': {'sortBy': {'k': 1}, 'output': {
                'rest': {'$sum': '$v', 'window': {'documents': ['current', 'unbounded']}}}}}]
            """,
            "[{'$densify': {'field': 'k', 'partitionByFields': ['v'], 'range': {'step': 0.5, 'bounds': 'full'}}}]",
        ])
    func same(_ stages: String) throws {
        let wanted = try run(try pipeline(stages), over: SpillTests.documents)
        for bytesMax in [20_000, 60_000] {
            let store = ArraySpillStore()
            let found = try run(
                try pipeline(stages), over: SpillTests.documents,
                memory: StageMemory(bytesMax: bytesMax, store: store))
            #expect(found == wanted, "with \(bytesMax) bytes")
            #expect(store.made > 0 && store.puts > 0)
            #expect(store.open == 0)
        }
    }

    @Test("a stage that may not use the disk fails with 292")
    func refused() {
        let memory = StageMemory(bytesMax: 20_000, store: nil)
        for stages in ["[{'$sort': {'k': 1}}]", "[{'$group': {'_id': '$_id'}}]"] {
            let error = #expect(throws: ServerError.self) {
                try run(try pipeline(stages), over: SpillTests.documents, memory: memory)
            }
            #expect(error?.code == .queryExceededMemoryLimitNoDiskUseAllowed)
        }
    }

    @Test("a pipeline that is closed before its end gives its tables back")
    func closed() throws {
        for stages in [
            "[{'$sort': {'k': 1}}]", "[{'$group': {'_id': '$_id'}}]",
            "[{'$setWindowFields': {'output': {'n': {'$count': {}}}}}]",
        ] {
            let store = ArraySpillStore()
            let found = try run(
                try pipeline(stages), over: SpillTests.documents, most: 3,
                memory: StageMemory(bytesMax: 20_000, store: store))
            #expect(found.count == 3)
            #expect(store.made > 0)
            #expect(store.open == 0, "\(stages)")
        }
    }
}
