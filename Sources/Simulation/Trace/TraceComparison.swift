import Core

/// Runs one seed twice and says where the runs part, if they do.
public enum TraceComparison {
    /// - Parameter run: builds a world whose trace records the given window, runs it to its end and returns it.
    /// - Returns: nil when both runs agree; otherwise the first event in which they differ.
    public static func firstDifference(_ run: (Range<UInt64>) throws -> SimulatedWorld) rethrows -> String? {
        let first = try run(0..<0).trace
        let second = try run(0..<0).trace
        if first.hash == second.hash, first.count == second.count { return nil }
        let window = windowOfDifference(first, second)
        return difference(try run(window), try run(window))
    }

    /// The events among which two traces first differ.
    public static func windowOfDifference(_ a: Trace, _ b: Trace) -> Range<UInt64> {
        var agreed: UInt64 = 0
        for (x, y) in zip(a.checkpoints, b.checkpoints) {
            if x != y { break }
            agreed += 1
        }
        let start = agreed * Trace.checkpointInterval
        return start..<start + Trace.checkpointInterval
    }

    /// The first recorded event in which two worlds differ, for people.
    public static func difference(_ a: SimulatedWorld, _ b: SimulatedWorld) -> String {
        let (x, y) = (a.trace.recorded, b.trace.recorded)
        for index in 0..<max(x.count, y.count) {
            let left = index < x.count ? x[index] : nil
            let right = index < y.count ? y[index] : nil
            if left == right { continue }
            let number = a.trace.recordedWindow.lowerBound + UInt64(index)
            return "event \(number) differs: \(describe(left, a)) against \(describe(right, b))"
        }
        return "the runs differ, but not when they are repeated: something outside the world decides"
    }

    private static func describe(_ event: TraceEvent?, _ world: SimulatedWorld) -> String {
        guard let event else { return "the end of the run" }
        let payload = String(event.payload, radix: 16)
        return "\(event.kind) of \(world.nodeName(event.node)) at \(event.time.nanoseconds) ns (payload \(payload))"
    }
}
