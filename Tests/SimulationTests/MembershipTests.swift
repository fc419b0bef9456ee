import BSON
import Core
import Replication
import Testing

@testable import Simulation

/// Members that come by reconfiguration, forget, and must not do what only the life before them could.
struct MembershipTests {
    /// A set in which nobody stands unless told to, and nobody is deposed by silence.
    private func commanded(
        _ kinds: [MemberKind], spares: [MemberKind], remembers: Bool = false
    ) throws -> ScenarioStage {
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: 1), kinds: kinds, spares: spares, policy: CommandedElectionPolicy(),
            remembers: remembers,
            timing: SimulatedReplicaSet.Timing(heartbeatInterval: .milliseconds(200), electionTimeout: .seconds(600)))
        try set.start()
        return ScenarioStage(set)
    }

    /// Adds a spare member, and waits until all agree that it is one.
    private func add(_ spare: SimulatedMember, on primary: SimulatedMember, force: Bool = false) throws {
        let shown = try #require(try primary.run(["replSetGetConfig": 1])["config"]?.asDocument)
        var next = Document()
        for field in shown.fields where field.key != "term" {
            switch field.key {
            case "version": next.append(field.key, .int64((field.value.asInteger ?? 0) + 1))
            case "members":
                let host = spare.endpoint.description
                next.append(
                    field.key, .array((field.value.asArray ?? []) + [spare.kind.description(id: spare.id, host: host)]))
            default: next.append(field.key, field.value)
            }
        }
        let reply = try primary.run(["replSetReconfig": .document(next), "force": .bool(force)])
        #expect(reply.isOK, "\(reply)")
        try spare.set.runUntilConverged(within: .seconds(60))
    }

    @Test("of two that initiate at once at most one succeeds, and the set comes to agree", arguments: 1...8)
    func initiateTwice(seed: UInt64) throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed))
        try set.world.run(until: { set.members.allSatisfy { $0.member != nil } }, atMost: .seconds(1))
        let config: Document = [
            "_id": .string(set.name), "version": 1,
            "members": .array(
                set.members.map { ["_id": .int32($0.id), "host": .string($0.endpoint.description)] }),
        ]
        var replies: [Document] = []
        for member in set.members.prefix(2) {
            member.send(["replSetInitiate": .document(config)]) { replies.append($0) }
            // Apart by less than a round trip, more or less.
            try set.world.run(for: .microseconds(Int64(seed - 1) * 100))
        }
        try set.world.run(until: { replies.count == 2 }, atMost: .seconds(30), "two answers")
        #expect(replies.count { $0.isOK } <= 1, "\(replies)")
        if !replies.contains(where: \.isOK) {
            #expect(try set.members[0].run(["replSetInitiate": .document(config)]).isOK)
        }
        try set.runUntilConverged(within: .seconds(30))
        #expect(Set(set.members.map { $0.member?.config?.settings.replicaSetID }).count == 1)
    }

    @Test("an arbiter that was added later and forgot its vote gives no second one in the term")
    func arbiterForgetsItsVote() throws {
        let stage = try commanded([.normal, .normal], spares: [.arbiter])
        let set = stage.set
        let (first, second, arbiter) = (set.members[0], set.members[1], set.members[2])
        // Two members with data and an arbiter have another implicit default than two members alone.
        #expect(try first.run(["setDefaultRWConcern": 1, "defaultWriteConcern": ["w": 1]]).isOK)
        try add(arbiter, on: first)
        // The second is elected by the arbiter, and nobody tells the first.
        stage.together([second, arbiter])
        try stage.elect(second)
        let term = second.term
        arbiter.crash()
        arbiter.restart()
        // The first, which knows nothing of that term, stands in it.
        #expect(first.term == term - 1)
        stage.together([first, arbiter])
        first.send(["replSetStepDown": 1, "force": true]) { _ in }
        try stage.wait("the first to step down") { first.state == .secondary }
        try stage.world.run(for: .seconds(2))
        first.send(["replSetStepUp": 1, "skipDryRun": true]) { _ in }
        try stage.world.run(for: .seconds(5))
        #expect(first.state == .secondary)
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
    }

    @Test("a voter that was forced in and forgot what it acknowledged elects nobody who has not got it")
    func forcedVoterForgets() throws {
        let stage = try commanded([.normal, .normal], spares: [.normal])
        let set = stage.set
        let (first, second, forced) = (set.members[0], set.members[1], set.members[2])
        try add(forced, on: first, force: true)
        stage.together([first, forced])
        let reply = try stage.write(1, on: first, w: "majority")
        #expect(reply.isOK && reply["writeConcernError"] == nil, "\(reply)")
        first.crash()
        forced.crash()
        forced.restart()
        stage.together([second, forced])
        try stage.world.run(for: .seconds(1))
        for _ in 0..<5 {
            second.send(["replSetStepUp": 1]) { _ in }
            try stage.world.run(for: .seconds(1))
        }
        #expect(second.member?.isPrimary != true)
    }
}
