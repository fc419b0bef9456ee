import BSON
import Core

/// Reads projections and refuses those that MongoDB refuses.
struct ProjectionParser {
    private let context: QueryContext
    private(set) var root = ProjectionNode()
    private(set) var hasPositional = false
    private(set) var isSimple = true
    private var hasElementMatch = false
    /// Nil until a field decides it.
    private var inclusion: Bool?
    /// What was said about `_id`, if anything.
    private var includesID: Bool?

    /// Whether this is `$project` of a pipeline, which knows no operators of its own.
    private let isStage: Bool

    init(context: QueryContext, isStage: Bool = false) {
        self.context = context
        self.isStage = isStage
    }

    /// Whether unnamed fields are left out.
    private(set) var isInclusion = false

    mutating func parse(_ document: DocumentView) throws(ServerError) {
        for element in document { try field(element, prefix: "", depth: 0) }
        if let inclusion {
            isInclusion = inclusion
        } else if let includesID {
            isInclusion = includesID || hasElementMatch
        } else {
            isInclusion = hasElementMatch
        }
        guard root.entry(named: "_id") == nil else { return }
        if isInclusion, includesID ?? true {
            root.add(ProjectionNode.Entry(name: "_id", action: .include))
        } else if !isInclusion, includesID == false {
            root.add(ProjectionNode.Entry(name: "_id", action: .exclude))
        }
    }

    private mutating func field(
        _ element: DocumentView.Element, prefix: String, depth: Int
    ) throws(ServerError) {
        let path = prefix + element.key.string
        let value = element.value
        if path.hasSuffix(".$"), !(value.type == .bool || value.type.isNumber) {
            throw value.type == .document
                ? ServerError(
                    ErrorCode(rawValue: 31271), "positional projection cannot be used with an expression or sub object")
                : ServerError(
                    ErrorCode(rawValue: 31308), "positional projection cannot be used with a literal")
        }
        if let document = value.asDocument {
            try self.document(document, value, path: path, depth: depth)
        } else if value.type == .bool || value.type.isNumber {
            try flag(value.isTruthy, path: path)
        } else {
            try computed(value, path: path)
        }
    }

    // MARK: Kinds of values

    private mutating func flag(_ isIncluded: Bool, path: String) throws(ServerError) {
        if path == "_id" {
            // `_id: 0` goes with an inclusion; `_id: 1` decides like any other field.
            if !isIncluded || inclusion == true {
                includesID = isIncluded
                return
            }
            if inclusion == false {
                throw ServerError(
                    ErrorCode(rawValue: 31253), "Cannot do inclusion on field _id in exclusion projection")
            }
            includesID = true
            inclusion = true
            return
        }
        if path.hasSuffix(".$") { return try positional(isIncluded, path: path) }
        try decide(isIncluded, path: path)
        try insert(isIncluded ? .include : .exclude, path: path)
    }

    private mutating func decide(_ isIncluded: Bool, path: String) throws(ServerError) {
        guard let inclusion else {
            self.inclusion = isIncluded
            return
        }
        guard inclusion != isIncluded else { return }
        throw isIncluded
            ? ServerError(ErrorCode(rawValue: 31253), "Cannot do inclusion on field \(path) in exclusion projection")
            : ServerError(ErrorCode(rawValue: 31254), "Cannot do exclusion on field \(path) in inclusion projection")
    }

    private mutating func positional(_ isIncluded: Bool, path: String) throws(ServerError) {
        guard isIncluded, inclusion != false else {
            throw ServerError(ErrorCode(rawValue: 31395), "positional projection cannot be used with exclusion")
        }
        guard !hasPositional else {
            throw ServerError(
                ErrorCode(rawValue: 31276), "Cannot specify more than one positional projection per query.")
        }
        guard !hasElementMatch else {
            throw ServerError(ErrorCode(rawValue: 31256), "Cannot specify positional operator and $elemMatch.")
        }
        hasPositional = true
        inclusion = true
        isSimple = false
        let node = ProjectionNode()
        node.isPositional = true
        try insert(.nested(node), path: String(path.dropLast(2)), isPositional: true)
    }

    private mutating func document(
        _ document: DocumentView, _ value: ValueView, path: String, depth: Int
    ) throws(ServerError) {
        guard let first = document.first else {
            throw ServerError(
                ErrorCode(rawValue: 51270),
                "An empty sub-projection is not a valid value. Found empty object at path \(path)")
        }
        guard depth < Limits.documentDepthMax else {
            throw ServerError(.overflow, "a projection nests deeper than \(Limits.documentDepthMax) levels")
        }
        guard first.key.isOperator else {
            isSimple = false
            for element in document { try field(element, prefix: path + ".", depth: depth + 1) }
            return
        }
        isSimple = false
        guard document.fieldCount == 1 else {
            throw ServerError(
                ErrorCode(rawValue: 16410),
                "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
        }
        if isStage { return try computed(value, path: path) }
        switch first.key {
        case "$slice" where try isFindSlice(first.value):
            try insert(.slice(try ProjectionParser.slice(first.value)), path: path)
        case "$elemMatch": try elementMatch(first.value, path: path)
        case "$slice":
            try checkConstantSlice(first.value, value)
            try computed(value, path: path)
        case "$meta": try insert(.computed(try Expression(value, context: context)), path: path)
        default: try computed(value, path: path)
        }
    }

    private mutating func elementMatch(_ value: ValueView, path: String) throws(ServerError) {
        guard value.type == .document else {
            throw ServerError(
                ErrorCode(rawValue: 31274), "elemMatch: Invalid argument, object required, but got \(value.type)")
        }
        guard !hasPositional else {
            throw ServerError(ErrorCode(rawValue: 31255), "Cannot specify positional operator and $elemMatch.")
        }
        _ = try ProjectionParser.names(path)
        guard !path.contains(".") else {
            throw ServerError(ErrorCode(rawValue: 31275), "Cannot use $elemMatch projection on a nested field.")
        }
        for element in DocumentView(base: value.pointer) {
            switch element.key {
            case "$expr", "$where", "$text", "$sampleRate":
                throw ServerError(.badValue, "\(element.key.string) can only be applied to the top-level document")
            case "$jsonSchema":
                throw ServerError(ErrorCode(rawValue: 224), "$jsonSchema is not allowed in this context")
            default: break
            }
        }
        hasElementMatch = true
        let filter = try Filter(valueCondition: value, documentsAreFilters: true, context: context)
        try insert(.elementMatch(filter), path: path)
    }

    private mutating func computed(_ value: ValueView, path: String) throws(ServerError) {
        guard inclusion != false else {
            throw ServerError(
                ErrorCode(rawValue: value.type == .document ? 31252 : 31310),
                "Cannot use expression other than $meta in exclusion projection")
        }
        isSimple = false
        if path == "_id" { includesID = true }
        inclusion = true
        do throws(ServerError) {
            try insert(.computed(try Expression(value, context: context)), path: path)
        } catch {
            // The top of a projection is no expression, so its unknown names are told apart.
            guard error.code == .invalidPipelineOperator, let name = value.asDocument?.first?.key.string,
                name != "$elemMatch",
                error.message.hasSuffix("'\(name)'")
            else { throw error }
            throw ServerError(ErrorCode(rawValue: 31325), "Invalid $project :: caused by :: Unknown expression \(name)")
        }
    }

    // MARK: $slice

    /// An expression of constants that fails, fails at once.
    private func checkConstantSlice(_ arguments: ValueView, _ value: ValueView) throws(ServerError) {
        let isConstant = arguments.asArray?.allSatisfy { $0.value.type.isNumber || $0.value.type == .null } ?? false
        guard isConstant else { return }
        _ = try Document().withChecked { (root) throws(ServerError) in
            try Expression(value, context: context).evaluate(root: root)
        }
    }

    /// A number, or a number and a positive one; any other list is the expression of the same name.
    private func isFindSlice(_ value: ValueView) throws(ServerError) -> Bool {
        guard let list = value.asArray else { return true }
        let numbers = list.map { ProjectionParser.sliceNumber($0.value) }
        guard numbers.count == 2, numbers[0] != nil, let limit = numbers[1] else { return numbers.isEmpty }
        return limit > 0
    }

    /// A number cut to whole, and to 32 bits; NaN is 0.
    private static func sliceNumber(_ value: ValueView) -> Int64? {
        guard let number = Number(Value(value)) else { return nil }
        let double = number.doubleValue
        if double.isNaN { return 0 }
        let whole = number.coercedInteger ?? (double < 0 ? .min : .max)
        return max(min(whole, Int64(Int32.max)), Int64(Int32.min))
    }

    private static func slice(_ value: ValueView) throws(ServerError) -> ProjectionSlice {
        if let count = ProjectionParser.sliceNumber(value) {
            return count < 0
                ? ProjectionSlice(skip: count, limit: .max) : ProjectionSlice(skip: 0, limit: count)
        }
        guard let list = value.asArray else {
            throw invalidSlice(value, "$slice only supports numbers and [x, y] arrays")
        }
        let numbers = list.map { ProjectionParser.sliceNumber($0.value) }
        guard numbers.count == 2, let skip = numbers[0], let limit = numbers[1] else {
            throw invalidSlice(value, "$slice array argument should be of form [skip, limit]")
        }
        guard limit > 0 else { throw invalidSlice(value, "$slice limit must be positive") }
        return ProjectionSlice(skip: skip, limit: limit)
    }

    private static func invalidSlice(_ value: ValueView, _ reason: String) -> ServerError {
        ServerError(
            ErrorCode(rawValue: 28667),
            "Invalid $slice syntax. The given syntax { $slice: \(ValueText.text(value)) } did not match the find() "
                + "syntax because :: \(reason)")
    }

    // MARK: The tree

    private mutating func insert(
        _ action: ProjectionAction, path: String, isPositional: Bool = false
    ) throws(ServerError) {
        let names = try ProjectionParser.names(path)
        if names.count > 1 { isSimple = false }
        var isComputed = false
        if case .computed = action { isComputed = true }
        if case .elementMatch = action { hasElementMatch = true }
        var node = root
        for (index, name) in names.dropLast().enumerated() {
            if let entry = node.entry(named: name) {
                guard case .nested(let next) = entry.action, !(next.isPositional && next.entries.isEmpty) else {
                    let rest = names[(index + 1)...].joined(separator: ".")
                    throw ServerError(.pathCollision, "Path collision at \(path) remaining portion \(rest)")
                }
                node = next
            } else {
                let next = ProjectionNode()
                node.add(ProjectionNode.Entry(name: name, action: .nested(next)))
                node = next
            }
            if isComputed { node.hasComputed = true }
            if isPositional { node.isPositional = true }
        }
        let last = names[names.count - 1]
        guard node.entry(named: last) == nil else {
            throw ServerError(ErrorCode(rawValue: 31250), "Path collision at \(path)")
        }
        node.add(ProjectionNode.Entry(name: last, action: action))
    }

    private static func names(_ path: String) throws(ServerError) -> [String] {
        guard !path.isEmpty else {
            throw ServerError(ErrorCode(rawValue: 40352), "FieldPath cannot be constructed with empty string")
        }
        guard !path.hasSuffix(".") else {
            throw ServerError(ErrorCode(rawValue: 40353), "FieldPath must not end with a '.'.")
        }
        let names = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard names.count <= 2 * Limits.documentDepthMax else {
            throw ServerError(.overflow, "FieldPath is too long")
        }
        for (index, name) in names.enumerated() {
            guard !name.isEmpty else {
                throw ServerError(ErrorCode(rawValue: 15998), "FieldPath field names may not be empty strings.")
            }
            guard name != "$" || index == 0 else {
                throw ServerError(
                    ErrorCode(rawValue: 31394),
                    "As of 4.4, it's illegal to specify positional operator in the middle of a path."
                        + "Positional projection may only be used at the end, for example: a.b.$. If the query "
                        + "previously used a form like a.b.$.d, remove the parts following the '$' and the results "
                        + "will be equivalent.")
            }
            guard !name.hasPrefix("$") || ["$id", "$ref", "$db"].contains(name) else {
                throw ServerError(
                    ErrorCode(rawValue: 16410),
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
            }
        }
        return names
    }
}
