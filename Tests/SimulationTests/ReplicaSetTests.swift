import BSON
import Client
import Conformance
import Core
import ElectionPolicies
import Testing

@testable import Simulation

/// Real nodes as a replica set in virtual time: what happens when something breaks.
struct ReplicaSetTests {
    private func makeSet(
        seed: UInt64 = 1, members: Int = 3, policy: any ElectionPolicy = FastElectionPolicy()
    ) throws -> SimulatedReplicaSet {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed), members: members, policy: policy)
        try set.start()
        return set
    }

    private static let policies: [any ElectionPolicy] = [FastElectionPolicy(), MongoDBElectionPolicy()]

    @Test("a set has a primary and agreeing members within 100 ms of its initiation", arguments: [1, 3, 5], [0, 1])
    func start(members: Int, policy: Int) throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 3), members: members, policy: Self.policies[policy])
        try set.initiate()
        let initiated = set.world.now
        try set.runUntilConverged(within: .milliseconds(100))
        #expect(set.elections == 1)
        #expect(set.secondaries.count == members - 1)
        #expect(set.world.now - initiated < .milliseconds(100))
    }

    @Test("a majority write is on every member soon after it is acknowledged")
    func replicates() throws {
        let set = try makeSet()
        let client = SimulatedClient(set)
        try client.run { client in
            _ = try await client["shop"]["orders"].with(writeConcern: .majority).insertOne(["_id": 1, "item": "tea"])
        }
        try set.runUntilConverged(within: .milliseconds(50))
        for member in set.members {
            #expect(try member.documents("shop", "orders") == [["_id": 1, "item": "tea"]], "\(member.name)")
        }
    }

    @Test("a crashed primary is replaced and no acknowledged write is lost", arguments: [0, 1], [0, 1])
    func primaryCrash(policy: Int, halfOpen: Int) throws {
        let set = try makeSet(policy: Self.policies[policy])
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let old = try #require(set.primary)
        old.crash(halfOpen == 1 ? .halfOpen : .reset)
        let died = set.world.now
        try set.runUntilPrimary(within: .seconds(3), otherThan: old)
        // A killed process resets its connections, and `fast` sees that; otherwise silence has to last.
        if policy == 0, halfOpen == 0 { #expect(set.world.now - died < .milliseconds(200)) }
        try set.world.run(for: .seconds(3))
        old.restart()
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
        #expect(load.acknowledged > 100)
        #expect(old.restarts == 1)
    }

    @Test("a volatile member that comes back empty is cloned, readmitted and votes again")
    func readmission() throws {
        let set = try makeSet(seed: 5)
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let victim = try #require(set.secondaries.first)
        victim.crash()
        try set.world.run(for: .seconds(2))
        victim.restart()
        try set.world.run(for: .seconds(5))
        try load.stop()
        try set.runUntilConverged(within: .seconds(10))
        // Its vote is needed now: the primary dies, and two of three elect.
        let old = try #require(set.primary)
        old.crash()
        let new = try set.runUntilPrimary(within: .seconds(3), otherThan: old)
        old.restart()
        try set.runUntilConverged(within: .seconds(10))
        #expect(new !== old)
        try load.check()
    }

    @Test(
        "a primary that is cut off steps down, the others elect, and all agree when the cut is healed",
        arguments: [0, 1])
    func partitionedPrimary(policy: Int) throws {
        let set = try makeSet(seed: 7, policy: Self.policies[policy])
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let old = try #require(set.primary)
        set.isolate(old)
        try set.runUntilPrimary(within: .seconds(5), otherThan: old)
        try set.run(until: { _ in !old.isWritablePrimary }, within: .seconds(2), "the old primary's end")
        try set.world.run(for: .seconds(2))
        set.heal()
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
    }

    @Test("a primary that can send to nobody is replaced, one that hears nobody steps down", arguments: [true, false])
    func oneWayPartition(sends: Bool) throws {
        let set = try makeSet(seed: 8)
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let old = try #require(set.primary)
        for other in set.members where other !== old {
            set.block(from: sends ? other : old, to: sends ? old : other)
        }
        try set.run(until: { _ in !old.isWritablePrimary }, within: .seconds(10), "the old primary's end")
        try set.world.run(for: .seconds(2))
        set.heal()
        try set.runUntilPrimary(within: .seconds(10))
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
    }

    @Test("a connection that breaks deposes nobody: who still hears the primary refuses the dry run")
    func brokenConnection() throws {
        let set = try makeSet(seed: 9)
        let primary = try #require(set.primary)
        let secondary = try #require(set.secondaries.first)
        for _ in 0..<10 {
            set.world.apply(.resetConnections(primary.name, secondary.name))
            try set.world.run(for: .milliseconds(700))
            #expect(set.primary === primary)
        }
        try set.runUntilConverged(within: .seconds(15))
        #expect(set.elections == 1)
    }

    @Test("a primary that stalls is replaced and steps down when it wakes", arguments: [0, 1])
    func pausedPrimary(policy: Int) throws {
        let set = try makeSet(seed: 10, policy: Self.policies[policy])
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let old = try #require(set.primary)
        old.pause()
        let stalled = set.world.now
        try set.runUntilPrimary(within: .seconds(10), otherThan: old)
        // One election timeout and its random part; nobody waits for the stalled member to answer.
        #expect(set.world.now - stalled < .milliseconds(1500))
        try set.world.run(for: .seconds(3))
        old.resume()
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
        #expect(!old.isWritablePrimary)
    }

    @Test("five members survive the loss of two")
    func fiveMembers() throws {
        let set = try makeSet(seed: 11, members: 5)
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let old = try #require(set.primary)
        let other = try #require(set.secondaries.last)
        other.crash(.halfOpen)
        old.crash()
        try set.runUntilPrimary(within: .seconds(5), otherThan: old)
        try set.world.run(for: .seconds(2))
        let acknowledged = load.lastAcknowledged
        #expect(set.world.now - acknowledged < .seconds(1))
        old.restart()
        other.restart()
        try set.world.run(for: .seconds(5))
        try load.stop()
        try set.runUntilConverged(within: .seconds(30))
        try load.check()
    }

    @Test("under load the primary hands over on request, and no increment is lost or doubled")
    func stepDown() throws {
        let set = try makeSet(seed: 12)
        let load = WriteWorkload(set)
        load.start(inserters: 2, incrementers: 3)
        for _ in 0..<3 {
            try set.world.run(for: .seconds(4))
            let old = try #require(set.primary)
            let reply = try old.run(["replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 2])
            #expect(reply["ok"]?.asNumber == 1, "\(reply)")
            try set.runUntilPrimary(within: .seconds(3), otherThan: old)
        }
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
        #expect(set.elections == 4)
    }

    @Test("two sets in one world mind their own business")
    func twoSets() throws {
        let world = SimulatedWorld(seed: 13, shufflesNodes: true)
        let one = SimulatedReplicaSet(world, name: "one")
        let two = SimulatedReplicaSet(world, name: "two")
        try one.start()
        try two.start()
        let load = WriteWorkload(two)
        load.start()
        one.primary?.crash()
        try one.runUntilPrimary(within: .seconds(3))
        try world.run(for: .seconds(2))
        try load.stop()
        try two.runUntilConverged(within: .seconds(5))
        try load.check()
        #expect(two.elections == 1)
        #expect(one.elections == 2)
    }

    @Test("a volatile member alone is no set any more after a crash: nobody remembers it")
    func alone() throws {
        let set = try makeSet(members: 1)
        let client = SimulatedClient(set)
        try client.run { client in
            _ = try await client["shop"]["orders"].with(writeConcern: .majority).insertOne(["_id": 1])
        }
        let member = set.members[0]
        member.crash()
        try set.world.run(for: .seconds(1))
        member.restart()
        try set.world.run(for: .seconds(5))
        #expect(member.state == .startup)
    }
}

/// A policy may make a set slow, never wrong.
struct HostilePolicyTests {
    @Test("members that always stand elect one primary a term and lose nothing that was acknowledged")
    func alwaysStands() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 21), policy: HostileElectionPolicy(.always))
        try set.initiate()
        let load = WriteWorkload(set, maximumWait: .seconds(2))
        load.start()
        try set.world.run(for: .seconds(5))
        #expect(set.elections > 100)
        try load.stop(within: .seconds(120))
        #expect(load.acknowledged > 0)
        // Nobody is primary for long: only what is committed by then is on every member.
        try set.run(
            until: { set in set.members.allSatisfy { $0.lastApplied >= set.committed } }, within: .seconds(60),
            "every member to have what was committed")
        try load.check()
    }

    @Test("members that refuse every dry run elect nobody, and nothing breaks")
    func refusesDryRuns() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 22), policy: HostileElectionPolicy(.selfish))
        try set.initiate()
        try set.world.run(for: .seconds(20))
        #expect(set.primary == nil)
        #expect(set.elections == 0)
    }
}
