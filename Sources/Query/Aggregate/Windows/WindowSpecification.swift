import BSON
import Core

/// What `$setWindowFields` says.
struct WindowSpecification {
    /// Nil when all documents are one partition.
    let partition: Expression?
    /// Nil when partitions keep the order in which their documents come.
    let sort: SortPattern?
    let outputs: [WindowOutput]
    /// Writes the outputs into a document.
    let additions: FieldAdditions
    /// The path of the sort, where that is by one field.
    let position: ExpressionPath?

    init(_ argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(
                .failedToParse,
                "the $setWindowFields stage specification must be an object, found \(argument.type.operatorName)")
        }
        var partition: Expression?
        var sort: SortPattern?
        var output: DocumentView?
        for element in document {
            let value = element.value
            switch element.key {
            case "partitionBy":
                if value.type != .null { partition = try Expression(value, context: context) }
            case "sortBy":
                if value.type == .null { continue }
                guard let pattern = value.asDocument else {
                    throw StageFields.wrongType("$setWindowFields", "sortBy", value, "object")
                }
                sort = try SortPattern(pattern)
            case "output":
                guard let fields = value.asDocument else {
                    throw StageFields.wrongType("$setWindowFields", "output", value, "object")
                }
                output = fields
            default: throw StageFields.unknown("$setWindowFields", element.key.string)
            }
        }
        guard let output else { throw StageFields.missing("$setWindowFields", "output") }
        guard sort?.natural == nil else {
            throw ServerError(.badValue, "$natural sort is not allowed in $setWindowFields")
        }
        try self.init(partition: partition, sort: sort, output: output, context: context)
    }

    init(
        partition: Expression?, sort: SortPattern?, output: DocumentView, context: QueryContext
    ) throws(ServerError) {
        if case .constant = partition?.node { self.partition = nil } else { self.partition = partition }
        self.sort = sort
        let compiler = WindowFunctionCompiler(context: context, sort: sort)
        outputs = try output.map { (element) throws(ServerError) in try compiler.compile(element) }
        additions = try FieldAdditions(paths: outputs.map { $0.path })
        position = try sort.flatMap { (sort) throws(ServerError) -> ExpressionPath? in
            guard let field = sort.pattern.fields.first, sort.pattern.fields.count == 1 else { return nil }
            return try ExpressionPath(field.path.string)
        }
    }
}

/// What stages say of their fields that are wrong.
enum StageFields {
    static func wrongType(_ stage: String, _ field: String, _ value: ValueView, _ wanted: String) -> ServerError {
        ServerError(
            .typeMismatch,
            "BSON field '\(stage).\(field)' is the wrong type '\(value.type.operatorName)', expected type '\(wanted)'")
    }

    static func unknown(_ stage: String, _ field: String) -> ServerError {
        ServerError(location: 40415, "BSON field '\(stage).\(field)' is an unknown field.")
    }

    static func missing(_ stage: String, _ field: String) -> ServerError {
        ServerError(location: 40414, "BSON field '\(stage).\(field)' is missing but a required field")
    }
}
