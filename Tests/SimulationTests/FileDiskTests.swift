import Core
import Testing

@testable import Simulation

/// Whole sets whose members keep their data in files, on disks that lose, tear and refuse.
@Suite("Sets on files")
struct FileDiskTests {
    private func run(_ seed: UInt64, mutants: Mutants = []) throws -> SeedReport {
        var scenario = RandomScenario(seed: seed)
        scenario.swarm.useFiles(seed: seed)
        scenario.swarm.safetyPhase = .seconds(8)
        scenario.swarm.mutants = mutants
        return try scenario.run(seed: seed)
    }

    @Test("what a majority acknowledged survives power cuts, calls that fail and full disks")
    func faults() throws {
        var seen: Set<String> = []
        for seed in [2, 4, 10, 12, 15, 16, 17] as [UInt64] {
            let report = try run(seed)
            #expect(report.usesFiles)
            seen.formUnion(report.faults.filter { $0.count > 0 }.map(\.name))
        }
        let expected: [FaultKind] = [.powerCut, .diskFails, .diskFull, .diskStalls, .lostTail]
        #expect(seen.isSuperset(of: expected.map(\.rawValue)), "\(seen)")
    }

    @Test("a disk that forgets what was synced is found when its member starts")
    func forgottenSectors() throws {
        let mutant = try #require(Mutants.all.first { $0.name == "frame-not-synced" }).mutant
        #expect(throws: SeedFailure.self) {
            for seed in 1...20 as ClosedRange<UInt64> { _ = try run(seed, mutants: mutant) }
        }
    }

    @Test("a run of a set on files is the same twice")
    func replay() throws {
        let hashes = try (0..<2).map { _ in try run(3).traceHash }
        #expect(hashes[0] == hashes[1])
    }
}
