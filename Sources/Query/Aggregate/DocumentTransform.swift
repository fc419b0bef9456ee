import BSON
import Core

/// A stage that makes one document of one document. Not a plug point: shared by pipelines and pipeline-style updates.
protocol DocumentTransform {
    /// Appends the new document to `buffer`.
    func apply(_ document: DocumentView, to buffer: ByteBuffer) throws(ServerError)
}

/// The transforming stages by their names.
enum DocumentTransforms {
    /// Compiles a stage; nil when the name is not one of a transforming stage.
    static func compile(
        _ name: String, _ argument: ValueView, context: QueryContext
    ) throws(ServerError) -> (any DocumentTransform)? {
        switch name {
        case "$set", "$addFields": return try FieldAdditions(name, argument, context: context)
        case "$project": return try ProjectionTransform(project: argument, context: context)
        case "$unset": return try ProjectionTransform(unset: argument, context: context)
        case "$replaceWith": return try RootReplacement(Expression(argument, context: context))
        case "$replaceRoot": return try RootReplacement(specification: argument, context: context)
        default: return nil
        }
    }
}

/// `$project`, `$unset`.
struct ProjectionTransform: DocumentTransform {
    private let projection: Projection

    init(project argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(location: 15969, "$project specification must be an object")
        }
        guard !document.isEmpty else {
            throw ServerError(
                location: 51272,
                "Invalid $project :: caused by :: projection specification must have at least one field")
        }
        let projection = try Projection(document, context: context, isStage: true)
        guard !projection.needsPosition else {
            throw ServerError(location: 31324, "Cannot use positional projection in aggregation projection")
        }
        self.projection = projection
    }

    init(unset argument: ValueView, context: QueryContext) throws(ServerError) {
        var paths: [String] = []
        if let path = argument.asString {
            paths = [path]
        } else if let list = argument.asArray {
            for element in list {
                guard let path = element.value.asString else {
                    throw ServerError(
                        location: 31120,
                        "$unset specification must be a string or an array containing only string values")
                }
                paths.append(path)
            }
            guard !paths.isEmpty else {
                throw ServerError(
                    location: 31119, "$unset specification must be a string or an array with at least one field")
            }
        } else {
            throw ServerError(location: 31002, "$unset specification must be a string or an array")
        }
        for path in paths { _ = try ExpressionPath(path) }
        let specification = Document { writer in for path in paths { writer.append(path, .int32(0)) } }
        projection = try specification.withChecked { (view) throws(ServerError) in
            try Projection(view, context: context)
        }
    }

    func apply(_ document: DocumentView, to buffer: ByteBuffer) throws(ServerError) {
        try projection.apply(document, to: buffer)
    }
}

/// `$replaceRoot`, `$replaceWith`.
struct RootReplacement: DocumentTransform {
    private let expression: Expression

    init(_ expression: Expression) { self.expression = expression }

    init(specification argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 40229,
                "expected an object as specification for $replaceRoot stage, got \(argument.type.operatorName)")
        }
        for element in document where !(element.key == "newRoot") {
            throw ServerError(
                .unknownField, "BSON field '$replaceRoot.\(element.key.string)' is an unknown field.")
        }
        guard let root = document["newRoot"] else {
            throw ServerError(location: 40231, "no newRoot specified for the $replaceRoot stage")
        }
        expression = try Expression(root, context: context)
    }

    func apply(_ document: DocumentView, to buffer: ByteBuffer) throws(ServerError) {
        let value = try expression.evaluate(root: document)
        guard case .document(let root) = value else {
            throw ServerError(
                location: 40228,
                "'newRoot' expression  must evaluate to an object, but resulting value was: "
                    + "\(value.map { ValueText.text($0) } ?? "MISSING"). Type of resulting value: "
                    + "'\(typeName(value))'. "
                    + "Input document: \(ValueText.document(document.document))")
        }
        buffer.append(root.bytes)
    }
}
