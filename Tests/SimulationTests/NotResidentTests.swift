import BSON
import Core
import Testing

@testable import Simulation

/// Members whose storage is larger than memory.
struct NotResidentTests {
    @Test(
        "members whose every read of the disk waits elect, copy, roll back and lose nothing",
        arguments: [(3, 1), (8, 1), (17, 2), (22, 5)] as [(UInt64, Int)])
    func faults(seed: UInt64, oneIn: Int) throws {
        var scenario = RandomScenario(seed: seed)
        scenario.swarm.notResidentOneIn = oneIn
        scenario.swarm.remembers = true
        scenario.swarm.oplogBytesMax = 30_000
        scenario.swarm.safetyPhase = .seconds(4)
        let report = try scenario.run(seed: seed)
        let waits = report.probes.filter { $0.name.hasSuffix("waited for the storage") }.map(\.name)
        #expect(waits.contains("a slice waited for the storage"), "\(waits)")
    }

    @Test("a member is cloned from one whose storage makes it wait, while it waits itself")
    func initialSync() throws {
        let world = SimulatedWorld(seed: 5)
        let set = SimulatedReplicaSet(
            world, kinds: [.normal, .normal, .normal], remembers: true, notResidentOneIn: 1)
        try set.start(within: .seconds(60))
        let primary = try #require(set.primary)
        for batch in 0..<20 as Range<Int32> {
            let documents = (0..<50 as Range<Int32>).map { place -> Value in
                let document: Document = ["_id": .int32(batch * 50 + place), "rank": .int32(place % 7)]
                return .document(document)
            }
            let reply = try primary.run(
                ["insert": "orders", "documents": .array(Document(array: documents))], in: "shop")
            #expect(reply["n"] == 50, "\(reply)")
        }
        let index: Document = ["key": ["rank": 1], "name": "rank"]
        let built = try primary.run(
            ["createIndexes": "orders", "indexes": .array(Document(array: [.document(index)]))], in: "shop")
        #expect(built["ok"] == 1.0, "\(built)")
        let other = try #require(set.members.first { $0 !== primary })
        other.loseDisk()
        other.crash()
        other.restart()
        try world.run(
            until: { other.state == .secondary && other.lastApplied == primary.lastApplied }, atMost: .seconds(60),
            "\(other.name) is cloned")
        #expect(other.dataHash == primary.dataHash)
        #expect(try other.documents("shop", "orders").count == 1000)
    }
}
