import BSON
import Core
import DataNode
import Replication

/// Members whose disks lose what was not flushed.
extension NamedScenario {
    static let disks = [
        NamedScenario(
            name: "position-of-earlier-run",
            summary: "what a member had before a crash took it is not counted, whoever tells of it",
            make: withDisks, script: positionOfEarlierRun),
        NamedScenario(
            name: "found-and-not-flushed",
            summary: "what a member finds when it starts is not durable before it is flushed",
            make: withDisks, script: foundAndNotFlushed),
        NamedScenario(
            name: "lost-tail",
            summary: "a member that lost the end of its log shows another rollback id; one that was stopped does not",
            make: withDisks, script: lostTail),
        NamedScenario(
            name: "rollback-id-on-disk",
            summary: "a rollback id is shown when it is durable: after a crash before that, no other stands for it",
            make: withDisks, script: rollbackIDOnDisk),
        NamedScenario(
            name: "commit-point-kept",
            summary: "a member that starts again knows what was committed before anybody tells it",
            make: withDisks, script: commitPointKept),
    ]

    @Sendable private static func withDisks(_ world: SimulatedWorld) -> SimulatedReplicaSet {
        SimulatedReplicaSet(
            world, kinds: [.normal, .normal, .normal], policy: CommandedElectionPolicy(), remembers: true,
            flushTime: .milliseconds(2), timing: .patient)
    }

    private static func insert(_ id: Int64, w: Value) -> Document {
        ["insert": "things", "documents": [["_id": .int64(id)]], "writeConcern": ["w": w]]
    }

    /// The primary hears of a position by a relay whose words take long. Meanwhile its owner has lost it.
    private static func positionOfEarlierRun(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (primary, relay, victim) = (set.members[0], set.members[1], set.members[2])
        try victim.run(["replSetSyncFrom": .string(relay.endpoint.description)])
        try stage.write(1, on: primary, w: 3)
        try set.runUntilConverged(within: .seconds(30))
        set.cut(primary.name, victim.name)
        var slow = LinkConditions()
        slow.minimumDelay = .seconds(2)
        set.world.network.setLink(from: relay.name, to: primary.name, slow)
        victim.stallDisk()
        var isAcknowledged = false
        primary.send(insert(2, w: 3), in: WriteWorkload.database) { _ in isAcknowledged = true }
        try stage.wait("the entry at its end") { (try? stage.things(victim)) == [1, 2] }
        // The relay has told its own position, and tells the other's with its next message.
        try stage.world.run(for: .milliseconds(50))
        victim.nextCrash(leaves: .none)
        set.cut(relay.name, victim.name)
        victim.crash()
        victim.unstallDisk()
        // Its signs of life are heard, and what it asks for comes late.
        slow.minimumDelay = .milliseconds(1200)
        set.world.network.setLink(from: primary.name, to: victim.name, slow)
        set.join(primary.name, victim.name)
        victim.restart()
        while try stage.things(victim) != [1, 2] {
            try stage.expect(!isAcknowledged, "no acknowledgement by three while one of them lacks the entry")
            try stage.world.run(for: .milliseconds(10))
        }
        for (from, to) in [(primary, victim), (relay, primary)] {
            set.world.network.setLink(from: from.name, to: to.name, .local)
        }
        set.heal()
        try stage.wait("the acknowledgement") { isAcknowledged }
        try stage.reunite(under: primary)
        return "three members had the entry when the write was acknowledged"
    }

    private static func foundAndNotFlushed(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (primary, victim) = (set.members[0], set.members[1])
        try stage.write(1, on: primary, w: "majority")
        set.isolate(set.members[2])
        victim.stallDisk()
        var isAcknowledged = false
        primary.send(insert(2, w: "majority"), in: WriteWorkload.database) { _ in isAcknowledged = true }
        try stage.wait("the entry at the second member") { (try? stage.things(victim)) == [1, 2] }
        // The process is killed; what it wrote is still in a cache.
        victim.nextCrash(leaves: .all)
        victim.crash()
        victim.restart()
        try stage.world.run(for: .seconds(3))
        try stage.expect(!isAcknowledged, "no majority has it on its disks")
        // The power goes.
        victim.nextCrash(leaves: .none)
        victim.crash()
        victim.unstallDisk()
        victim.restart()
        try stage.wait("the acknowledgement") { isAcknowledged }
        try stage.reunite(under: primary)
        return "it was acknowledged when it was on two disks"
    }

    private static func lostTail(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (primary, victim, other) = (set.members[0], set.members[1], set.members[2])
        try stage.write(1, on: primary, w: 3)
        guard let before = victim.node?.rollbackID, let otherBefore = other.node?.rollbackID else {
            throw set.failure("a member without a rollback id")
        }
        victim.stallDisk()
        try stage.write(2, on: primary)
        try stage.wait("the entry that is not flushed") { (try? stage.things(victim)) == [1, 2] }
        victim.nextCrash(leaves: .none)
        victim.crash()
        victim.unstallDisk()
        victim.restart()
        try stage.wait("its next run") { victim.state == .secondary }
        try stage.expect(victim.node?.rollbackID ?? before > before, "another rollback id than \(before)")
        try other.shutDown()
        other.restart()
        try stage.wait("the other's next run") { other.state == .secondary }
        try stage.expect(other.node?.rollbackID == otherBefore, "the same rollback id after a stop in order")
        try stage.reunite(under: primary)
        return "rollback id \(before), then \(victim.node?.rollbackID ?? 0)"
    }

    private static func rollbackIDOnDisk(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (old, new) = (set.members[0], set.members[1])
        try stage.write(1, on: old, w: 3)
        stage.together([old])
        try stage.write(2, on: old)
        stage.together([new, set.members[2]])
        try stage.elect(new)
        try stage.write(3, on: new, w: 2)
        old.stallDisk()
        set.heal()
        try stage.wait("the rollback") { old.state == .rollback }
        try stage.world.run(for: .seconds(1))
        // The checker compares what it shows now with what its next run shows.
        let shown = old.node?.rollbackID ?? 0
        old.nextCrash(leaves: .none)
        old.crash()
        old.unstallDisk()
        old.restart()
        try stage.wait("its next run") { old.state == .secondary && (try? stage.things(old)) == [1, 3] }
        try stage.reunite(under: new)
        return "rollback id \(shown), then \(old.node?.rollbackID ?? 0)"
    }

    private static func commitPointKept(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (primary, victim) = (set.members[0], set.members[1])
        try stage.write(1, on: primary, w: 3)
        try set.runUntilConverged(within: .seconds(30))
        let committed = set.committed
        // What is known is noted with the next flush.
        try stage.write(2, on: primary, w: 3)
        try set.runUntilConverged(within: .seconds(30))
        set.isolate(victim)
        victim.crash()
        victim.restart()
        try stage.wait("its next run") { victim.state == .secondary }
        try stage.expect(
            victim.commitPoint >= committed, "at least \(committed) as commit point, not \(victim.commitPoint)")
        let reply = try victim.run(
            [
                "find": "things", "readConcern": ["level": "majority"], "maxTimeMS": 200,
                "$readPreference": ["mode": "secondary"],
            ], in: WriteWorkload.database)
        try stage.expect(reply["ok"]?.asNumber != 1, "a majority read to wait for what the set says, not \(reply)")
        try stage.reunite(under: primary)
        return "it knew of \(victim.commitPoint)"
    }
}
