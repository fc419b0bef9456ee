public import Core

/// The slice of the loop that a running pipeline may use.
///
/// Stages that make documents look at it before each one; those that only pass them on need not, because whatever they
/// do again and again asks a stage that does. One clock serves all stages of a pipeline, those of the pipelines inside
/// it too.
public final class PipelineClock {
    private let now: () -> Instant
    public private(set) var deadline = Instant.distantFuture
    private var steps = 0
    private var isUsedUp = false

    private static let stepsPerReading = 16

    /// - Parameter now: reads the clock.
    public init(now: @escaping () -> Instant) { self.now = now }

    /// Begins a slice. One that begins too late takes a single step: every slice gets somewhere.
    public func begin(until deadline: Instant) {
        self.deadline = deadline
        steps = 0
        isUsedUp = now() >= deadline
    }

    /// Whether the slice is used up before another step; never before its first.
    public func isOver() -> Bool {
        steps &+= 1
        guard steps > 1 else { return false }
        if steps % PipelineClock.stepsPerReading == 0 { return isOverNow() }
        return isUsedUp
    }

    /// Whether the slice is used up; reads the clock: for steps that are long themselves.
    public func isOverNow() -> Bool {
        isUsedUp = isUsedUp || now() >= deadline
        return isUsedUp
    }
}
