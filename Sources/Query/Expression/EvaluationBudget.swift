import BSON
public import Core

/// Watches over the evaluations of one operation, so that none of them holds the loop: what one document asks for can
/// take minutes.
///
/// An evaluation counts its steps, and after some hundred of them looks here. When the client's time is over it fails;
/// when the slice of the loop is, and its caller can come back, it is interrupted: it leaves with
/// `ServerError.evaluationInterrupted` and what it has found so far is kept. The caller gives the loop back and shows
/// it the same document again, and it goes on where it was. Confined to the loop of the node that runs the operation.
public final class EvaluationBudget {
    private let clock: any MonotonicClock
    /// When the operation's `maxTimeMS` is over.
    public var deadline: Instant
    /// Looks that a slice may take beside its time; for where time stands still, as in the simulator and in tests.
    private var looksPerSlice: Int
    private var looksLeft: Int
    private var sliceEnd: Instant = .distantFuture
    private var canInterrupt = false
    private var wasInterrupted = false
    /// Whether the last attempt was interrupted, so that this one shows its document again. What is computed now is
    /// remembered, however short it was: together with the others it takes longer than a slice.
    private(set) var isRepeated = false
    /// The last document that outcomes were remembered for.
    private var remembered = Document()
    /// Looks that evaluations took in this slice that could not be interrupted.
    private var looksHeld = 0
    /// Steps until the next look.
    var stepsLeft = Limits.evaluationStepsPerLook

    /// - Parameter clock: of the runtime that the operation runs on.
    public init(_ clock: any MonotonicClock, deadline: Instant = .distantFuture, looksPerSlice: Int = .max) {
        self.clock = clock
        self.deadline = deadline
        self.looksPerSlice = looksPerSlice
        looksLeft = looksPerSlice
    }

    /// A new slice of the loop begins.
    public func beginSlice(until end: Instant) {
        sliceEnd = end
        looksHeld = 0
        looksLeft = looksPerSlice
    }

    /// The time by which slices are measured.
    var now: Instant { clock.now }

    /// The slice does not end before so much time has gone by from now on: what it had to do again does not count.
    func goOn(for duration: Duration) { sliceEnd = max(sliceEnd, clock.now + duration) }

    /// Goes by the time of another budget from here on: what is compiled once is evaluated for many operations.
    public func follow(_ other: EvaluationBudget) {
        deadline = other.deadline
        looksPerSlice = other.looksPerSlice
        beginSlice(until: other.sliceEnd)
    }

    /// Runs `body`, in which evaluations may be interrupted; nil when one was. The caller then comes back with the same
    /// document in another slice.
    @inline(__always)
    public func interruptibly<R>(_ body: () throws(ServerError) -> R) throws(ServerError) -> R? {
        let outer = canInterrupt
        canInterrupt = true
        isRepeated = wasInterrupted
        wasInterrupted = false
        defer { canInterrupt = outer }
        do throws(ServerError) { return try body() } catch {
            guard error.isInterruption else { throw error }
            wasInterrupted = true
            return nil
        }
    }

    /// A copy of a document, one for all who ask for the same.
    func copy(of document: DocumentView) -> Document {
        if !remembered.hasBytes(document) { remembered = document.document }
        return remembered
    }

    /// An evaluation that cannot be interrupted here goes on all the same, if not for ever.
    func hold() throws(ServerError) {
        looksHeld += 1
        guard looksHeld <= Limits.evaluationStepsMax / Limits.evaluationStepsPerLook else {
            throw ServerError(
                .exceededTimeLimit, "an expression took more than \(Limits.evaluationStepsMax) steps at once")
        }
    }

    /// Whether evaluations may be interrupted now.
    var isInterruptible: Bool { canInterrupt }

    /// Looks at the time; true when an evaluation that can be interrupted has to be.
    func look() throws(ServerError) -> Bool {
        stepsLeft = Limits.evaluationStepsPerLook
        let time = clock.now
        if time >= deadline { throw ServerError(.maxTimeMSExpired, "operation exceeded time limit") }
        guard canInterrupt else {
            try hold()
            return false
        }
        looksLeft -= 1
        return time >= sliceEnd || looksLeft < 0
    }
}

extension ServerError {
    /// An evaluation was interrupted. Never leaves the server: whoever allows interruptions handles them.
    public static var evaluationInterrupted: ServerError {
        ServerError(ErrorCode(rawValue: interruptionCode), "an evaluation was interrupted")
    }
    private static var interruptionCode: Int32 { -1 }
    /// Whether this is no failure but an evaluation that wants to go on in another slice.
    public var isInterruption: Bool { code.rawValue == ServerError.interruptionCode }
}

extension EvaluationBudget? {
    /// Runs `body`, in which evaluations may be interrupted; nil when one was. Without a budget none is.
    @inline(__always)
    public func interruptibly<R>(_ body: () throws(ServerError) -> R) throws(ServerError) -> R? {
        guard let budget = self else { return try body() }
        return try budget.interruptibly(body)
    }
}
