import BSON
import Core

/// The `arrayFilters` of an update: one filter for each identifier of `$[identifier]`.
struct ArrayFilters {
    private(set) var filters: [String: Filter] = [:]

    init(_ documents: [DocumentView], context: QueryContext) throws(ServerError) {
        for document in documents {
            var identifier: String?
            try ArrayFilters.collect(document, &identifier, depth: 0)
            guard let identifier else {
                throw ServerError(
                    .failedToParse, "Cannot use an expression without a top-level field name in arrayFilters")
            }
            guard filters[identifier] == nil else {
                throw ServerError(
                    .failedToParse, "Found multiple array filters with the same top-level field name \(identifier)")
            }
            filters[identifier] = try Filter(document, context: context)
        }
    }

    /// The one name that all conditions of a filter start with.
    private static func collect(
        _ document: DocumentView, _ identifier: inout String?, depth: Int
    ) throws(ServerError) {
        for element in document {
            if element.key.isOperator {
                guard let list = element.value.asArray else { continue }
                for item in list {
                    if let nested = item.value.asDocument { try collect(nested, &identifier, depth: depth + 1) }
                }
                continue
            }
            let name = element.key.string.split(separator: ".", maxSplits: 1).first.map(String.init) ?? ""
            if let identifier, identifier != name {
                throw ServerError(
                    .failedToParse,
                    "Error parsing array filter :: caused by :: Expected a single top-level field name, found "
                        + "'\(identifier)' and '\(name)'")
            }
            try check(name)
            identifier = name
        }
    }

    private static func check(_ name: String) throws(ServerError) {
        let lower = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let isWellFormed = name.utf8.first.map { lower.contains($0) } ?? false
        guard isWellFormed, name.utf8.allSatisfy({ lower.contains($0 | 0x20) || digits.contains($0) }) else {
            throw ServerError(
                .badValue,
                "Error parsing array filter :: caused by :: The top-level field name must be an alphanumeric string "
                    + "beginning with a lowercase letter, found '\(name)'")
        }
    }

    /// Every identifier needs a filter, and every filter a use.
    func check(used identifiers: Set<String>, update: DocumentView) throws(ServerError) {
        for identifier in identifiers.sorted() where filters[identifier] == nil {
            throw ServerError(.badValue, "No array filter found for identifier '\(identifier)' in the update's paths")
        }
        for identifier in filters.keys.sorted() where !identifiers.contains(identifier) {
            throw ServerError(
                .failedToParse,
                "The array filter for identifier '\(identifier)' was not used in the update "
                    + ValueText.document(update.document))
        }
    }
}
