/// An error behind which the node that met it cannot go on: a promise of its own, or of a part, was broken.
public protocol BrokenPromise: Error {}

/// A promise of a protocol or of storage that does not hold: a bug, or damage. It stops the member that found it.
public struct InvariantViolation: BrokenPromise, CustomStringConvertible, Sendable {
    @usableFromInline init(what: String, file: String, line: UInt) {
        self.what = what
        self.file = file
        self.line = line
    }

    /// For a place that can only be reached when a promise does not hold, such as damaged stored bytes.
    public init(_ what: String, file: String = #fileID, line: UInt = #line) {
        self.init(what: what, file: file, line: line)
    }

    public let what: String
    public let file: String
    public let line: UInt
    public var description: String { "invariant violated: \(what) (\(file):\(line))" }
}

/// Checks a promise, in every build. Throws instead of trapping: one process holds many members, and only the one that
/// broke may stop. For memory safety use `precondition`.
@inlinable
public func invariant(
    _ condition: Bool, _ what: @autoclosure () -> String, file: String = #fileID, line: UInt = #line
) throws(InvariantViolation) {
    if !condition { throw InvariantViolation(what: what(), file: file, line: line) }
}
