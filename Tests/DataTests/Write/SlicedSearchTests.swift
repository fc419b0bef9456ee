import BSON
import Core
import Data
import Testing

/// Writes to the first document in an order that no index gives, searched for in slices.
@Suite("Searches in slices") struct SlicedSearchTests {
    private func filled() async throws -> Fixture {
        let node = try await Fixture()
        for id in 0..<300 { try node.insertOne(["_id": .int32(Int32(id)), "rank": .int32(Int32(id))]) }
        return node
    }

    @Test("findAndModify takes what comes first at its last look, not what did when it began")
    func findAndModify() async throws {
        let node = try await filled()
        let command: Document = [
            "query": ["rank": ["$gte": 10]], "sort": ["rank": 1], "update": ["$set": ["taken": true]], "new": true,
        ]
        let operation = try command.withView {
            try FindAndModifyOperation(node.store, Fixture.orders, $0, context: node.context.query)
        }
        var slices = 0
        while case .yield = try operation.run(node.context, until: node.runtime.now) {
            slices += 1
            // The best so far no longer matches when the search comes to its end.
            if slices == 5 { try node.update(["q": ["_id": 10], "u": ["$set": ["rank": 0]]]) }
        }
        #expect(slices > 300 / 16)
        #expect(operation.value == ["_id": 11, "rank": 11, "taken": true])
        #expect(try node.find(["filter": ["taken": true]]).count == 1)
    }

    @Test("findAndModify without an order changes the document that it finds, in slices too")
    func unordered() async throws {
        let node = try await filled()
        let command: Document = ["query": ["rank": 299], "remove": true]
        let operation = try command.withView {
            try FindAndModifyOperation(node.store, Fixture.orders, $0, context: node.context.query)
        }
        var slices = 0
        while case .yield = try operation.run(node.context, until: node.runtime.now) { slices += 1 }
        #expect(slices > 10)
        #expect(operation.value == ["_id": 299, "rank": 299])
        #expect(try node.collection().count == 299)
    }

    @Test("an update of many ends each slice soon after its time, wherever the readings of the clock fall")
    func many() async throws {
        let node = try await Fixture()
        for id in 0..<3000 { try node.insertOne(["_id": .int32(Int32(id)), "rank": 0]) }
        node.runtime.nanosecondsPerReading = 1
        for readings in 1...40 {
            let statement: Document = ["q": [:], "u": ["$inc": ["rank": 1]], "multi": true]
            let operation = try statement.withView {
                UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: node.context.query))
            }
            var most = 0
            var done = 0
            func slice() throws -> WriteProgress {
                let progress = try operation.run(
                    node.context, until: node.runtime.now + .nanoseconds(Int64(readings)))
                most = max(most, operation.n - done)
                done = operation.n
                return progress
            }
            while case .yield = try slice() {}
            #expect(operation.n == 3000)
            // A reading is sixteen steps.
            #expect(most <= 16 * (readings + 2), "\(readings) readings")
        }
    }

    @Test("an update of the first in an order searches again when that one has changed")
    func update() async throws {
        let node = try await filled()
        let statement: Document = ["q": ["rank": ["$lt": 1000]], "u": ["$inc": ["rank": 1000]], "sort": ["rank": -1]]
        let operation = try statement.withView {
            UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: node.context.query))
        }
        var slices = 0
        while case .yield = try operation.run(node.context, until: node.runtime.now) {
            slices += 1
            // Everything is in the sorter but the last slice's documents.
            if slices == 18 { try node.delete(["_id": 299]) }
        }
        #expect(operation.n == 1)
        #expect(try node.find(["filter": ["rank": ["$gte": 1000]]]).map { $0["_id"] } == [298])
    }
}
