import BSON
import Core

/// The target of a `$rename`: what the document had at the source, if anything. The source is an `UnsetModifier`.
struct RenameTarget: UpdateModifier {
    let path: String
    let source: ExpressionPath

    /// A rename of a field that is not there does nothing at all.
    func ignoresUnreachablePath(in document: DocumentView) -> Bool {
        let found = Result { () throws(ServerError) in try find(in: document) }
        if case .success(nil) = found { return true }
        return false
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        try find(in: document).map { .view($0) } ?? .unchanged
    }

    /// What the document has at the source; nil when there is nothing.
    func find(in document: DocumentView) throws(ServerError) -> ValueView? {
        var current = document
        for (index, name) in source.components.enumerated() {
            let found = name.withUnsafeBytes { current.find($0.start, count: $0.count) }
            guard let found, index + 1 < source.components.count else { return found }
            if found.type == .array {
                throw ServerError(
                    .badValue,
                    "The source field cannot be an array element, '\(source.dotted)' in doc with "
                        + "\(identity(document)) has an array field called '\(String(decoding: name, as: UTF8.self))'")
            }
            guard let nested = found.asDocument else {
                let part = String(decoding: name, as: UTF8.self)
                throw ServerError(
                    .pathNotViable,
                    "cannot use the part (\(part) of \(source.dotted)) to traverse the element ({\(part): "
                        + "\(ValueText.text(found))})")
            }
            current = nested
        }
        return nil
    }
}
