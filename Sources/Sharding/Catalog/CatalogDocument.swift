public import BSON
public import Core

/// A document of one of the config servers' collections: what it says as a value, with its encoding. Not a plug point.
public protocol CatalogDocument: Hashable, Sendable {
    /// Where documents of the kind are kept: the name in the database `config`.
    static var collection: String { get }
    /// As clients read it.
    var document: Document { get }
    /// Reads one.
    /// - Throws: `FailedToParse` that names the collection and the field that is missing or of another type.
    init(_ view: DocumentView) throws(ServerError)
}

extension CatalogDocument {
    /// The collection with its database.
    public static var namespace: Namespace { Namespace("config", collection) }

    /// Reads one that is stored.
    /// - Throws: as `init(_:)` of a view.
    public init(reading document: Document) throws(ServerError) {
        self = try document.withView { view in
            Result { () throws(ServerError) in try Self(view) }
        }.get()
    }

    static func malformed(_ field: String) -> ServerError {
        ServerError(.failedToParse, "A document of config.\(collection) has no usable '\(field)'")
    }
}

extension DocumentView {
    /// The string in a field of a stored document; nil for one that is missing or of another type.
    func string(_ field: StaticString) -> String? { self[field]?.asString }
}
