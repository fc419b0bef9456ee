public import BSON
public import Core

/// `$push`, with `$each`, `$slice`, `$sort` and `$position`.
struct PushModifier: UpdateModifier {
    let path: String
    private var values: [Value]
    private var slice: Int?
    private var position: Int?
    private var order: ElementOrder?

    init(path: String, _ argument: ValueView) throws(ServerError) {
        self.path = path
        guard let document = argument.asDocument, let each = document["$each"] else {
            values = [Value(argument)]
            return
        }
        guard let list = each.asArray else {
            throw ServerError(
                .badValue,
                "The argument to $each in $push must be an array but it was of type: \(each.type.operatorName)")
        }
        values = list.map { Value($0.value) }
        for element in document {
            switch element.key {
            case "$each": break
            case "$slice": slice = try PushModifier.integer(element.value, "$slice")
            case "$position": position = try PushModifier.integer(element.value, "$position")
            case "$sort":
                guard element.value.asDocument != nil || element.value.type.isNumber else {
                    throw ServerError(
                        .badValue,
                        "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort "
                            + "embedded fields"
                    )
                }
                order = try ElementOrder(element.value)
            default: throw ServerError(.badValue, "Unrecognized clause in $push: \(element.key.string)")
            }
        }
    }

    private static func integer(_ value: ValueView, _ name: String) throws(ServerError) -> Int {
        guard let whole = value.asInteger else {
            throw ServerError(
                .badValue,
                "The value for \(name) must be an integer value but was given type: \(value.type.operatorName)")
        }
        return Int(max(min(whole, Int64(Int32.max)), Int64(Int32.min)))
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        if let existing, existing.type != .array {
            throw ServerError(
                .badValue,
                "The field '\(path)' must be an array but is of type \(existing.type.operatorName) in document "
                    + identity(document))
        }
        if existing != nil, slice == nil, position == nil, order == nil { return .appended(values) }
        var elements = existing?.asArray.map { $0.map { Value($0.value) } } ?? []
        if let position {
            let at = position < 0 ? max(0, elements.count + position) : min(position, elements.count)
            elements.insert(contentsOf: values, at: at)
        } else {
            elements += values
        }
        if let order { elements = stableSorted(elements) { order.order($0, $1) } }
        if let slice { elements = Array(slice >= 0 ? elements.prefix(slice) : elements.suffix(-slice)) }
        return .value(.array(elements))
    }
}

/// `$addToSet`, with `$each`.
struct AddToSetModifier: UpdateModifier {
    let path: String
    private let values: SortedValues

    init(path: String, _ argument: ValueView) throws(ServerError) {
        self.path = path
        guard let document = argument.asDocument, let first = document.first, first.key == "$each" else {
            values = Document { $0.append("0", argument) }.withView { SortedValues($0) }
            return
        }
        guard let list = first.value.asArray else {
            throw ServerError(
                .typeMismatch,
                "The argument to $each in $addToSet must be an array but it was of type "
                    + "\(first.value.type.operatorName)"
            )
        }
        guard document.fieldCount == 1 else {
            throw ServerError(
                .badValue, "Found unexpected fields after $each in $addToSet: \(ValueText.text(argument))")
        }
        values = SortedValues(list)
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        guard let existing else { return .value(.array(values.missing(from: .empty))) }
        guard let array = existing.asArray else {
            throw ServerError(
                .badValue,
                "Cannot apply $addToSet to non-array field. Field named '\(path)' has non-array type "
                    + existing.type.operatorName)
        }
        let missing = values.missing(from: array)
        return missing.isEmpty ? .unchanged : .appended(missing)
    }
}

/// `$pop`.
struct PopModifier: UpdateModifier {
    let path: String
    private let removesFirst: Bool

    init(path: String, _ argument: ValueView) throws(ServerError) {
        self.path = path
        guard argument.type.isNumber else {
            throw ServerError(.failedToParse, "Expected a number in: \(path): \(ValueText.text(argument))")
        }
        switch argument.asInteger {
        case 1: removesFirst = false
        case -1: removesFirst = true
        default: throw ServerError(.failedToParse, "$pop expects 1 or -1, found: \(ValueText.text(argument))")
        }
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        guard let existing else { return .unchanged }
        guard let array = existing.asArray else {
            throw ServerError(
                .typeMismatch,
                "Path '\(path)' contains an element of non-array type '\(existing.type.operatorName)'")
        }
        guard !array.isEmpty else { return .unchanged }
        let elements = array.map { Value($0.value) }
        return .value(.array(Array(removesFirst ? elements.dropFirst() : elements.dropLast())))
    }
}

/// `$pull`, `$pullAll`.
struct PullModifier: UpdateModifier {
    private enum Condition {
        /// Elements that equal one of these.
        case values(SortedValues)
        /// Elements that satisfy a condition, or, as documents, match a filter.
        case filter(Filter)
    }

    private let name: String
    let path: String
    private let condition: Condition
    private let verdicts: ElementVerdicts?

    /// `$pullAll`.
    init(path: String, all argument: ValueView) throws(ServerError) {
        guard let list = argument.asArray else {
            throw ServerError(
                .badValue, "$pullAll requires an array argument but was given a \(argument.type.operatorName)")
        }
        name = "$pullAll"
        self.path = path
        condition = .values(SortedValues(list))
        verdicts = nil
    }

    /// `$pull`.
    init(
        path: String, _ argument: ValueView, _ verdicts: ElementVerdicts?, context: QueryContext
    ) throws(ServerError) {
        name = "$pull"
        self.path = path
        self.verdicts = verdicts
        condition = .filter(
            try Filter(valueCondition: argument, documentsAreFilters: true, context: context))
    }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        guard let existing else { return .unchanged }
        guard let array = existing.asArray else {
            throw ServerError(.badValue, "Cannot apply \(name) to a non-array value")
        }
        var kept: [Value] = []
        var removed = false
        for element in array {
            if try matches(element.value) { removed = true } else { kept.append(Value(element.value)) }
        }
        return removed ? .value(.array(kept)) : .unchanged
    }

    private func matches(_ element: ValueView) throws(ServerError) -> Bool {
        switch condition {
        case .values(let values):
            return values.contains(element)
        case .filter(let filter):
            return try verdicts.ask(filter.shortSteps) { () throws(ServerError) in
                try filter.matchesInSteps(value: element)
            }
        }
    }
}

extension Document {
    /// Calls `body` with a view of the bytes; what it throws keeps its type.
    public func withChecked<R>(_ body: (DocumentView) throws(ServerError) -> R) throws(ServerError) -> R {
        try withView { view in Result { () throws(ServerError) in try body(view) } }.get()
    }
}
