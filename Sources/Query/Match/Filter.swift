public import BSON
public import Core

/// A compiled query filter.
public final class Filter {
    /// Compiles a filter document. Owns what it needs of it.
    public init(_ document: DocumentView, context: QueryContext) throws(ServerError) {}

    /// Whether `document` matches. `$expr` errors surface here.
    public func matches(_ document: DocumentView) throws(ServerError) -> Bool { true }

    /// The same, and the index of the first array element that an array path matched at: what positional `$` means.
    public func matches(_ document: DocumentView, position: inout Int?) throws(ServerError) -> Bool { true }
}
