import BSON
import Core

/// Consecutive statements of one retryable command that have the same outcome.
struct StatementRun {
    let first: Int32
    private(set) var last: Int32
    let outcome: StatementOutcome

    init(first: Int32, last: Int32, outcome: StatementOutcome) {
        self.first = first
        self.last = last
        self.outcome = outcome
    }

    func contains(_ statement: Int32) -> Bool { statement >= first && statement <= last }

    /// Takes the next statement in when it has the same outcome.
    mutating func grow(by statement: Int32, _ outcome: StatementOutcome) -> Bool {
        guard statement > last, statement &- 1 == last, outcome == self.outcome else { return false }
        last = statement
        return true
    }

    // MARK: The stored form

    func write(to writer: DocumentWriter) {
        writer.append("first", int32: first)
        writer.append("last", int32: last)
        writer.append("kind", int32: outcome.kind.rawValue)
        writer.append("n", int32: outcome.n)
        writer.append("nModified", int32: outcome.nModified)
        if let upserted = outcome.upserted { writer.append("upserted", upserted) }
        if let image = outcome.image { writer.append("image", image) }
    }

    init(stored view: DocumentView) throws(InvariantViolation) {
        guard let first = view["first"]?.asInt32, let last = view["last"]?.asInt32,
            let kind = view["kind"]?.asInt32.flatMap(StatementOutcome.Kind.init(rawValue:)), let n = view["n"]?.asInt32,
            let nModified = view["nModified"]?.asInt32
        else { throw InvariantViolation("a stored run of statements is not readable") }
        self.init(
            first: first, last: last,
            outcome: StatementOutcome(
                kind: kind, n: n, nModified: nModified, upserted: view["upserted"]?.asDocument?.document,
                image: view["image"]?.asDocument?.document))
    }
}
