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
            timing: .patient)
        try set.start()
        return ScenarioStage(set)
    }

    /// Adds a spare member, and waits until all agree that it is one.
    private func add(_ spare: SimulatedMember, on primary: SimulatedMember, force: Bool = false) throws {
        let next = try #require(
            ConfigEdit.next(after: try primary.run(["replSetGetConfig": 1])) {
                $0 + [spare.kind.description(id: spare.id, host: spare.endpoint.description)]
            })
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

    @Test("a member knows itself under the names by which others reach it")
    func otherNames() throws {
        // Each member listens on a second address, which the configuration names.
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: 3), kinds: [.normal, .normal, .normal], remembers: true)
        try set.world.run(until: { set.members.allSatisfy { $0.member != nil } }, atMost: .seconds(1))
        for member in set.members { set.world.network.addAlias("\(member.name)-alias", of: member.endpoint) }
        func config(_ hosts: [String]) -> Document {
            [
                "_id": .string(set.name), "version": 1,
                "members": .array(
                    hosts.enumerated().map { ["_id": .int32(Int32($0)), "host": .string("\($1):27017")] }),
            ]
        }
        let twice = try set.members[0].run(
            ["replSetInitiate": .document(config(["rs0-0-alias", "rs0-0", "rs0-1"]))])
        #expect(twice.code == 93 && twice["errmsg"]?.asString?.contains("are this node") == true, "\(twice)")
        let strangers = try set.members[0].run(["replSetInitiate": .document(config(["rs0-1", "rs0-2"]))])
        #expect(strangers.code == 93, "\(strangers)")
        let names = set.members.map { "\($0.name)-alias" }
        let reply = try set.members[0].run(["replSetInitiate": .document(config(names))])
        #expect(reply.isOK, "\(reply)")
        try set.runUntilConverged(within: .seconds(30))
        // Nobody is left who could tell them.
        for member in set.members { member.crash() }
        for member in set.members { member.restart() }
        try set.runUntilConverged(within: .seconds(30))
    }

    @Test("a voter is given another name by a reconfiguration, under load")
    func rename() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 4))
        try set.start()
        let load = WriteWorkload(set)
        load.start()
        let primary = try #require(set.primary)
        let renamed = try #require(set.secondaries.first)
        set.world.network.addAlias("elsewhere", of: renamed.endpoint)
        let next = try #require(
            ConfigEdit.next(after: try primary.run(["replSetGetConfig": 1])) { members in
                members.map { member in
                    ConfigEdit.id(member) == Int64(renamed.id)
                        ? ["_id": .int32(renamed.id), "host": "elsewhere:27017"] : member
                }
            })
        let reply = try primary.run(["replSetReconfig": .document(next)])
        #expect(reply.isOK, "\(reply)")
        try set.world.run(for: .seconds(3))
        try load.stop()
        try set.runUntilConverged(within: .seconds(30))
        try load.check()
        #expect(renamed.state == .secondary)
        #expect(renamed.member?.isCountedVoter == true)
    }

    /// The members of the configuration that `primary` holds, each by another host.
    private func rename(_ hosts: [Int32: String], on primary: SimulatedMember, force: Bool = false) throws -> Document {
        let next = try #require(
            ConfigEdit.next(after: try primary.run(["replSetGetConfig": 1])) { members in
                members.map { member in
                    guard let id = ConfigEdit.id(member), let host = hosts[Int32(id)] else { return member }
                    return ["_id": .int64(id), "host": .string("\(host):27017")]
                }
            })
        return try primary.run(["replSetReconfig": .document(next), "force": .bool(force)])
    }

    @Test("all members change their names at once, the primary's too, and it stays primary", arguments: [1, 3])
    func renameAll(count: Int) throws {
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: 5), kinds: Array(repeating: .normal, count: count), remembers: true)
        try set.start()
        let load = WriteWorkload(set)
        load.start()
        let primary = try #require(set.primary)
        let term = primary.term
        for member in set.members { set.world.network.addAlias("\(member.name)-new", of: member.endpoint) }
        let reply = try rename(
            Dictionary(uniqueKeysWithValues: set.members.map { ($0.id, "\($0.name)-new") }), on: primary)
        #expect(reply.isOK, "\(reply)")
        try set.world.run(for: .seconds(3))
        try load.stop()
        try set.runUntilConverged(within: .seconds(30))
        try load.check()
        #expect(set.primary === primary && primary.term == term)
        // Their names are their own over a restart in which nobody is left to tell them.
        for member in set.members { member.crash() }
        for member in set.members { member.restart() }
        try set.runUntilConverged(within: .seconds(30))
        #expect(set.members.allSatisfy { $0.member?.config?.members.contains { $0.host.contains("-new") } == true })
    }

    @Test("no member is taken in a second time under another of its names, forced or not", arguments: [false, true])
    func addedTwice(force: Bool) throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 6))
        try set.start()
        let primary = try #require(set.primary)
        for member in set.members {
            set.world.network.addAlias("\(member.name)-again", of: member.endpoint)
            let next = try #require(
                ConfigEdit.next(after: try primary.run(["replSetGetConfig": 1])) {
                    $0 + [["_id": 9, "host": .string("\(member.name)-again:27017")]]
                })
            let reply = try primary.run(["replSetReconfig": .document(next), "force": .bool(force)])
            #expect(reply.code == 93, "\(reply)")
        }
        try set.runUntilConverged(within: .seconds(30))
        #expect(set.primary?.member?.config?.members.count == 3)
    }

    @Test("a name that leads to nobody when it is added, and later to a member, gives that one no second vote")
    func addedTwiceUnseen() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 7))
        try set.start()
        let primary = try #require(set.primary)
        let next = try #require(
            ConfigEdit.next(after: try primary.run(["replSetGetConfig": 1])) {
                $0 + [
                    ["_id": 8, "host": "later:27017"],
                    ["_id": 9, "host": "later-still:27017", "votes": 0, "priority": 0],
                ]
            })
        #expect(try primary.run(["replSetReconfig": .document(next)]).isOK)
        set.world.network.addAlias("later", of: primary.endpoint)
        set.world.network.addAlias("later-still", of: try #require(set.secondaries.first).endpoint)
        try set.world.run(for: .seconds(20))
        let members = try #require(try primary.run(["replSetGetStatus": 1])["members"]?.asArray)
        let rows = members.compactMap(\.asDocument)
        #expect(rows.map { $0["health"]?.asNumber } == [1, 1, 1, 0, 0])
        #expect(rows.suffix(2).allSatisfy { $0["lastHeartbeatMessage"]?.asString?.contains("this host") == true })
        #expect(primary.member?.config?.voterCount == 3)
        #expect(set.members.count { $0.isWritablePrimary } == 1)
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
