public import BSON
public import Core

/// Says why a document does not match a validator, as `errInfo.details` has it.
///
/// Works on the validator as it was written, clause by clause: only when a document was refused, and not before.
public struct ValidationDetails {
    private let document: DocumentView
    private let context: QueryContext

    /// - Returns: what `errInfo.details` says of `document`, which does not match `validator`.
    public static func explain(
        _ validator: Document, _ document: DocumentView, context: QueryContext
    ) throws(ServerError) -> Document {
        let details = ValidationDetails(document: document, context: context)
        return try details.explain(all: try details.clauses(validator), isNegated: false)
    }

    /// One condition of a filter.
    private enum Clause {
        /// `$and`, `$or`, `$nor`.
        case logical(String, [Document])
        /// `$expr`, `$jsonSchema` and the like: stand by themselves.
        case plain(String, Value)
        /// An operator on a field; nil for a value that the field must be equal to.
        case field(String, String?, Value, options: Value?)
    }

    private func clauses(_ filter: Document) throws(ServerError) -> [Clause] {
        var clauses: [Clause] = []
        for (name, value) in filter.fields where name != "$comment" {
            if ["$and", "$or", "$nor"].contains(name) {
                clauses.append(.logical(name, (value.asArray ?? []).compactMap(\.asDocument)))
            } else if name.utf8.first == UInt8(ascii: "$") {
                clauses.append(.plain(name, value))
            } else if let operators = value.asDocument, operators.withView({ FilterParser.isOperators($0) }) {
                clauses.append(contentsOf: self.operators(name, operators))
            } else {
                clauses.append(.field(name, nil, value, options: nil))
            }
        }
        return clauses
    }

    private func operators(_ path: String, _ operators: Document) -> [Clause] {
        operators.fields.filter { $0.key != "$options" && $0.key != "$comment" }.map {
            .field(path, $0.key, $0.value, options: $0.key == "$regex" ? operators["$options"] : nil)
        }
    }

    // MARK: Clauses

    /// `isNegated`: the clauses hold and should not.
    private func explain(all clauses: [Clause], isNegated: Bool) throws(ServerError) -> Document {
        if clauses.count == 1 { return try explain(clauses[0], isNegated) }
        var entries = Explanations()
        for (index, clause) in clauses.enumerated() where try holds(clause) == isNegated {
            try entries.append(entry(index, try explain(clause, isNegated)))
        }
        return [
            "operatorName": "$and",
            isNegated ? "clausesSatisfied" : "clausesNotSatisfied": .documents(entries.entries),
        ]
    }

    private func entry(_ index: Int, _ details: Document) -> Document {
        ["index": .init(integerLiteral: Int64(index)), "details": .document(details)]
    }

    private func holds(_ clause: Clause) throws(ServerError) -> Bool { try matches(source(clause)) }

    private func matches(_ filter: Document) throws(ServerError) -> Bool {
        let compiled = try filter.compiled(context)
        return try compiled.matches(document)
    }

    private func source(_ clause: Clause) -> Document {
        switch clause {
        case .logical(let name, let branches): return [name: .documents(branches)]
        case .plain(let name, let value): return [name: value]
        case .field(let path, nil, let value, _): return [path: value]
        case .field(let path, let name?, let value, let options):
            var condition: Document = [name: value]
            if let options { condition.append("$options", options) }
            return [path: .document(condition)]
        }
    }

    private func explain(_ clause: Clause, _ isNegated: Bool) throws(ServerError) -> Document {
        switch clause {
        case .logical(let name, let branches): return try explain(name, branches, isNegated)
        case .plain(let name, let value): return try explain(name, value, isNegated)
        case .field(let path, "$not", let value, _):
            let inner: [Clause] =
                value.asDocument.map { operators(path, $0) } ?? [.field(path, nil, value, options: nil)]
            return [
                "operatorName": "$not", "details": .document(try explain(all: inner, isNegated: !isNegated)),
            ]
        case .field(let path, let name, let value, _):
            var details: Document = [
                "operatorName": .string(name ?? (value.type == .regex ? "$regex" : "$eq")),
                "specifiedAs": .document(source(clause)),
            ]
            let facts = FieldFacts(path: path, operation: details["operatorName"]?.asString ?? "", document: document)
            for (key, fact) in facts.reason(value, isNegated: isNegated).fields { details.append(key, fact) }
            return details
        }
    }

    private func explain(_ name: String, _ branches: [Document], _ isNegated: Bool) throws(ServerError) -> Document {
        // `$nor` turns its branches round; what is listed of `$and` and `$or` is what they are about.
        let isTurned = (name == "$nor") != isNegated
        var entries = Explanations()
        for (index, branch) in branches.enumerated() where try matches(branch) == isTurned {
            try entries.append(entry(index, try explain(all: try clauses(branch), isNegated: isTurned)))
        }
        return [
            "operatorName": .string(name),
            isTurned ? "clausesSatisfied" : "clausesNotSatisfied": .documents(entries.entries),
        ]
    }

    private func explain(_ name: String, _ value: Value, _ isNegated: Bool) throws(ServerError) -> Document {
        switch name {
        case "$jsonSchema":
            let filter = try Document(dictionaryLiteral: (name, value)).compiled(context)
            guard let node = filter.tree as? SchemaMatchNode else { break }
            var details: Document = ["operatorName": "$jsonSchema"]
            if let title = node.schema.title { details.append("title", .string(title)) }
            if let text = node.schema.description { details.append("description", .string(text)) }
            if isNegated {
                details.append("reason", "schema matched")
            } else {
                // Whoever asks does not come back: an explanation that is interrupted takes too long.
                var match = MatchDetails(progress: context.budget.map { MatchProgress($0.value) })
                details.append(
                    "schemaRulesNotSatisfied",
                    .documents(try node.schema.unsatisfied(ValueView(document), &match)))
            }
            return details
        case "$expr":
            let filter = try Document(dictionaryLiteral: (name, value)).compiled(context)
            guard let node = filter.tree as? ExpressionNode else { break }
            return [
                "operatorName": "$expr", "specifiedAs": [name: value],
                "reason": isNegated ? "expression did match" : "expression did not match",
                "expressionResult": try node.expression.evaluate(root: document) ?? .null,
            ]
        case "$alwaysTrue", "$alwaysFalse":
            return [
                "operatorName": .string(name), "specifiedAs": [name: value],
                "reason": isNegated ? "expression always evaluates to true" : "expression always evaluates to false",
            ]
        default: break
        }
        return ["operatorName": .string(name), "specifiedAs": [name: value], "reason": "expression did not match"]
    }
}

/// The parts of an explanation. Each may hold a copy of a large value: more of them than the whole may take are not
/// collected.
struct Explanations {
    private(set) var entries: [Document] = []
    private var byteCount = 0

    /// - Throws: `ExceededMemoryLimit` (146).
    mutating func append(_ entry: Document) throws(ServerError) {
        byteCount += entry.byteCount
        guard byteCount <= Limits.validationDetailsBytesMax else {
            throw ServerError(.exceededMemoryLimit, "the explanation of the failure is too large")
        }
        entries.append(entry)
    }
}

extension Document {
    fileprivate func compiled(_ context: QueryContext) throws(ServerError) -> Filter {
        let result = withView { view -> Result<Filter, ServerError> in
            do throws(ServerError) { return .success(try Filter(view, context: context)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
