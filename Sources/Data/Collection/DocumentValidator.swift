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
        if level == "off" || action == "warn" { return nil }
        self.filter = filter
        self.source = source
        sparesOldFaults = level == "moderate"
    }

    /// - Throws: `DocumentValidationFailure` (121) with `errInfo`.
    func check(_ document: DocumentView, replacing old: DocumentView? = nil) throws {
        if try filter.matches(document) { return }
        if let old, sparesOldFaults, try !filter.matches(old) { return }
        throw ServerError(
            .documentValidationFailure, "Document failed validation",
            details: Document { writer in
                writer.document("errInfo") { info in
                    if let id = document["_id"] { info.append("failingDocumentId", id) }
                    info.document("details") {
                        $0.append("specifiedAs", source)
                        $0.append("reason", string: "the document does not match the validator")
                    }
                }
            })
    }
}
