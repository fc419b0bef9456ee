public import BSON
public import Core

/// A compiled aggregation expression.
public final class Expression {
    /// Compiles an expression: a literal, a `"$path"`, a `"$$variable"`, or an operator document.
    public init(_ value: ValueView, context: QueryContext) throws(ServerError) {}

    /// The expression's value over `root`; nil when it is missing (a path that leads nowhere, `$$REMOVE`).
    public func evaluate(root: DocumentView) throws(ServerError) -> Value? { nil }
}
