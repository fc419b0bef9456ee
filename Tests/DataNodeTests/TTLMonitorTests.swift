import BSON
import Core
import Simulation
import Testing

/// The TTL monitor under virtual time.
@Suite("The TTL monitor")
struct TTLMonitorTests {
    private static func count(_ harness: NodeHarness) throws -> Int64? {
        try harness.run(["count": "things"])["n"]?.asInteger
    }

    private static func metrics(_ harness: NodeHarness) throws -> Document {
        let status = try harness.run(["serverStatus": 1], database: "admin")
        return try #require(status["metrics"]?.asDocument?["ttl"]?.asDocument)
    }

    @Test("a pass comes every so often as the parameter says, and none while it is switched off")
    func passes() throws {
        let harness = try NodeHarness()
        let index: Document = ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 0]
        #expect(try harness.run(["createIndexes": "things", "indexes": [.document(index)]]).isOK)
        let insert: Document = ["insert": "things", "documents": [["_id": 1, "at": .dateTime(0)], ["_id": 2]]]
        #expect(try harness.run(insert).isOK)
        try harness.world.run(for: .seconds(50))
        #expect(try Self.count(harness) == 2)
        try harness.world.run(for: .seconds(15))
        #expect(try Self.count(harness) == 1)
        #expect(try Self.metrics(harness) == ["deletedDocuments": .int64(1), "passes": .int64(1)])

        #expect(try harness.run(["setParameter": 1, "ttlMonitorEnabled": false], database: "admin")["was"] == true)
        let again: Document = ["insert": "things", "documents": [["_id": 1, "at": .dateTime(0)]]]
        #expect(try harness.run(again).isOK)
        try harness.world.run(for: .seconds(300))
        #expect(try Self.count(harness) == 2)
        #expect(try Self.metrics(harness)["passes"] == .int64(1))

        #expect(try harness.run(["setParameter": 1, "ttlMonitorEnabled": true], database: "admin")["was"] == false)
        #expect(try harness.run(["setParameter": 1, "ttlMonitorSleepSecs": 5], database: "admin")["was"] == 60)
        try harness.world.run(for: .seconds(6))
        #expect(try Self.count(harness) == 1)
        let passes = try #require(try Self.metrics(harness)["passes"]?.asInteger)
        try harness.world.run(for: .seconds(52))
        #expect(try #require(try Self.metrics(harness)["passes"]?.asInteger) - passes == 10)
    }

    @Test("a member that is no primary expires what is its own alone")
    func secondary() throws {
        let harness = try NodeHarness(setName: "rs0")
        let index: Document = ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 0]
        #expect(try harness.run(["createIndexes": "things", "indexes": [.document(index)]], database: "local").isOK)
        let insert: Document = ["insert": "things", "documents": [["_id": 1, "at": .dateTime(0)]]]
        #expect(try harness.run(insert, database: "local").isOK)
        try harness.world.run(for: .seconds(65))
        #expect(
            try harness.run(["serverStatus": 1], database: "admin")["metrics"]?.asDocument?["ttl"]?.asDocument == [
                "deletedDocuments": .int64(1), "passes": .int64(0),
            ])
    }
}
