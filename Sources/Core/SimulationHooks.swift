/// What the simulator hands to a node beside time and chance: counters of rare paths, odd sizes, planted bugs.
///
/// Not a plug point. Only the simulator's runtime has one (`NodeRuntime.simulation`); the initialiser is visible inside
/// this package only, and no flag, file or message reaches it, so a program that serves users cannot be made wrong by
/// an option.
public final class SimulationHooks {
    package let mutants: Mutants
    private let onProbe: (StaticString) -> Void
    private let onBuggify: (StaticString) -> Bool

    /// - Parameters:
    ///   - onProbe: called when a rare path is taken.
    ///   - onBuggify: draws whether a place that may behave oddly does so now.
    package init(
        mutants: Mutants = [], onProbe: @escaping (StaticString) -> Void,
        onBuggify: @escaping (StaticString) -> Bool
    ) {
        self.mutants = mutants
        self.onProbe = onProbe
        self.onBuggify = onBuggify
    }

    /// Whether a checker looks into the node: faults of the storage that others meet at random stay away.
    package private(set) var isInspecting = false

    /// Looks into the node.
    package func inspect<Answer>(_ look: () throws -> Answer) rethrows -> Answer {
        let before = isInspecting
        isInspecting = true
        defer { isInspecting = before }
        return try look()
    }

    package func probe(_ name: StaticString) { onProbe(name) }
    package func buggify(_ name: StaticString) -> Bool { onBuggify(name) }
}

extension NodeRuntime {
    /// Most runtimes are real.
    public var simulation: SimulationHooks? { nil }

    /// Counts a rare path: a sweep of the simulator must have been there.
    package func probe(_ name: StaticString) { simulation?.probe(name) }

    /// Whether this place behaves as oddly as it may: a small batch, an early return. Never outside of the simulator.
    package func buggify(_ name: StaticString) -> Bool { simulation?.buggify(name) ?? false }

    /// `value`, or in some simulated runs the odd one.
    package func buggified<Value>(_ name: StaticString, _ value: Value, _ odd: @autoclosure () -> Value) -> Value {
        simulation == nil || !buggify(name) ? value : odd()
    }

    /// Whether a bug is planted here. Asked in cold code of the protocol only.
    package func hasMutant(_ mutant: Mutants) -> Bool { simulation?.mutants.isActive(mutant) ?? false }

    /// Until when a slice of an operation may hold the loop.
    package var loopSliceEnd: Instant { buggified("short slice", now + Limits.loopSliceMax, now) }
}
