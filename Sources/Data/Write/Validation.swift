import BSON
public import Core
public import Query

/// The validation of the documents that one operation writes.
///
/// What a validator asks of one document may take many slices of the loop. It is interrupted then: the write throws,
/// with nothing written, and the operation comes back with the same document in another slice. Confined to the loop of
/// the node that runs the operation.
public final class Validation {
    /// The operation's time.
    let budget: EvaluationBudget
    /// What was interrupted, and the validator that it belongs to.
    private var running: (validator: DocumentValidator, check: DocumentValidator.Check)?
    /// The document whose validation was interrupted, and the one that it is to replace. It is not made again: another
    /// `_id`, time or random number would make it another document.
    private var made: (old: Document?, new: Document)?

    public init(_ budget: EvaluationBudget) { self.budget = budget }

    /// A new slice of the loop begins.
    public func beginSlice(until end: Instant) { budget.beginSlice(until: end) }

    /// Where the validation was left; nil when it begins, or when the collection has another validator by now.
    func resume(_ validator: DocumentValidator) -> DocumentValidator.Check? {
        defer { running = nil }
        return running?.validator === validator ? running?.check : nil
    }

    func interrupt(_ validator: DocumentValidator, _ check: DocumentValidator.Check) { running = (validator, check) }

    /// The new document whose validation was interrupted, if it was made of `old` as it is now; nil for an insert.
    func takeMade(of old: DocumentView?) -> Document? {
        guard let (before, new) = made else { return nil }
        made = nil
        switch (before, old) {
        case (nil, nil): return new
        case (let before?, let old?): return before.withView { compareBytes($0.bytes, old.bytes) == 0 } ? new : nil
        default: return nil
        }
    }

    /// Keeps what was made of `old` for the next slice.
    func keepMade(_ new: DocumentView, of old: DocumentView?) { made = (old?.document, new.document) }
}
