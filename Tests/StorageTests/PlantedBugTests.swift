import Core
import Testing

/// Bugs that are planted in the storage in files, to see that the tests find them.
@Suite("Planted bugs of files") struct PlantedBugTests {
    /// How a planted bug is found, and within how many power cuts, or turned bits. Several times what it takes today.
    static let byPowerCuts: [(String, Int)] = [
        ("frame-not-synced", 30), ("frame-not-checked", 30), ("manifest-not-named", 60), ("run-not-named", 120),
        ("run-forgotten", 120), ("oplog-not-synced", 120), ("journal-reused-early", 400),
    ]
    static let byTurnedBits: [(String, UInt64)] = [("witness-ignored", 400)]
    static let byRollbacks: [(String, Int)] = [("rollback-file-not-synced", 60)]

    static let byLogs: [(String, UInt64)] = [
        ("oplog-seam-dropped", 10), ("oplog-seam-doubled", 10), ("oplog-branch-ignored", 40),
    ]

    private func mutant(_ name: String) throws -> Mutants {
        try #require(Mutants.ofFiles.first { $0.name == name }).mutant
    }

    @Test("power cuts find a planted bug", arguments: byPowerCuts)
    func isFoundByPowerCuts(name: String, cuts: Int) throws {
        let mutant = try mutant(name)
        let first = try (1...cuts).first { try StoreRun.powerCut(at: $0, mutants: mutant) != nil }
        #expect(first != nil)
    }

    @Test("turned bits find a planted bug", arguments: byTurnedBits)
    func isFoundByTurnedBits(name: String, seeds: UInt64) throws {
        let mutant = try mutant(name)
        let first = try (1...seeds).first { try StoreRun.turnedBit(seed: $0, mutants: mutant).outcome == .served }
        #expect(first != nil)
    }

    @Test("power cuts in rollbacks find a planted bug", arguments: byRollbacks)
    func isFoundByRollbacks(name: String, cuts: Int) throws {
        let mutant = try mutant(name)
        let first = try (1...cuts).first { cut in
            let outcome = try RollbackRun.powerCut(at: cut, buggifies: false, mutants: mutant)
            if case .wrong = outcome { return true }
            return false
        }
        #expect(first != nil)
    }

    @Test("logs that are in files for the most part find a planted bug", arguments: byLogs)
    func isFoundByLogs(name: String, seeds: UInt64) throws {
        let mutant = try mutant(name)
        let first = try (1...seeds).first { try LogRun(seed: $0, mutants: mutant).run() != nil }
        #expect(first != nil)
    }

    @Test("every planted bug of files has a run that finds it")
    func isComplete() {
        let found =
            Self.byPowerCuts.map(\.0) + Self.byTurnedBits.map(\.0) + Self.byRollbacks.map(\.0)
            + Self.byLogs.map(\.0)
        #expect(Set(found) == Set(Mutants.ofFiles.map(\.name)))
    }
}
