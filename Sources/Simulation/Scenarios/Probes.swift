import Core

/// Counts rare paths, and draws where places that may behave oddly do (FoundationDB's BUGGIFY): within one run a place
/// is odd or it is not, and an odd one is so now and then.
final class Probes {
    private(set) var counts: [String: Int] = [:]
    private var generator: SeededGenerator
    private var isOdd: [String: Bool] = [:]
    private let probability: Double

    init(seed: UInt64, buggifyProbability: Double) {
        generator = SeededGenerator(seed: seed, purpose: "odd places")
        probability = buggifyProbability
    }

    func hooks(mutants: Mutants) -> SimulationHooks {
        SimulationHooks(
            mutants: mutants, onProbe: { [self] in counts["\($0)", default: 0] += 1 },
            onBuggify: { [self] in buggify($0) })
    }

    private func buggify(_ name: StaticString) -> Bool {
        guard probability > 0 else { return false }
        let name = "\(name)"
        let odd = isOdd[name] ?? generator.nextBool(probability: 0.5)
        isOdd[name] = odd
        guard odd, generator.nextBool(probability: probability) else { return false }
        counts["odd: \(name)", default: 0] += 1
        return true
    }
}
