import BSON
import Core

/// Reads operator documents into trees of modifiers.
struct UpdateParser {
    private let context: QueryContext
    /// All modifiers but those of `$setOnInsert`.
    let updateRoot = UpdateNode(.fields)
    /// All modifiers.
    let insertRoot = UpdateNode(.fields)
    private(set) var renames: [(source: ExpressionPath, target: UpdatePath)] = []
    private(set) var usedIdentifiers: Set<String> = []
    /// Whether some path has a `$` for the element that the query matched.
    private(set) var needsPosition = false

    init(context: QueryContext) { self.context = context }

    mutating func parse(_ update: DocumentView) throws(ServerError) {
        for element in update {
            let name = element.key.string
            guard UpdateParser.operators.contains(name) else {
                throw ServerError(
                    .failedToParse,
                    "Unknown modifier: \(name). Expected a valid update modifier or pipeline-style update specified as "
                        + "an array")
            }
            guard let fields = element.value.asDocument else {
                throw ServerError(
                    .failedToParse,
                    "Modifiers operate on fields but we found type \(element.value.type.operatorName) instead. For "
                        + "example: {$mod: {<field>: ...}} not {\(name): \(ValueText.text(element.value))}")
            }
            for field in fields { try add(name, field) }
        }
    }

    private static let operators: Set<String> = [
        "$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$setOnInsert", "$currentDate", "$push",
        "$addToSet", "$pop", "$pull", "$pullAll", "$bit",
    ]

    private mutating func add(_ name: String, _ field: DocumentView.Element) throws(ServerError) {
        let path = try UpdatePath(field.key.string)
        if name == "$rename" { return try addRename(path, field.value) }
        let modifier = try modifier(name, path.dotted, field.value)
        try insert(modifier, at: path, onlyOnInsert: name == "$setOnInsert")
    }

    private mutating func insert(
        _ modifier: any UpdateModifier, at path: UpdatePath, onlyOnInsert: Bool = false
    ) throws(ServerError) {
        try insertRoot.insert(modifier, at: path)
        if !onlyOnInsert { try updateRoot.insert(modifier, at: path) }
        for component in path.components {
            switch component {
            case .elements(let identifier): if !identifier.isEmpty { usedIdentifiers.insert(identifier) }
            case .positional: needsPosition = true
            case .name: break
            }
        }
    }

    private func modifier(_ name: String, _ path: String, _ value: ValueView) throws(ServerError) -> any UpdateModifier {
        switch name {
        case "$set", "$setOnInsert": SetModifier(path: path, value)
        case "$unset": UnsetModifier(path: path)
        case "$inc": try ArithmeticModifier(path: path, value, isProduct: false)
        case "$mul": try ArithmeticModifier(path: path, value, isProduct: true)
        case "$min": ExtremeModifier(path: path, value, keepsGreatest: false)
        case "$max": ExtremeModifier(path: path, value, keepsGreatest: true)
        case "$currentDate": try CurrentDateModifier(path: path, value, context: context)
        case "$push": try PushModifier(path: path, value)
        case "$addToSet": try AddToSetModifier(path: path, value)
        case "$pop": try PopModifier(path: path, value)
        case "$pull": try PullModifier(path: path, value, context: context)
        case "$pullAll": try PullModifier(path: path, all: value)
        default: try BitModifier(path: path, value)
        }
    }

    private mutating func addRename(_ source: UpdatePath, _ value: ValueView) throws(ServerError) {
        guard let to = value.asString else {
            throw ServerError(
                .badValue, "The 'to' field for $rename must be a string: \(source.dotted): \(ValueText.text(value))")
        }
        let target = try UpdatePath(to)
        guard source.isStatic else {
            throw ServerError(.badValue, "The source field for $rename may not be dynamic: \(source.dotted)")
        }
        guard target.isStatic else {
            throw ServerError(.badValue, "The destination field for $rename may not be dynamic: \(to)")
        }
        guard source.dotted != to else {
            throw ServerError(
                .badValue, "The source and target field for $rename must differ: \(source.dotted): \"\(to)\"")
        }
        let names = source.components.map { component -> [UInt8] in
            if case .name(let name) = component { name } else { [] }
        }
        let sourcePath = ExpressionPath(components: names)
        try insert(RenameSource(path: source.dotted), at: source)
        try insert(RenameTarget(path: to, source: sourcePath), at: target)
        renames.append((sourcePath, target))
    }
}

/// The source of a `$rename`: it goes, wherever its value went.
struct RenameSource: UpdateModifier {
    let path: String
    var ignoresUnreachablePath: Bool { true }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        existing == nil ? .unchanged : .removed
    }
}

/// The target of a `$rename`: what the document had at the source, if anything.
struct RenameTarget: UpdateModifier {
    let path: String
    let source: ExpressionPath
    // Checked by hand: a rename of a field that is not there does nothing at all.
    var ignoresUnreachablePath: Bool { false }

    func apply(to existing: ValueView?, in document: DocumentView) throws(ServerError) -> ModifierResult {
        var value = document
        for (index, name) in source.components.enumerated() {
            let found = try name.withName { (name) throws(ServerError) in value.find(name.start, count: name.count) }
            guard let found else { return .unchanged }
            if index + 1 == source.components.count { return .view(found) }
            if found.type == .array {
                throw ServerError(
                    .badValue,
                    "The source field cannot be an array element, '\(source.dotted)' in doc with "
                        + "_id: \(document["_id"].map { ValueText.text($0) } ?? "missing") has an array field called "
                        + "'\(String(decoding: name, as: UTF8.self))'")
            }
            guard let nested = found.asDocument else { return .unchanged }
            value = nested
        }
        return .unchanged
    }
}
