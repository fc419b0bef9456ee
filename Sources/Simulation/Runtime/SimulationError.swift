public import Core

/// Why a run ended before it was over.
public struct SimulationError: Error, CustomStringConvertible, Sendable {
    public enum Kind: Sendable, Equatable {
        /// Work left the world for the process's own threads, where neither time nor order are the world's.
        case leak
        /// Events follow one another without time moving on.
        case livelock
        /// A condition did not come true in the time it was given.
        case conditionNotReached
        /// A node or checker reported that a promise is broken.
        case failure
    }

    public let kind: Kind
    public let seed: UInt64
    public let time: Instant
    public let message: String

    public var description: String {
        "simulation of seed \(seed) stopped at \(Double(time.nanoseconds) / 1e9) s: \(message)"
    }
}
