import BSON
import Core
import Replication

/// Entries of one term that meet commit points of another.
extension NamedScenario {
    static let terms = [
        NamedScenario(
            name: "old-term-progress",
            summary: "a majority for entries of an old term does not commit them (SERVER-22136, Raft figure 8)",
            make: ScenarioStage.commanded(5), script: oldTermProgress),
        NamedScenario(
            name: "three-terms",
            summary:
                "five members, three terms: a commit point is not taken for a branch that it is not on (SERVER-39626)",
            make: ScenarioStage.commanded(5), script: threeTerms),
        NamedScenario(
            name: "split-vote",
            summary: "two candidates of one term at the same moment: whoever is asked by both votes once",
            make: ScenarioStage.commanded(3), script: splitVote),
        NamedScenario(
            name: "stale-candidate",
            summary: "a candidate without what was committed gets no vote of those who have it (Raft §5.4.1)",
            make: ScenarioStage.commanded(3), script: staleCandidate),
        NamedScenario(
            name: "late-batch",
            summary: "entries of a deposed primary that arrive after its successor was voted for do not commit",
            make: ScenarioStage.commanded(3), script: lateBatch),
        NamedScenario(
            name: "lonely-reconfig",
            summary: "an isolated primary cannot reconfigure itself into a majority of one",
            make: ScenarioStage.commanded(3), script: lonelyReconfig),
        NamedScenario(
            name: "commit-stall",
            summary:
                "the commit point stalls under w:1 load: the oplog stays bounded, writes are refused, nothing is lost",
            make: {
                SimulatedReplicaSet(
                    $0, kinds: [.normal, .normal, .arbiter], remembers: true, oplogBytesMax: 32_768)
            }, script: commitStall),
    ]

    /// Raft's figure 8. An entry of term 1 comes to be on three of five members in term 3, and may still be lost.
    private static func oldTermProgress(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let m = set.members
        // Term 1: the first member writes, and only the second has it.
        stage.together([m[0], m[1]])
        try stage.write(1, on: m[0])
        try stage.wait("the second member to have it") { m[1].lastApplied == m[0].lastApplied }
        let old = m[0].lastApplied
        m[0].crash()
        // Term 2: the fifth is elected by those who have not seen it, and writes what nobody gets.
        stage.together([m[2], m[3], m[4]])
        try stage.elect(m[4], untilWritable: false)
        stage.together([m[4]])
        m[4].send(["replSetAbortPrimaryCatchUp": 1]) { _ in }
        try stage.wait("its first entry") { m[4].isWritablePrimary }
        m[4].crash()
        // Term 3: the second is elected and passes the old entry on, but nothing of its own term.
        stage.together([m[1], m[2], m[3]])
        let known = m[1].commitPoint
        var highest = known
        set.onMemberChanged = { _ in
            guard let member = m[1].member, member.isPrimary, member.commitPoint.term < member.term else { return }
            highest = max(highest, member.commitPoint)
        }
        try stage.elect(m[1], untilWritable: false)
        try stage.wait("the old entry on a majority") {
            [m[2], m[3]].contains { $0.lastApplied >= old } && m[1].lastApplied > old
        }
        set.onMemberChanged = nil
        try stage.expect(highest == known, "no commit point moves without an entry of term 3, as it did to \(highest)")
        m[1].crash()
        m[0].restart()
        try stage.reunite(under: m[2].lastApplied >= m[3].lastApplied ? m[2] : m[3])
        return "the old entry was on a majority with the commit point at \(highest)"
    }

    /// A member that was primary and wrote what nobody has hears of commit points of later terms.
    private static func threeTerms(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let m = set.members
        // The first term's primary writes alone.
        stage.together([m[0]])
        for id in Int64(1)...3 { try stage.write(id, on: m[0]) }
        let lonely = m[0].lastApplied
        let known = m[0].commitPoint
        // Two further terms commit entries of their own.
        stage.together([m[1], m[2], m[3], m[4]])
        try stage.elect(m[1])
        for id in Int64(11)...12 { try stage.write(id, on: m[1], w: "majority") }
        stage.together([m[2], m[3], m[4]])
        try stage.elect(m[2])
        for id in Int64(21)...24 { try stage.write(id, on: m[2], w: "majority") }
        try stage.expect(m[2].commitPoint > lonely, "the third term has committed")
        set.heal()
        // A commit point of the third term comes with a heartbeat, before its entries or behind them.
        try stage.wait("the first member to hear of the third term") { m[0].term >= m[2].term }
        try stage.wait("it to take its entries back, or to be told") {
            m[0].commitPoint > known || m[0].lastApplied != lonely
        }
        try set.runUntilConverged(within: .seconds(60))
        let left = try stage.things(m[0])
        try stage.expect(left == [11, 12, 21, 22, 23, 24], "only what was committed is left, not \(left)")
        return "three lonely entries were rolled back"
    }

    private static func splitVote(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let m = set.members
        var outcomes: [String] = []
        for skipsDryRun in [false, true] {
            let old = m[0]
            if !old.isWritablePrimary { try stage.elect(old) }
            old.send(["replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": true]) { _ in }
            try stage.wait("the step-down") { old.state == .secondary }
            for candidate in [m[1], m[2]] {
                candidate.send(["replSetStepUp": 1, "skipDryRun": .bool(skipsDryRun)]) { _ in }
            }
            try stage.world.run(for: .seconds(1))
            let elected = m.filter { $0.member?.isPrimary == true }
            try stage.expect(elected.count <= 1, "one primary at most")
            outcomes.append(elected.first?.name ?? "nobody")
            try stage.reunite(under: elected.first ?? m[1])
        }
        return "elected: \(outcomes.joined(separator: ", then "))"
    }

    private static func staleCandidate(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let m = set.members
        stage.together([m[0], m[1]])
        try stage.write(1, on: m[0], w: "majority")
        m[0].crash()
        stage.together([m[1], m[2]])
        for _ in 0..<5 {
            m[2].send(["replSetStepUp": 1, "skipDryRun": true]) { _ in }
            try stage.world.run(for: .seconds(1))
            try stage.expect(m[2].member?.isPrimary != true, "\(m[2].name) is not elected")
        }
        try stage.elect(m[1])
        try stage.reunite(under: m[1])
        return "five candidacies failed"
    }

    /// The voter's own position, told to the deposed primary, must not commit what the new one does not have.
    private static func lateBatch(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (old, new, voter) = (set.members[0], set.members[1], set.members[2])
        try stage.write(1, on: old, w: "majority")
        try set.runUntilConverged(within: .seconds(10))
        set.cut(old.name, new.name)
        var slow = LinkConditions()
        slow.minimumDelay = .milliseconds(300)
        slow.tailProbability = 0
        set.world.network.setLink(from: old.name, to: voter.name, slow)
        // Let what is under way on the quick link pass.
        try stage.world.run(for: .seconds(1))
        var answer: Document?
        old.send(
            ["insert": "things", "documents": [["_id": 2]], "writeConcern": ["w": "majority"]],
            in: WriteWorkload.database
        ) { answer = $0 }
        try stage.world.run(for: .milliseconds(5))
        let term = voter.term
        new.send(["replSetStepUp": 1, "skipDryRun": true]) { _ in }
        try stage.wait("the successor") { new.member?.isPrimary == true && voter.term > term }
        // It must not wait for what the deposed primary has.
        new.send(["replSetAbortPrimaryCatchUp": 1]) { _ in }
        try stage.world.run(for: .seconds(2))
        set.heal()
        set.world.network.setLink(from: old.name, to: voter.name, .local)
        try set.runUntilConverged(within: .seconds(60))
        try stage.wait("an answer of the deposed primary") { answer != nil }
        let wasAcknowledged = answer?["ok"]?.asNumber == 1 && answer?["writeConcernError"] == nil
        let isThere = try stage.things(new).contains(2)
        try stage.expect(isThere || !wasAcknowledged, "the write was not acknowledged and lost: \(answer ?? [:])")
        return "the late write was \(isThere ? "kept" : "refused, and rolled back")"
    }

    private static func lonelyReconfig(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let old = set.members[0]
        stage.together([old])
        var refusals = 0
        for victim in [set.members[1], set.members[2]] {
            let reply = try old.run(["replSetGetConfig": 1])
            let without = ConfigEdit.next(after: reply) { members in
                members.filter { ConfigEdit.id($0) != Int64(victim.id) }
            }
            guard let without else { throw set.failure("no configuration in \(reply)") }
            let answer = try old.run(["replSetReconfig": .document(without), "maxTimeMS": 2000])
            if answer["ok"]?.asNumber != 1 { refusals += 1 }
        }
        try stage.expect(refusals == 2, "neither configuration is acknowledged, and \(2 - refusals) were")
        let names = old.member?.config?.members.count ?? 0
        try stage.expect(names >= 2, "no second one follows an uncommitted one, and \(names) members are left")
        stage.together([set.members[1], set.members[2]])
        try stage.elect(set.members[1])
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
        return "both reconfigurations timed out"
    }

    private static func commitStall(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        guard let primary = set.primary else { throw set.failure("no primary") }
        guard let secondary = set.members.first(where: { $0 !== primary && !$0.kind.isArbiter }) else {
            throw set.failure("no secondary")
        }
        try stage.write(0, on: primary, w: "majority")
        secondary.crash()
        var refused: Document?
        var id: Int64 = 1
        while refused == nil, id < 5000 {
            let reply = try stage.write(id, on: primary)
            if reply["writeErrors"] != nil || reply["ok"]?.asNumber != 1 { refused = reply }
            id += 1
        }
        try stage.expect(refused != nil, "writes are refused before the oplog has outgrown what can be undone")
        // The primary must survive it, and so must an election.
        primary.crash()
        primary.restart()
        secondary.restart()
        try set.runUntilConverged(within: .seconds(120))
        guard let now = set.primary else { throw set.failure("no primary") }
        let reply = try stage.write(1_000_000, on: now, w: "majority")
        try stage.expect(reply["writeErrors"] == nil, "writes are taken again, not \(reply)")
        return "writes were refused after \(id - 2), and taken again when the secondary was back"
    }
}
