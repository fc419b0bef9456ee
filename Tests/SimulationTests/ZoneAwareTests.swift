import Core
import ElectionPolicies
import Testing

@testable import Simulation

/// The policy in a set, against the one it is built on.
struct ZoneAwareSimulationTests {
    /// How often, over some seeds, the primary's successor is in the zone of three of five members.
    private func successorsAtHome(_ policy: any ElectionPolicy, seeds: ClosedRange<UInt64>) throws -> Int {
        var atHome = 0
        for seed in seeds {
            let kinds = ["sf", "sf", "ny", "ny", "ny"].map { MemberKind(zone: $0) }
            let set = SimulatedReplicaSet(SimulatedWorld(seed: seed), kinds: kinds, policy: policy)
            try set.start()
            // The initiator, in the other zone, is primary first.
            let old = try #require(set.primary)
            old.crash()
            try set.world.run(until: { set.primary != nil && set.primary !== old }, atMost: .seconds(30), "a successor")
            let successor = try #require(set.members.firstIndex { $0 === set.primary })
            if successor >= 2 { atHome += 1 }
        }
        return atHome
    }

    @Test("after a crash the primary is elected in the zone of the majority")
    func staysAtHome() throws {
        #expect(try successorsAtHome(ZoneAwareElectionPolicy(), seeds: 1...8) == 8)
        #expect(try successorsAtHome(FastElectionPolicy(), seeds: 1...8) < 8)
    }
}
