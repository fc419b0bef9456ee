import BSON
import Core
import ElectionPolicies
import Testing

@testable import Simulation

/// What a primary does with writes that no majority takes.
struct FlowControlTests {
    @Test("writers are slowed while the majority lags, then refused, and go on as before when it has caught up")
    func laggingMajority() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 3), policy: MongoDBElectionPolicy(), timing: .patient)
        try set.start(within: .seconds(60))
        let primary = try #require(set.primary)
        let filler = Value.string(String(repeating: "x", count: 1 << 20))
        func write(_ id: Int32) throws -> (reply: Document, took: Duration) {
            let before = set.world.now
            let reply = try primary.run(
                ["insert": "orders", "documents": [["_id": .int32(id), "filler": filler]], "writeConcern": ["w": 1]],
                in: "shop")
            return (reply, set.world.now - before)
        }
        func flowControl() throws -> Document {
            try #require(try primary.run(["serverStatus": 1])["flowControl"]?.asDocument)
        }
        #expect(try write(0).reply.isOK)
        #expect(try flowControl()["isLagged"] == false)
        set.isolate(primary)
        var fast = 0
        var slow = 0
        var refused: Document?
        for id: Int32 in 1...100 where refused == nil {
            let (reply, took) = try write(id)
            if reply.isOK {
                if took < .milliseconds(50) { fast += 1 } else { slow += 1 }
            } else {
                refused = reply
            }
        }
        #expect(refused?["codeName"] == "ExceededMemoryLimit", "\(String(describing: refused)), \(set.summary)")
        #expect((25...35).contains(fast) && (25...40).contains(slow), "\(fast) fast, \(slow) slow")
        let lagged = try flowControl()
        #expect(lagged["isLagged"] == true)
        #expect(lagged["isLaggedCount"]?.asInteger ?? 0 >= Int64(slow))
        set.heal()
        try set.run(until: { _ in primary.commitPoint == primary.lastApplied }, within: .seconds(60), "a majority")
        let (reply, took) = try write(1000)
        #expect(reply.isOK && took < .milliseconds(50), "\(took) \(reply) \(set.summary)")
        try set.runUntilConverged(within: .seconds(60))
    }
}
