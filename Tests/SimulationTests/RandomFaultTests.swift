import Core
import Testing

@testable import Simulation

/// Seeds of the random scenario: crashes, stalls, cuts and slow links while clients write, then healing and agreement.
struct RandomFaultTests {
    @Test("under random faults every acknowledged write survives, and healed members agree", arguments: 0..<6)
    func sweep(batch: UInt64) throws {
        var seen: Set<String> = []
        for seed in (batch * 5 + 1)...(batch * 5 + 5) {
            var scenario = RandomScenario(seed: seed)
            scenario.swarm.safetyPhase = .seconds(12)
            let report = try scenario.run(seed: seed)
            #expect(!report.isAvailable || report.operations("majority append") > 20, "seed \(seed)")
            seen.formUnion(report.faults.map(\.name))
        }
        // A sweep in which nothing goes wrong proves nothing.
        #expect(seen.isSuperset(of: ["crash", "partition", "one-way partition", "pause", "slow link"]), "\(seen)")
    }

    @Test(
        "what once failed stays mended",
        arguments: [
            // A connection that was reset during a partition swallowed every heartbeat for ever.
            35,
            // A member that had voted in a new term took entries of the deposed primary, and had to forget its own.
            18, 43,
            // The same entries came through a member that had learned the term and not yet lost them.
            33, 61, 90,
        ] as [UInt64])
    func regression(seed: UInt64) throws {
        _ = try RandomScenario(seed: seed).run(seed: seed)
    }

    @Test("two runs of a seed have the same trace")
    func replay() throws {
        for seed in UInt64(1)...20 {
            var scenario = RandomScenario(seed: seed)
            scenario.swarm.safetyPhase = .seconds(2)
            let difference = try TraceComparison.firstDifference { window in
                let world = SimulatedWorld(seed: seed, shufflesNodes: scenario.swarm.shufflesNodes, recording: window)
                _ = try scenario.run(in: world)
                return world
            }
            #expect(difference == nil, "seed \(seed)")
        }
    }
}
