import BSON
import Core
import Query

/// What new documents of a collection have to match: `validator`, `validationLevel`, `validationAction` of its options.
///
/// Asked where a client's write is made, on the primary; what is applied from the oplog was checked there.
struct DocumentValidator {
    private let filter: Filter
    private let source: Document
    /// Whether documents that did not match before may stay as wrong as they are (`moderate`).
    private let sparesOldFaults: Bool
    /// Whether a document that does not match is refused, and not only logged (`warn`).
    private let refuses: Bool
    /// `warn` and `errorAndLog`.
    private let logs: Bool

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
        var compiled: Result<Filter, ServerError>?
        source.withView { view in
            do throws(ServerError) {
                compiled = .success(try Filter(view, context: QueryContext()))
            } catch {
                compiled = .failure(error)
            }
        }
        guard let filter = try compiled?.get() else { return nil }
        if level == "off" { return nil }
        refuses = action != "warn"
        logs = action != "error"
        self.filter = filter
        self.source = source
        sparesOldFaults = level == "moderate"
    }

    /// Refuses a document that does not match, says so in the log, or both.
    /// - Throws: `DocumentValidationFailure` (121) with `errInfo`.
    func check(_ document: DocumentView, replacing old: DocumentView? = nil, log: any LogSink) throws {
        if try filter.matches(document) { return }
        if let old, sparesOldFaults, try !filter.matches(old) { return }
        let information = errorInformation(document)
        if logs {
            let failure = refuses ? "Document failed validation" : "Document would fail validation"
            log.log(.warning, "validation", "\(failure): \(information.extendedJSON())")
        }
        guard refuses else { return }
        throw ServerError(
            .documentValidationFailure, "Document failed validation",
            details: ["errInfo": .document(information)])
    }

    private static var tooLarge: Document {
        ["reason": "the explanation of the failure is too large", "truncated": true]
    }

    private func errorInformation(_ document: DocumentView) -> Document {
        var details: Document
        do throws(ServerError) {
            details = try ValidationDetails.explain(source, document, context: QueryContext())
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
