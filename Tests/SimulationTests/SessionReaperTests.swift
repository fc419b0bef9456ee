import BSON
import Core
import Testing

@testable import DataNode
@testable import Simulation

/// What sessions have written goes after half an hour, at all members.
struct SessionReaperTests {
    private static let statements: Int32 = 500

    private static func command(session: UInt8, number: Int64) -> Document {
        [
            "update": "orders",
            "updates": .array(
                (0..<statements).map { ["q": ["_id": .int32($0)], "u": ["$inc": ["n": 1]], "upsert": true] }),
            "lsid": ["id": .binary(subtype: 4, [UInt8](repeating: session, count: 16))],
            "txnNumber": .int64(number), "writeConcern": ["w": 3],
        ]
    }

    /// The entries that forget sessions, in a member's oplog.
    private func entries(_ member: SimulatedMember) throws -> Int {
        let reply = try member.run(
            ["find": "oplog.rs", "filter": ["ns": "config.transactions"], "batchSize": 100_000], in: "local")
        return reply["cursor"]?.asDocument?["firstBatch"]?.asArray?.count ?? 0
    }

    @Test("idle sessions are forgotten by whoever is primary, and by the others after it")
    func idleSessions() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 3))
        try set.start()
        let old = try #require(set.primary)
        for session in 1...3 as ClosedRange<UInt8> {
            #expect(try old.run(Self.command(session: session, number: 1), in: "shop", within: .seconds(60)).isOK)
        }
        old.crash()
        let new = try set.runUntilPrimary(within: .seconds(20), otherThan: old)
        old.restart()
        try set.runUntilConverged(within: .seconds(60))
        try set.world.run(for: .seconds(1000))
        #expect(try new.run(Self.command(session: 2, number: 2), in: "shop", within: .seconds(60)).isOK)
        #expect(try entries(new) == 0)
        try set.world.run(for: .seconds(1200))
        let primary = try #require(set.primary)
        #expect(try entries(primary) >= 2)
        try set.runUntilConverged(within: .seconds(60))
        for member in set.members { #expect(try entries(member) == entries(primary)) }
        // The one that wrote since is remembered.
        let again = try primary.run(Self.command(session: 2, number: 2), in: "shop", within: .seconds(60))
        #expect((again["retriedStmtIds"]?.asArray ?? []).count == Int(Self.statements))
        // The others are new.
        let late = try primary.run(Self.command(session: 1, number: 1), in: "shop", within: .seconds(60))
        #expect(late.isOK && late["retriedStmtIds"] == nil)
        try set.runUntilConverged(within: .seconds(60))
    }
}
