import Testing

@testable import Simulation

struct NamedScenarioTests {
    @Test("a scenario goes well", arguments: NamedScenario.all.map(\.name), [1, 2] as [UInt64])
    func scenario(name: String, seed: UInt64) throws {
        let scenario = try #require(NamedScenario.all.first { $0.name == name })
        _ = try scenario.run(seed: seed)
    }
}
