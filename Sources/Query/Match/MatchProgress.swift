import BSON
import Core

/// Where the match of a document stands that takes longer than a slice of the loop.
///
/// As evaluations do (`EvaluationScope`), nodes count their steps; when the slice is over, each keeps a frame on its
/// way out, the innermost first, and takes it back when the same document is shown again. Confined to a node's loop.
final class MatchProgress {
    private let budget: EvaluationBudget
    private var frames: [Any] = []
    private var canResume = true
    /// The document of the match that was interrupted, and the position that it had found.
    private var interrupted: (document: Document, position: Int)?

    init(_ budget: EvaluationBudget) { self.budget = budget }

    /// Matches a document from its beginning, or from where its match was interrupted.
    func matches(
        _ document: DocumentView, position: inout Int,
        _ body: (DocumentView, inout MatchDetails) throws(ServerError) -> Bool
    ) throws(ServerError) -> Bool {
        var details = MatchDetails(progress: self)
        if let interrupted {
            if interrupted.document.hasBytes(document) { details.position = interrupted.position } else { forget() }
        }
        do throws(ServerError) {
            let matched = try body(document, &details)
            forget()
            position = details.position
            return matched
        } catch {
            if error.isInterruption {
                interrupted = (interrupted?.document ?? document.document, details.position)
            } else {
                forget()
            }
            throw error
        }
    }

    /// Runs a match to its end whose caller cannot come back to it.
    func atOnce(_ body: (inout MatchDetails) throws(ServerError) -> Bool) throws(ServerError) -> Bool {
        forget()
        canResume = false
        defer { canResume = true }
        var details = MatchDetails(progress: self)
        return try body(&details)
    }

    private func forget() {
        interrupted = nil
        frames = []
    }

    /// Counts work; throws when its time is over, or when others have to run first.
    @inline(__always) func spend(_ steps: Int) throws(ServerError) {
        budget.stepsLeft &-= steps
        guard budget.stepsLeft < 0, try budget.look() else { return }
        guard canResume else { return try budget.hold() }
        throw .evaluationInterrupted
    }

    /// Counts work on so many bytes, without a look at the time.
    @inline(__always) func count(bytes: Int) { budget.stepsLeft &-= bytes &>> 7 }

    func keep(_ frame: Any, _ error: ServerError) { if error.isInterruption { frames.append(frame) } }

    func kept<Frame>(_ type: Frame.Type) -> Frame? {
        guard let last = frames.popLast() else { return nil }
        if let frame = last as? Frame { return frame }
        // Matching is pure: beginning anew is always right, if slower.
        frames = []
        return nil
    }
}
