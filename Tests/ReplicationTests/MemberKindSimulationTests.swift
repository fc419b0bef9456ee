import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// Sets of members of several kinds under virtual time.
@Suite struct MemberKindSimulationTests {
    private typealias Set = ProtocolSimulationTests

    private static func makeLastAnArbiter(_ config: inout ReplicaSetConfig) {
        config.members[config.members.count - 1].isArbiter = true
        config.members[config.members.count - 1].priority = 0
    }

    @Test("two members and an arbiter lose nothing under crashes, partitions and loss, and converge")
    func arbiter() {
        for seed in 1...Set.seeds {
            let problems = Set.check(3, seed: 4000 + seed, Set.allFaults, Self.makeLastAnArbiter) { _ in
                Set.policy(seed)
            }
            #expect(problems == [], "seed \(4000 + seed)")
        }
    }

    @Test("five members, one of them an arbiter, lose nothing and converge")
    func fiveWithArbiter() {
        for seed in 1...Set.seeds {
            let problems = Set.check(5, seed: 5000 + seed, Set.allFaults, Self.makeLastAnArbiter) { _ in
                Set.policy(seed)
            }
            #expect(problems == [], "seed \(5000 + seed)")
        }
    }

    @Test("next to an arbiter, a volatile member that forgot gets its vote back, and nothing is lost")
    func volatileWithArbiter() {
        var faults = Set.allFaults
        faults.isVolatile = true
        faults.reconfigs = false
        for seed in 1...Set.seeds {
            let problems = Set.check(3, seed: 6000 + seed, faults, Self.makeLastAnArbiter) { _ in Set.policy(seed) }
            #expect(problems == [], "seed \(6000 + seed)")
        }
    }

    @Test("with an even number of volatile voters, arbiter or not, one that forgot comes back and nothing is lost")
    func fourVolatile() {
        var faults = Set.allFaults
        faults.isVolatile = true
        faults.reconfigs = false
        for seed in 1...Set.seeds {
            let hasArbiter = seed % 3 == 0
            let problems = Set.check(
                4, seed: 7000 + seed, faults, { if hasArbiter { Self.makeLastAnArbiter(&$0) } }
            ) { _ in Set.policy(seed) }
            #expect(problems == [], "seed \(7000 + seed)")
        }
    }

    @Test("fifty members, seven of which vote, elect, write, fail over and all have everything")
    func fifty() {
        let world = Set.initiated(
            50, seed: 1, .init(),
            {
                $0.settings.heartbeatIntervalMillis = 1000
                $0.settings.electionTimeoutMillis = 3000
                for index in 7..<50 {
                    $0.members[index].votes = 0
                    $0.members[index].priority = 0
                }
            }
        ) { _ in FastElectionPolicy() }
        #expect(world.problems == [])
        #expect(world.nodes[0].member.config?.votingMajority == 4)
        Set.keepWriting(world)
        world.run(for: .seconds(1))
        #expect(world.acknowledged.count > 30)
        for index in 0..<3 { world.nodes[index].crash() }
        let before = world.acknowledged.count
        let goesOn = world.run(for: .seconds(8)) { world.acknowledged.count > before + 10 }
        #expect(goesOn, "four of seven voters are a majority")
        world.heal()
        let converged = world.run(for: .seconds(10)) { Set.agree(world.nodes) }
        #expect(converged, "\(world.nodes.filter { $0.member.state != .secondary }.map(Set.describe))")
        #expect(world.problems == [])
    }
}
