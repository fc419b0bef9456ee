import BSON
import Core

/// Documents that expire while the set changes hands (I28).
extension NamedScenario {
    static let expiry = [
        NamedScenario(
            name: "expired-documents",
            summary: "TTL deletions over a rollback and an election: only primaries delete, and all end with the same",
            make: {
                SimulatedReplicaSet(
                    $0, kinds: [.normal, .normal, .normal], policy: CommandedElectionPolicy(), remembers: true,
                    oplogBytesMax: 32_768, timing: .patient)
            }, script: expiredDocuments)
    ]

    /// A primary that expires documents is cut off in the middle, deletes what nobody hears of, and takes that back;
    /// its successor ends the work. Then a secondary that hears of no deletion keeps what has expired.
    private static func expiredDocuments(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (old, new, third) = (set.members[0], set.members[1], set.members[2])
        let count: Int64 = 2000
        for member in set.members { try member.run(["setParameter": 1, "ttlMonitorSleepSecs": 1]) }
        for start in stride(from: Int64(1), through: count, by: 100) {
            let expired = (start..<start + 100).map { Value.document(["_id": .int64($0), "at": .dateTime($0)]) }
            try old.run(["insert": "things", "documents": .array(expired)], in: WriteWorkload.database)
        }
        let kept: [Value] = [.dateTime(.max), "text", .null, [.dateTime(.max), 7]]
        let others = kept.enumerated().map { Value.document(["_id": .int64(count + 1 + Int64($0)), "at": $1]) }
        try old.run(["insert": "things", "documents": .array(others)], in: WriteWorkload.database)
        let left = (1...Int64(kept.count)).map { count + $0 }
        let index: Document = ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 0]
        try old.run(["createIndexes": "things", "indexes": [.document(index)]], in: WriteWorkload.database)

        try stage.wait("some to expire") { (try? stage.things(old).count) ?? 0 < Int(count) - 10 }
        stage.together([old])
        try stage.world.run(for: .seconds(2))
        let lonely = try stage.things(old).count
        stage.together([new, third])
        try stage.elect(new)
        let handedOver = try stage.things(new).count
        try stage.expect(handedOver > lonely, "\(old.name) has deleted alone: \(lonely) against \(handedOver)")
        set.heal()
        try stage.wait("the others to expire", within: .seconds(120)) {
            set.members.allSatisfy { (try? stage.things($0)) == left }
        }
        try set.runUntilConverged(within: .seconds(60))

        guard let now = third.runtime?.wallClock else { throw set.failure("\(third.name) has no clock") }
        try new.run(
            [
                "insert": "things", "documents": [["_id": 1, "at": .dateTime(now.milliseconds + 5000)]],
                "writeConcern": ["w": 3],
            ], in: WriteWorkload.database)
        stage.together([old, new])
        try stage.wait("it to expire", within: .seconds(30)) { (try? stage.things(old)) == left }
        try stage.world.run(for: .seconds(5))
        try stage.expect(try stage.things(third) == [1] + left, "a secondary deletes nothing of itself")
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
        try stage.expect(try stage.things(third) == left, "it deletes what the primary has deleted")
        return "\(handedOver - lonely) deletions were taken back and done again by the successor"
    }
}
