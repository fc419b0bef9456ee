import Core
import Testing

@testable import Simulation

/// Ranges that move between shards under load, in virtual time.
struct ShardScenarioTests {
    @Test("ranges move, and every read and write is right", arguments: [1, 2] as [UInt64])
    func calm(seed: UInt64) throws {
        let outcome = try ShardScenario().run(seed: seed, seconds: 5, faults: false)
        #expect(outcome.moves > 2)
        #expect(outcome.acknowledged > 50 && outcome.reads > 10)
    }

    @Test("members of all sets die, and every read and write is right", arguments: 1...4 as ClosedRange<UInt64>)
    func faults(seed: UInt64) throws {
        let outcome = try ShardScenario().run(seed: seed, seconds: 15)
        #expect(outcome.faults > 3 && outcome.acknowledged > 0)
    }
}
