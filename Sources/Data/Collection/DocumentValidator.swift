import BSON
import Core
import Query

/// What new documents of a collection have to match: `validator`, `validationLevel`, `validationAction` of its options.
///
/// Asked where a client's write is made, on the primary; what is applied from the oplog was checked there.
final class DocumentValidator {
    private let source: Document
    /// Whether documents that did not match before may stay as wrong as they are (`moderate`).
    private let sparesOldFaults: Bool
    /// Whether a document that does not match is refused, and not only logged (`warn`).
    private let refuses: Bool
    /// `warn` and `errorAndLog`.
    private let logs: Bool
    /// Whether it may take long, however short the document is.
    let mayTakeLong: Bool
    /// The compiled filter, while no interrupted validation keeps it.
    private var idle: Check?

    /// Reads the options; nil when they refuse nothing.
    /// - Throws: what compiling the filter throws; `BadValue` for an unknown level or action.
    init?(_ options: Document) throws(ServerError) {
        let level = options["validationLevel"]?.asString ?? "strict"
        let action = options["validationAction"]?.asString ?? "error"
        guard ["off", "strict", "moderate"].contains(level) else {
            throw ServerError(.badValue, "invalid validation level: \(level)")
        }
        guard ["error", "warn", "errorAndLog"].contains(action) else {
            throw ServerError(.badValue, "invalid validation action: \(action)")
        }
        guard let source = options["validator"]?.asDocument, !source.isEmpty else { return nil }
        mayTakeLong = try DocumentValidator.compile(source, nil).mayTakeLong
        if level == "off" { return nil }
        refuses = action != "warn"
        logs = action != "error"
        self.source = source
        sparesOldFaults = level == "moderate"
    }

    private static func compile(
        _ source: Document, _ budget: EvaluationBudget?
    ) throws(ServerError) -> Filter {
        var context = QueryContext()
        context.budget = budget.map { Confined($0) }
        return try source.withChecked { (view) throws(ServerError) in try Filter(view, context: context) }
    }

    /// A compiled filter, and how far it is with one document.
    final class Check {
        private let filter: Filter
        private let budget: EvaluationBudget
        /// The new document does not match; the old one is looked at.
        private var isRefused = false

        fileprivate init(_ source: Document, _ runtime: any NodeRuntime) throws(ServerError) {
            budget = EvaluationBudget(runtime)
            filter = try compile(source, budget)
        }

        /// Whether the document does not match, and neither did the one that it replaces if that counts.
        /// - Parameter time: of the operation, which comes back with the document; nil when nobody does.
        fileprivate func refuses(
            _ document: DocumentView, replacing old: DocumentView?, _ time: EvaluationBudget?
        ) throws(ServerError) -> Bool {
            if let time { budget.follow(time) }
            if !isRefused, try matches(document, time) { return false }
            if let old {
                isRefused = true
                if try !matches(old, time) {
                    isRefused = false
                    return false
                }
            }
            isRefused = false
            return true
        }

        private func matches(_ document: DocumentView, _ time: EvaluationBudget?) throws(ServerError) -> Bool {
            guard time != nil else { return try filter.matches(document) }
            guard let matches = try filter.matchesInterruptibly(document) else { throw .evaluationInterrupted }
            return matches
        }
    }

    /// Refuses a document that does not match, says so in the log, or both.
    /// - Throws: `DocumentValidationFailure` (121) with `errInfo`; an interruption when the slice of `validation` was
    ///   used up first.
    func check(
        _ document: DocumentView, replacing old: DocumentView? = nil, _ validation: Validation?,
        _ runtime: any NodeRuntime
    ) throws {
        let check = try validation?.resume(self) ?? idle ?? Check(source, runtime)
        idle = nil
        do {
            let isRefused = try check.refuses(document, replacing: sparesOldFaults ? old : nil, validation?.budget)
            idle = check
            guard isRefused else { return }
        } catch {
            // What was interrupted stays with the operation; after an error nothing of it is of use.
            if error.isInterruption { validation?.interrupt(self, check) }
            throw error
        }
        let information = errorInformation(document, runtime)
        if logs {
            let failure = refuses ? "Document failed validation" : "Document would fail validation"
            runtime.log.log(.warning, "validation", "\(failure): \(information.extendedJSON())")
        }
        guard refuses else { return }
        throw ServerError(
            .documentValidationFailure, "Document failed validation",
            details: ["errInfo": .document(information)])
    }

    private static var tooLarge: Document {
        ["reason": "the explanation of the failure is too large", "truncated": true]
    }

    private static var tooLong: Document {
        ["reason": "the explanation of the failure takes too long", "truncated": true]
    }

    /// Explaining evaluates once more; it gets one slice.
    private func errorInformation(_ document: DocumentView, _ runtime: any NodeRuntime) -> Document {
        let budget = EvaluationBudget(runtime, looksPerSlice: Limits.explanationLooksMax)
        budget.beginSlice(until: runtime.loopSliceEnd)
        var context = QueryContext()
        context.budget = Confined(budget)
        var details: Document
        do throws(ServerError) {
            details =
                try budget.interruptibly { () throws(ServerError) in
                    try ValidationDetails.explain(source, document, context: context)
                } ?? DocumentValidator.tooLong
        } catch {
            details = ["reason": .string("failed to explain the failure: \(error.message)")]
            if error.code == .exceededMemoryLimit { details = DocumentValidator.tooLarge }
        }
        if details.byteCount > Limits.validationDetailsBytesMax { details = DocumentValidator.tooLarge }
        var information = Document()
        if let id = document["_id"] { information.append("failingDocumentId", Value(id)) }
        information.append("details", .document(details))
        return information
    }
}
