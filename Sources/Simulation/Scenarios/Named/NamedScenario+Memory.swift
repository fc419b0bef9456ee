import BSON
import Core
import Replication

/// Members that forget.
extension NamedScenario {
    static let memory = [
        NamedScenario(
            name: "vote-of-earlier-life",
            summary: "a vote still under way when its voter crashed and forgot elects nobody beside another primary",
            make: { SimulatedReplicaSet($0, members: 3, policy: CommandedElectionPolicy(), timing: .patient) },
            script: voteOfEarlierLife),
        NamedScenario(
            name: "vote-survives-restart",
            summary: "a member that has voted and restarts gives nobody a second vote in the term (Raft §5.2)",
            make: {
                SimulatedReplicaSet(
                    $0, kinds: [.normal, .normal, .normal], policy: CommandedElectionPolicy(), remembers: true,
                    timing: .patient)
            }, script: voteOfEarlierLife),
        NamedScenario(
            name: "clone-under-load",
            summary: "a member that is cloned while everything changes ends with the same data",
            make: { SimulatedReplicaSet($0, members: 3) }, script: cloneUnderLoad),
        NamedScenario(
            name: "five-volatile",
            summary:
                "five members without disks: two at a time come back as new; three at once are the end, not an error",
            make: { SimulatedReplicaSet($0, members: 5) }, script: fiveVolatile),
    ]

    private static func voteOfEarlierLife(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (first, voter, other) = (set.members[1], set.members[2], set.members[0])
        // The voter's answers to the first candidate take long.
        var slow = LinkConditions()
        slow.minimumDelay = .milliseconds(700)
        set.world.network.setLink(from: voter.name, to: first.name, slow)
        set.cut(first.name, other.name)
        let term = voter.term
        first.send(["replSetStepUp": 1, "skipDryRun": true]) { _ in }
        try stage.wait("the vote") { voter.member?.lastVote?.term == term + 1 }
        // The voter's next run hears nothing of that term.
        set.block(from: first, to: voter)
        // The vote is under way; who gave it forgets.
        voter.crash(.halfOpen)
        voter.restart()
        try stage.wait("the voter's next run") { voter.member?.config != nil }
        // Asked again in the same term, it must not elect a second primary. The checker watches terms.
        other.send(["replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": true]) { _ in }
        try stage.world.run(for: .milliseconds(100))
        other.send(["replSetFreeze": 0]) { _ in }
        other.send(["replSetStepUp": 1, "skipDryRun": true]) { _ in }
        try stage.world.run(for: .seconds(5))
        let leaders = set.members.filter { $0.member?.isPrimary == true }.map { "\($0.name) in term \($0.term)" }
        set.heal()
        set.world.network.setLink(from: voter.name, to: first.name, .local)
        try stage.world.run(for: .seconds(2))
        if set.primary == nil { try stage.elect(set.canElect ? best(set) : first) }
        try set.runUntilConverged(within: .seconds(60))
        return "primaries while it was under way: \(leaders.isEmpty ? "none" : leaders.joined(separator: ", "))"
    }

    private static func best(_ set: SimulatedReplicaSet) -> SimulatedMember {
        let ready = set.members.filter { $0.state == .secondary }
        return ready.max { $0.lastApplied < $1.lastApplied } ?? set.members[0]
    }

    /// Documents change in front of the clone and behind it.
    private static func cloneUnderLoad(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        guard let primary = set.primary, let victim = set.secondaries.first else { throw set.failure("no secondary") }
        let documents = (0..<4000).map { Value.document(["_id": .int32(Int32($0)), "n": 0]) }
        try primary.run(["insert": "things", "documents": .array(documents)], in: WriteWorkload.database)
        victim.crash()
        victim.restart()
        try stage.wait("the clone to begin") { victim.isInitialSyncRunning }
        var rounds: Int32 = 0
        while victim.isInitialSyncRunning, rounds < 2000 {
            let filter: Document = ["_id": ["$mod": [7, .int32(rounds % 7)]]]
            let change: Document = ["q": .document(filter), "u": ["$inc": ["n": 1]], "multi": true]
            try primary.run(["update": "things", "updates": [.document(change)]], in: WriteWorkload.database)
            rounds += 1
        }
        try set.runUntilConverged(within: .seconds(60))
        return "cloned in the course of \(rounds) updates of 571 documents each"
    }

    private static func fiveVolatile(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let load = ListWorkload(set, clients: 1)
        load.start(sessions: 1)
        for round in 0..<3 {
            try set.world.run(for: .seconds(2))
            let victims = set.members.indices.filter { ($0 + round) % 5 < 2 }.map { set.members[$0] }
            for victim in victims { victim.crash(round == 1 ? .halfOpen : .reset) }
            try set.runUntilPrimary(within: .seconds(20))
            try set.world.run(for: .seconds(1))
            for victim in victims { victim.restart() }
            try stage.wait("the voters to be five again", within: .seconds(60)) {
                guard let primary = set.primary, let config = primary.member?.config else { return false }
                return config.voterCount == 5
            }
        }
        let acknowledged = load.counts["majority append"] ?? 0
        // Three at once: nobody may take what was acknowledged for never written.
        for member in set.members.prefix(3) { member.crash() }
        for member in set.members.prefix(3) { member.restart() }
        try set.world.run(for: .seconds(60))
        try stage.expect(set.primary == nil, "no primary after a majority has forgotten")
        try stage.expect(!set.canElect, "no majority that remembers")
        try load.stop(within: .seconds(120))
        try load.check(isAvailable: false)
        return "\(acknowledged) majority writes; unavailable after three of five forgot, and nothing wrong was shown"
    }
}
