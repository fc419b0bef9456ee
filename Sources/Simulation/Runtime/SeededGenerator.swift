/// The simulator's generator (SplitMix64): a run's every random choice comes from one of these, made from its seed.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// A generator of its own for `purpose`, so that one part's draws do not shift another's.
    public init(seed: UInt64, purpose: String) {
        state = SeededGenerator.mix(seed &+ 0x9E37_79B9_7F4A_7C15) ^ SeededGenerator.hash(purpose)
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SeededGenerator.mix(state)
    }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public mutating func next(below bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }

    /// A number in `0 ..< 1`.
    public mutating func nextFraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// True once in `1 / probability` draws. Draws nothing for 0 and 1, so that a fault that is off shifts no other.
    public mutating func nextBool(probability: Double) -> Bool {
        if probability <= 0 { return false }
        return probability >= 1 || nextFraction() < probability
    }

    @inline(__always) static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// FNV-1a: the same in every process, unlike `Hashable`.
    static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}
