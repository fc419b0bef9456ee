import BSON
import Core
import DataNode
import Replication
import Testing

@testable import Simulation

/// While `fsync` holds its lock a member writes nothing, whatever happens around it.
struct FsyncLockTests {
    private static let lock: Document = ["fsync": 1, "lock": true]
    private static let unlock: Document = ["fsyncUnlock": 1]

    @Test("a locked member writes nothing, no entry, no vote, no configuration; then it has all", arguments: 1...4)
    func nothingIsWritten(seed: UInt64) throws {
        let set = ScenarioStage.commanded(3)(SimulatedWorld(seed: seed))
        try set.start()
        let stage = ScenarioStage(set)
        let (first, second, locked) = (set.members[0], set.members[1], set.members[2])
        if !first.isWritablePrimary { try stage.elect(first) }
        let index: Document = ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 1]
        #expect(try first.run(["createIndexes": "dates", "indexes": [.document(index)]], in: "load").isOK)
        try set.runUntilConverged(within: .seconds(10))

        #expect(try locked.run(Self.lock).isOK)
        let before = try #require(locked.node?.appliedMark)
        let last = locked.lastApplied
        try stage.write(1, on: first, w: "majority")
        let date: Document = ["_id": 1, "at": .dateTime(0)]
        #expect(try first.run(["insert": "dates", "documents": [.document(date)]], in: "load").isOK)
        #expect(try first.run(["drop": "dates"], in: "load").isOK)
        // Its vote is not to be had, so another's is needed; and a new configuration waits for it, too.
        try stage.elect(second)
        try stage.write(2, on: second, w: "majority")
        var config = try #require(try second.run(["replSetGetConfig": 1])["config"]?.asDocument)
        config["version"] = .int64((config["version"]?.asInteger ?? 0) + 1)
        #expect(try second.run(["replSetReconfig": .document(config)]).isOK)
        locked.send(["replSetStepUp": 1]) { _ in }
        try set.world.run(for: .seconds(30))
        #expect(locked.node?.appliedMark == before)
        #expect(locked.lastApplied == last)
        #expect(locked.state == .secondary)
        // With one of the others there is a majority, without it there is none: the locked one gives no vote.
        stage.together([first, locked])
        let term = first.term
        first.send(["replSetStepUp": 1]) { _ in }
        try set.world.run(for: .seconds(10))
        #expect(first.member?.isPrimary != true || first.term == term)
        #expect(locked.node?.appliedMark == before)

        set.heal()
        #expect(try locked.run(Self.unlock).isOK)
        // By then all have heard of the term that nobody was elected in.
        try stage.wait("the candidate's term") { second.term == first.term && locked.term == first.term }
        try stage.reunite(under: second)
        #expect(try stage.things(locked) == [1, 2])
        #expect(try #require(locked.node?.appliedMark) > before)
    }

    @Test("a member that is elected while it is locked takes writes when it is unlocked", arguments: 1...4)
    func electedWhileLocked(seed: UInt64) throws {
        let set = ScenarioStage.commanded(3)(SimulatedWorld(seed: seed))
        try set.start()
        let stage = ScenarioStage(set)
        let (first, locked) = (set.members[0], set.members[2])
        if !first.isWritablePrimary { try stage.elect(first) }
        try set.runUntilConverged(within: .seconds(10))
        locked.send(["replSetStepUp": 1]) { _ in }
        try stage.wait("a candidate") { locked.term > first.term || locked.member?.isPrimary == true }
        // Wherever its election is by now.
        #expect(try locked.run(Self.lock).isOK)
        let before = try #require(locked.node?.appliedMark)
        try set.world.run(for: .seconds(20))
        #expect(locked.node?.appliedMark == before)
        #expect(try locked.run(Self.unlock).isOK)
        if !set.members.contains(where: { $0.isWritablePrimary }) { try stage.elect(locked) }
        let primary = try #require(set.members.first { $0.isWritablePrimary })
        try stage.write(1, on: primary, w: "majority")
        try set.runUntilConverged(within: .seconds(60))
    }
}
