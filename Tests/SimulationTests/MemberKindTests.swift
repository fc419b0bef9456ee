import Conformance
import Core
import ElectionPolicies
import Testing

@testable import Simulation

/// Sets of members of several kinds under faults that make histories branch; what must hold is checked at every event.
struct MemberKindTests {
    /// Debug builds are ten times slower; the run of the release build is the one that counts.
    private static let seeds: ClosedRange<UInt64> = 1...(_isDebugAssertConfiguration() ? 2 : 20)

    private static let storm: [FaultKind] = [
        .crash, .partition, .partial, .oneWay, .bridge, .loss, .stepDown, .stepUp, .freeze,
    ]
    private static let changes: [FaultKind] = [.removeMember, .addMember, .changePriority]

    private static func swarm(_ kinds: [MemberKind], _ faults: [FaultKind], seed: UInt64) -> Swarm {
        var swarm = Swarm()
        swarm.kinds = kinds
        swarm.policy = seed % 2 == 0 ? MongoDBElectionPolicy() : FastElectionPolicy()
        swarm.timing = .init(heartbeatInterval: .milliseconds(100), electionTimeout: .milliseconds(500))
        swarm.faults = faults.map { ($0, 1) }
        swarm.faultInterval = .milliseconds(250)
        swarm.safetyPhase = .seconds(5)
        return swarm
    }

    private static func normal(_ count: Int) -> [MemberKind] {
        Array(repeating: .normal, count: count)
    }

    private static let sets: [(name: String, kinds: [MemberKind], remembers: Bool)] = [
        ("three with disks", normal(3), true),
        ("three without disks", normal(3), false),
        ("five with disks", normal(5), true),
        ("two and an arbiter, with disks", normal(2) + [.arbiter], true),
        ("two and an arbiter, without disks", normal(2) + [.arbiter], false),
        ("four and an arbiter, with disks", normal(4) + [.arbiter], true),
        ("four without disks", normal(4), false),
        ("three and an arbiter, without disks", normal(3) + [.arbiter], false),
    ]

    @Test(
        "under crashes, cuts, loss and commands a set of this kind loses nothing, and its members agree when healed",
        arguments: 0..<sets.count)
    func kinds(number: Int) throws {
        let set = Self.sets[number]
        for seed in Self.seeds {
            // Who has forgotten comes back by a change of the configuration: that is enough of them.
            let faults = set.remembers ? Self.storm + Self.changes : Self.storm
            var swarm = Self.swarm(set.kinds, faults, seed: seed)
            swarm.remembers = set.remembers
            swarm.losesMajorities = set.remembers
            _ = try RandomScenario(swarm: swarm).run(seed: seed)
        }
    }

    @Test(
        "hostile policies cost liveness, never safety", arguments: HostileElectionPolicy.Manner.allCases
    )
    func hostile(manner: HostileElectionPolicy.Manner) throws {
        for seed in Self.seeds {
            var swarm = Self.swarm(Self.normal(3), Self.storm + Self.changes, seed: seed)
            swarm.remembers = true
            swarm.losesMajorities = true
            swarm.isHostile = true
            swarm.policies = [1: HostileElectionPolicy(manner), 2: HostileElectionPolicy(manner)]
            _ = try RandomScenario(swarm: swarm).run(seed: seed)
        }
    }

    @Test(
        "fast: a killed primary is replaced within a tenth of the election timeout", arguments: 1...10)
    func fastFailover(seed: UInt64) throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed), policy: FastElectionPolicy())
        try set.start()
        try set.world.run(for: .milliseconds(700))
        let old = try #require(set.primary)
        old.crash()
        let died = set.world.now
        try set.runUntilPrimary(within: .seconds(3), otherThan: old)
        #expect(set.world.now - died < set.timing.electionTimeout / 10)
    }

    @Test("fast: one link that is cut does not depose a primary that the others hear")
    func brokenLink() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 5), policy: FastElectionPolicy())
        try set.start()
        try set.world.run(for: .milliseconds(500))
        let primary = try #require(set.primary)
        let secondary = try #require(set.secondaries.first)
        set.world.apply(.resetConnections(primary.name, secondary.name))
        set.cut(primary.name, secondary.name)
        try set.world.run(for: .milliseconds(800))
        #expect(set.primary === primary)
        #expect(set.elections == 1)
        set.heal()
        try set.runUntilConverged(within: .seconds(10))
        #expect(set.elections == 1)
    }

    @Test("fifty members, seven of which vote, elect, write, fail over and all have everything")
    func fifty() throws {
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: 1), kinds: Self.normal(7) + Array(repeating: .nonVoting, count: 43),
            remembers: true,
            timing: .init(heartbeatInterval: .seconds(1), electionTimeout: .seconds(3)))
        try set.start()
        let load = WriteWorkload(set)
        load.start()
        try set.world.run(for: .seconds(1))
        let before = load.acknowledged
        #expect(before > 30)
        // Four of seven voters are a majority.
        let old = try #require(set.primary)
        let crashed = [old] + set.members.prefix(7).filter { $0 !== old }.prefix(2)
        for member in crashed { member.crash() }
        try set.runUntilPrimary(within: .seconds(8), otherThan: old)
        try set.run(
            until: { _ in load.acknowledged > before + 10 }, within: .seconds(8), "further writes")
        for member in crashed { member.restart() }
        try load.stop()
        try set.runUntilConverged(within: .seconds(20))
        try load.check()
    }
}
