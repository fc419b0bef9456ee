import BSON
import Core

/// What the conditions of one update (`$pull`, `arrayFilters`) have said of a document's array elements, in the order
/// in which they were asked.
///
/// Together they may take longer than a slice of the loop, and the writing around them has no place to stop at. An
/// update that is interrupted between two of them begins again with the same document, and what it asks then is
/// answered from here. A slice goes on for as long as that took, so that at least half of the time goes to what is new.
final class ElementVerdicts {
    private let budget: EvaluationBudget
    private var verdicts: [Bool] = []
    private var asked = 0
    /// The document of the update that was interrupted.
    private var interrupted: Document?
    /// When the update began again, until it has asked for what is not known yet.
    private var beganAgainAt: Instant?
    private var hasNew = false

    init(_ budget: EvaluationBudget) { self.budget = budget }

    /// An update of a document begins, perhaps again.
    func begin(_ document: DocumentView) {
        asked = 0
        hasNew = false
        beganAgainAt = nil
        guard let interrupted else { return verdicts.removeAll(keepingCapacity: true) }
        if interrupted.hasBytes(document) {
            beganAgainAt = budget.now
        } else {
            forget()
        }
    }

    /// The update of the document that it began with has ended.
    func end(with error: ServerError?, _ document: DocumentView) {
        if let error, error.isInterruption {
            interrupted = interrupted ?? document.document
        } else {
            forget()
        }
    }

    private func forget() {
        interrupted = nil
        verdicts.removeAll()
    }

    /// Whether a condition holds, known from before or found out now. `steps` is what finding out may take.
    func ask(_ steps: Int, _ condition: () throws(ServerError) -> Bool) throws(ServerError) -> Bool {
        if asked < verdicts.count {
            defer { asked += 1 }
            return verdicts[asked]
        }
        if let began = beganAgainAt {
            beganAgainAt = nil
            budget.goOn(for: budget.now - began)
        }
        budget.stepsLeft &-= steps
        // One new verdict a slice at least, however short the slice is.
        if budget.stepsLeft < 0, try budget.look(), hasNew { throw .evaluationInterrupted }
        let verdict = try condition()
        verdicts.append(verdict)
        asked += 1
        hasNew = true
        return verdict
    }
}

extension ElementVerdicts? {
    /// The same; without a budget nothing is kept.
    func ask(_ steps: Int, _ condition: () throws(ServerError) -> Bool) throws(ServerError) -> Bool {
        guard let verdicts = self else { return try condition() }
        return try verdicts.ask(steps, condition)
    }
}
