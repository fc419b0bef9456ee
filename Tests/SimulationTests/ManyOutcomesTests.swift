import BSON
import Core
import Data
import Testing

@testable import DataNode
@testable import Simulation

/// A retryable command of very many outcomes, broken in its middle.
struct ManyOutcomesTests {
    private static let statements: Int32 = 3000
    private static let command: Document = [
        "update": "orders",
        "updates": .array(
            (0..<statements).map { ["q": ["_id": .int32($0)], "u": ["$inc": ["n": 1]], "upsert": true] }),
        "lsid": ["id": .binary(subtype: 4, [UInt8](repeating: 5, count: 16))], "txnNumber": .int64(1),
        "writeConcern": ["w": "majority"],
    ]

    @Test("a retry at the next primary answers each statement with its outcome and writes none twice", arguments: 1...4)
    func brokenOff(seed: UInt64) throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed))
        try set.start()
        let old = try #require(set.primary)
        #expect(try old.run(["create": "orders", "writeConcern": ["w": 3]], in: "shop").isOK)
        var first: Document?
        old.send(Self.command, in: "shop") { first = $0 }
        // Some of it is at a secondary when the primary goes.
        try set.run(
            until: { _ in set.members.contains { $0 !== old && count($0) > 100 } }, within: .seconds(20),
            "the first upserts")
        #expect(first == nil, "the command was over before the primary could go")
        if seed.isMultiple(of: 2) { set.isolate(old) } else { old.crash() }
        let new = try set.runUntilPrimary(within: .seconds(20), otherThan: old)
        let done = count(new)
        #expect(done > 100 && done < Int(Self.statements))
        for _ in 0..<2 {
            let reply = try new.run(Self.command, in: "shop")
            #expect(reply.isOK && reply["n"] == .int32(Self.statements) && reply["nModified"] == 0)
            let upserted = (reply["upserted"]?.asArray ?? []).compactMap(\.asDocument)
            #expect(upserted.map { $0["index"] } == (0..<Self.statements).map { .int32($0) })
            #expect(upserted.map { $0["_id"] } == (0..<Self.statements).map { .int32($0) })
            #expect((reply["retriedStmtIds"]?.asArray ?? []).count >= done)
        }
        set.heal()
        if !seed.isMultiple(of: 2) { old.restart() }
        try set.runUntilConverged(within: .seconds(30))
        for member in set.members {
            let documents = try member.documents("shop", "orders")
            #expect(documents.count == Int(Self.statements))
            #expect(documents.allSatisfy { $0["n"] == 1 })
        }
    }

    private func count(_ member: SimulatedMember) -> Int {
        member.node?.data.catalog.find(Namespace("shop", "orders"))?.count ?? 0
    }
}
