import BSON
public import Core

/// How far a resumable operation came in one slice.
public enum WriteProgress: Sendable {
    /// The operation is finished; its result is complete.
    case done
    /// The slice is used up. Let the loop run, check term and writability again, and go on with a new context.
    case yield
}

/// The failure of one statement of a write command.
public struct StatementError: Sendable {
    /// The statement's place in the command.
    public let index: Int
    public let error: ServerError

    public init(index: Int, error: ServerError) {
        self.index = index
        self.error = error
    }
}

extension [StatementError] {
    /// Adds the error of a statement; without its message and details when those of the errors before it, which
    /// `bytes` counts, fill a reply.
    public mutating func append(index: Int, _ error: ServerError, countingIn bytes: inout Int) {
        let isTerse = bytes > Limits.writeErrorBytesMax
        bytes += error.message.utf8.count + (error.details?.byteCount ?? 0)
        append(StatementError(index: index, error: isTerse ? ServerError(error.code, "") : error))
    }
}

/// Counts steps, so that the clock is not read for each of them. Once it has found the slice used up, it says so at
/// every step: an operation of two loops, each of which may go on when the other ends, would else miss every reading.
struct SliceClock {
    private var steps = 0
    private var isUsedUp = false
    let deadline: Instant
    private static let stepsPerReading = 16

    init(deadline: Instant) { self.deadline = deadline }

    /// Whether the slice is used up; read after each step.
    @inline(__always)
    mutating func isOver(_ runtime: any NodeRuntime) -> Bool {
        steps &+= 1
        guard steps % SliceClock.stepsPerReading == 0 else { return isUsedUp }
        return isOverNow(runtime)
    }

    /// Whether the slice is used up; reads the clock: for steps that are long themselves.
    mutating func isOverNow(_ runtime: any NodeRuntime) -> Bool {
        isUsedUp = isUsedUp || runtime.now >= deadline
        return isUsedUp
    }
}
