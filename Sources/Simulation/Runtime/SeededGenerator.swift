internal import Core

/// The simulator's generator: a run's every random choice comes from one of these, made from its seed.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var numbers: SplitMix64

    public init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    /// A generator of its own for `purpose`, so that one part's draws do not shift another's.
    public init(seed: UInt64, purpose: String) {
        var seeds = SplitMix64(seed: seed)
        numbers = SplitMix64(seed: seeds.next() ^ SeededGenerator.hash(purpose))
    }

    public mutating func next() -> UInt64 { numbers.next() }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public mutating func next(below bound: UInt64) -> UInt64 { numbers.next(below: bound) }

    /// A number in `0 ..< 1`.
    public mutating func nextFraction() -> Double { numbers.nextUnit() }

    /// True once in `1 / probability` draws. Draws nothing for 0 and 1, so that a fault that is off shifts no other.
    public mutating func nextBool(probability: Double) -> Bool {
        if probability <= 0 { return false }
        return probability >= 1 || nextFraction() < probability
    }

    /// FNV-1a: the same in every process, unlike `Hashable`.
    static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}
