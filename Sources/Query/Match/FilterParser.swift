import BSON
import Core

/// What a field's condition says, before it is known whether it is about a path or about one value.
indirect enum Condition {
    case test(ValuePredicate)
    case not(Condition)
    case all([Condition])
    /// Matches nothing, as `$all: []` does.
    case never

    /// The condition on what a path leads to. Each test looks at the path anew, so that two tests may be met by two
    /// elements of an array.
    func node(_ path: CompiledPath) -> MatchNode {
        switch self {
        case .test(let predicate): PathNode(path, predicate)
        case .not(let condition): NotNode(condition.node(path))
        case .all(let conditions):
            conditions.count == 1 ? conditions[0].node(path) : AndNode(conditions.map { $0.node(path) })
        case .never: ConstantNode(false)
        }
    }

    /// The condition on one value: all tests look at the same one.
    var predicate: ValuePredicate {
        switch self {
        case .test(let predicate): predicate
        case .not(let condition): NotPredicate(condition.predicate)
        case .all(let conditions):
            conditions.count == 1 ? conditions[0].predicate : AllPredicate(conditions.map(\.predicate))
        case .never: TypePredicate([], source: .array([]))
        }
    }
}

/// Compiles filter documents. Views it keeps point into bytes that the caller keeps.
struct FilterParser {
    let context: QueryContext

    /// A document of fields and of `$and`, `$or`, … : all of them must hold.
    func conjunction(_ document: DocumentView, depth: Int = 0) throws(ServerError) -> MatchNode {
        guard depth < Limits.filterDepthMax else {
            throw ServerError(.badValue, "exceeded maximum query tree depth of \(Limits.filterDepthMax)")
        }
        var children: [MatchNode] = []
        for element in document {
            if element.key.isOperator {
                if let node = try logical(element, depth: depth) { children.append(node) }
                continue
            }
            let name = element.key.string
            let condition = try condition(element.value, field: name, depth: depth + 1)
            let path = try CompiledPath.checked(name)
            if case .all(let conditions) = condition {
                children.append(contentsOf: conditions.map { $0.node(path) })
            } else {
                children.append(condition.node(path))
            }
        }
        return children.count == 1 ? children[0] : AndNode(children)
    }

    // MARK: Operators in place of a field

    private func logical(_ element: DocumentView.Element, depth: Int) throws(ServerError) -> MatchNode? {
        let value = element.value
        switch element.key {
        case "$and": return AndNode(try branches(value, "$and", depth: depth))
        case "$or": return OrNode(try branches(value, "$or", depth: depth))
        case "$nor": return NorNode(try branches(value, "$nor", depth: depth))
        case "$expr": return try ExpressionNode(value, context: context)
        case "$jsonSchema": return try SchemaMatchNode(value)
        case "$comment": return nil
        case "$sampleRate": return try SampleRateNode(value, context: context)
        case "$alwaysTrue": return ConstantNode(true)
        case "$alwaysFalse": return ConstantNode(false)
        default:
            let name = element.key.string
            if let error = MissingOperators.refusal(of: name, in: MissingOperators.queries, code: .commandNotSupported)
            {
                throw error
            }
            throw ServerError(
                .badValue,
                "unknown top level operator: \(element.key.string). If you have a field name that starts with a '$' "
                    + "symbol, consider using $getField or $setField.")
        }
    }

    private func branches(_ value: ValueView, _ name: String, depth: Int) throws(ServerError) -> [MatchNode] {
        guard let list = value.asArray else { throw ServerError(.badValue, "\(name) must be an array") }
        guard !list.isEmpty else { throw ServerError(.badValue, "$and/$or/$nor must be a nonempty array") }
        var nodes: [MatchNode] = []
        for element in list {
            guard let document = element.value.asDocument else {
                throw ServerError(.badValue, "$or/$and/$nor entries need to be full objects")
            }
            nodes.append(try conjunction(document, depth: depth + 1))
        }
        return nodes
    }

    // MARK: A field's value

    /// What `{field: value}` means: operators, a regular expression, or equality.
    func condition(_ value: ValueView, field: String, depth: Int) throws(ServerError) -> Condition {
        if let document = value.asDocument, FilterParser.isOperators(document) {
            return .all(try operators(document, field: field, depth: depth))
        }
        return .test(try FilterParser.equality(value))
    }

    /// Whether a document holds operators; a DBRef (`$ref`, `$id`, `$db`) is a value.
    static func isOperators(_ document: DocumentView) -> Bool {
        guard let first = document.first, first.key.isOperator else { return false }
        switch first.key {
        case "$ref", "$id", "$db": return false
        default: return true
        }
    }

    /// Implicit equality: a regular expression matches strings, everything else is compared.
    static func equality(_ value: ValueView) throws(ServerError) -> ValuePredicate {
        if value.type == .undefined { throw ServerError(.badValue, "cannot compare to undefined") }
        guard let (pattern, options) = value.asRegex else { return ComparisonPredicate(.equal, value) }
        return RegexPredicate(try RegularExpression(pattern: pattern, options: options))
    }

    func operators(_ document: DocumentView, field: String, depth: Int) throws(ServerError) -> [Condition] {
        guard depth < Limits.filterDepthMax else {
            throw ServerError(.badValue, "exceeded maximum query tree depth of \(Limits.filterDepthMax)")
        }
        var conditions: [Condition] = []
        for element in document {
            if let condition = try fieldOperator(element, in: document, field: field, depth: depth) {
                conditions.append(condition)
            }
        }
        return conditions
    }

    private func fieldOperator(
        _ element: DocumentView.Element, in siblings: DocumentView, field: String, depth: Int
    ) throws(ServerError) -> Condition? {
        let value = element.value
        switch element.key {
        case "$eq":
            if value.type == .undefined { throw ServerError(.badValue, "cannot compare to undefined") }
            return .test(ComparisonPredicate(.equal, value))
        case "$ne":
            if value.type == .regex { throw ServerError(.badValue, "Can't have regex as arg to $ne.") }
            return .not(.test(try comparison(.equal, value, field)))
        case "$lt": return .test(try comparison(.less, value, field))
        case "$lte": return .test(try comparison(.lessOrEqual, value, field))
        case "$gt": return .test(try comparison(.greater, value, field))
        case "$gte": return .test(try comparison(.greaterOrEqual, value, field))
        case "$in": return .test(try FilterArguments.oneOf(value, "$in"))
        case "$nin": return .not(.test(try FilterArguments.oneOf(value, "$nin")))
        case "$not": return .not(try negated(value, field: field, depth: depth))
        case "$exists": return value.isTruthy ? .test(ExistsPredicate()) : .not(.test(ExistsPredicate()))
        case "$type": return .test(try FilterArguments.types(value))
        case "$size": return .test(try FilterArguments.size(value))
        case "$mod": return .test(try FilterArguments.modulo(value))
        case "$all": return try all(value, field: field, depth: depth)
        case "$elemMatch": return .test(try elementMatch(value, field: field, depth: depth))
        case "$regex": return .test(try FilterArguments.regex(value, options: siblings["$options"]))
        case "$options":
            guard siblings["$regex"] != nil else { throw ServerError(.badValue, "$options needs a $regex") }
            return nil
        case "$bitsAllSet": return .test(try BitsPredicate(.allSet, value))
        case "$bitsAnySet": return .test(try BitsPredicate(.anySet, value))
        case "$bitsAllClear": return .test(try BitsPredicate(.allClear, value))
        case "$bitsAnyClear": return .test(try BitsPredicate(.anyClear, value))
        case "$comment": return nil
        default:
            let name = element.key.string
            throw MissingOperators.refusal(of: name, in: MissingOperators.queries, code: .commandNotSupported)
                ?? ServerError(.badValue, "unknown operator: \(element.key.string)")
        }
    }

    private func comparison(
        _ operation: ComparisonOperator, _ value: ValueView, _ field: String
    ) throws(ServerError) -> ValuePredicate {
        switch value.type {
        case .undefined: throw ServerError(.badValue, "cannot compare to undefined")
        case .regex: throw ServerError(.badValue, "Can't have RegEx as arg to predicate over field '\(field)'.")
        default: return ComparisonPredicate(operation, value)
        }
    }

    private func negated(_ value: ValueView, field: String, depth: Int) throws(ServerError) -> Condition {
        if value.type == .regex { return .test(try FilterParser.equality(value)) }
        guard let document = value.asDocument else {
            throw ServerError(.badValue, "$not needs a regex or a document")
        }
        guard !document.isEmpty else { throw ServerError(.badValue, "$not cannot be empty") }
        return .all(try operators(document, field: field, depth: depth + 1))
    }

    private func all(_ value: ValueView, field: String, depth: Int) throws(ServerError) -> Condition {
        guard let list = value.asArray else { throw ServerError(.badValue, "$all needs an array") }
        var conditions: [Condition] = []
        var elementMatches = 0
        for element in list {
            if let document = element.value.asDocument, let first = document.first, first.key.isOperator,
                FilterParser.isOperators(document)
            {
                guard first.key == "$elemMatch" else { throw ServerError(.badValue, "no $ expressions in $all") }
                elementMatches += 1
                conditions.append(.test(try elementMatch(first.value, field: field, depth: depth + 1)))
            } else {
                conditions.append(.test(try FilterParser.equality(element.value)))
            }
        }
        guard elementMatches == 0 || elementMatches == conditions.count else {
            throw ServerError(.badValue, "$all/$elemMatch has to be consistent")
        }
        return conditions.isEmpty ? .never : .all(conditions)
    }

    private func elementMatch(_ value: ValueView, field: String, depth: Int) throws(ServerError) -> ValuePredicate {
        guard let document = value.asDocument else { throw ServerError(.badValue, "$elemMatch needs an Object") }
        guard depth < Limits.filterDepthMax else {
            throw ServerError(.badValue, "exceeded maximum query tree depth of \(Limits.filterDepthMax)")
        }
        try refuseWholeConditions(document)
        if FilterParser.isValueCondition(document) {
            let conditions = try operators(document, field: field, depth: depth + 1)
            return ElementMatchValuePredicate(Condition.all(conditions).predicate)
        }
        return ElementMatchObjectPredicate(try conjunction(document, depth: depth + 1))
    }

    /// Conditions on a whole document have no place in `$elemMatch`.
    private func refuseWholeConditions(_ document: DocumentView) throws(ServerError) {
        for element in document {
            switch element.key {
            case "$expr", "$where", "$text", "$sampleRate":
                throw ServerError(.badValue, "\(element.key.string) can only be applied to the top-level document")
            default: break
            }
        }
    }

    /// Whether a document's operators are about one value, and not `$and`, `$or`, … over fields.
    static func isValueCondition(_ document: DocumentView) -> Bool {
        guard isOperators(document), let first = document.first else { return false }
        switch first.key {
        case "$and", "$or", "$nor", "$expr", "$where", "$alwaysTrue", "$alwaysFalse", "$jsonSchema", "$text":
            return false
        default: return true
        }
    }
}
