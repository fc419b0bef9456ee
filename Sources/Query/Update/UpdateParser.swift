import BSON
import Core

/// Reads operator documents into trees of modifiers.
struct UpdateParser {
    private let context: QueryContext
    /// All modifiers but those of `$setOnInsert`.
    let updateRoot = UpdateNode(.fields)
    /// All modifiers.
    let insertRoot = UpdateNode(.fields)
    private(set) var usedIdentifiers: Set<String> = []
    /// Whether some path has a `$` for the element that the query matched.
    private(set) var needsPosition = false

    /// Whether conditions are asked about array elements.
    private(set) var hasConditions = false
    /// What they have said, where an operation comes back that was interrupted.
    let verdicts: ElementVerdicts?

    init(context: QueryContext) {
        self.context = context
        verdicts = context.budget.map { ElementVerdicts($0.value) }
    }

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
        if modifier is PullModifier { hasConditions = true }
        try insert(modifier, at: path, onlyOnInsert: name == "$setOnInsert")
    }

    private mutating func insert(
        _ modifier: any UpdateModifier, at path: UpdatePath, onlyOnInsert: Bool = false
    ) throws(ServerError) {
        try insertRoot.insert(modifier, at: path)
        if !onlyOnInsert { try updateRoot.insert(modifier, at: path) }
        for component in path.components {
            switch component {
            case .elements(let identifier):
                if !identifier.isEmpty {
                    usedIdentifiers.insert(identifier)
                    hasConditions = true
                }
            case .positional: needsPosition = true
            case .name: break
            }
        }
    }

    private func modifier(_ name: String, _ path: String, _ value: ValueView) throws(ServerError) -> any UpdateModifier
    {
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
        case "$pull": try PullModifier(path: path, value, verdicts, context: context)
        case "$pullAll": try PullModifier(path: path, all: value)
        default: try BitModifier(path: path, value)
        }
    }

    private mutating func addRename(_ source: UpdatePath, _ value: ValueView) throws(ServerError) {
        guard let to = value.asString else {
            throw ServerError(
                .badValue, "The 'to' field for $rename must be a string: \(source.dotted): \(ValueText.text(value))")
        }
        guard !to.utf8.contains(0) else {
            throw ServerError(
                location: 9_867_600, "The 'to' field for $rename cannot contain an embedded null byte")
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
        try insert(UnsetModifier(path: source.dotted), at: source)
        try insert(RenameTarget(path: to, source: sourcePath), at: target)
    }
}
