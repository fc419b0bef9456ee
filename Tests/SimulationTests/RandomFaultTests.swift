import Core
import Testing

@testable import Simulation

/// Seeds of the random scenario: crashes, stalls, cuts and slow links while clients write, then healing and agreement.
struct RandomFaultTests {
    @Test("under random faults every acknowledged write survives, and healed members agree", arguments: 0..<6)
    func sweep(batch: UInt64) throws {
        var seen: Set<String> = []
        for seed in (batch * 5 + 1)...(batch * 5 + 5) {
            let report = try RandomScenario(seed: seed).run(seed: seed)
            seen.formUnion(report.faults.map(\.name))
        }
        // A sweep in which nothing goes wrong proves nothing. That every fault happens is asked of a longer one.
        #expect(seen.count >= 8, "\(seen)")
    }

    @Test(
        "seeds that once failed pass",
        arguments: [
            // A new primary could not write its first entry into an oplog full of uncommitted ones, and stopped itself.
            1,
            // Two crashes, each harmless, took a majority's memory.
            228,
            // Of an earlier generation of scenarios: resets during a partition, entries of deposed primaries.
            35, 18, 43, 33, 61, 90,
        ] as [UInt64])
    func regression(seed: UInt64) throws {
        _ = try RandomScenario(seed: seed).run(seed: seed)
    }

    @Test(
        "candidates do not wait for the answer of a member that has no vote in this life",
        arguments: [19569, 20450, 23182, 26814, 28398] as [UInt64])
    func voterThatForgot(seed: UInt64) throws {
        var scenario = RandomScenario(seed: seed)
        scenario.swarm.safetyPhase = .seconds(5)
        _ = try scenario.run(seed: seed)
    }

    @Test(
        "a large entry in a small oplog does not make all other members stale at once, and the set with them",
        arguments: [346, 402] as [UInt64])
    func entryAtTheCommitPoint(seed: UInt64) throws {
        var scenario = RandomScenario(seed: seed)
        scenario.swarm.safetyPhase = .seconds(8)
        _ = try scenario.run(seed: seed)
    }

    @Test("two candidates beside a voter that forgot do not stand at the same instant again and again")
    func twoCandidates() throws {
        var scenario = RandomScenario(seed: 15183)
        scenario.swarm.safetyPhase = .seconds(5)
        _ = try scenario.run(seed: 15183)
    }

    @Test(
        "seeds in which the simulator asked too much pass",
        arguments: [
            // Of a member that was removed a moment ago, that it has what the others have.
            29302,
            // Of a set whose only member that could be primary had lost its disk, that it elects.
            25721,
            // Of a primary that waits for others before it steps down, that it is replaced.
            27309,
        ] as [UInt64])
    func askedTooMuch(seed: UInt64) throws {
        var scenario = RandomScenario(seed: seed)
        scenario.swarm.safetyPhase = .seconds(5)
        _ = try scenario.run(seed: seed)
    }

    @Test("a set that has no faults and no bugs is found to be well", arguments: 1...7)
    func peace(members: Int) throws {
        var swarm = Swarm()
        swarm.kinds = Array(repeating: .normal, count: members)
        swarm.safetyPhase = .seconds(3)
        let report = try RandomScenario(swarm: swarm).run(seed: UInt64(members))
        #expect(report.isAvailable && report.elections == 1 && report.operations("append of unknown outcome") == 0)
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
