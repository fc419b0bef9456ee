import BSON
import Core

/// Compiles one stage; some become several.
struct StageCompiler {
    let context: QueryContext
    let isInFacet: Bool

    func compile(_ name: String, _ argument: ValueView) throws(ServerError) -> [PipelineStage] {
        if let transform = try DocumentTransforms.compile(name, argument, context: context) {
            return [stage(name, argument, .transform(transform))]
        }
        if name == "$sortByCount" { return try sortByCount(argument) }
        if name == "$fill" {
            return try FillCompiler(context: context).compile(argument).map { stage(name, argument, $0) }
        }
        return [stage(name, argument, try action(name, argument))]
    }

    private func stage(_ name: String, _ argument: ValueView, _ action: PipelineStage.Action) -> PipelineStage {
        PipelineStage(name: name, specification: Value(argument), action: action)
    }

    private func action(_ name: String, _ argument: ValueView) throws(ServerError) -> PipelineStage.Action {
        switch name {
        case "$match":
            guard let filter = argument.asDocument else {
                throw ServerError(location: 15959, "the match filter must be an expression in an object")
            }
            return .match(try Filter(filter, context: context))
        case "$group": return .group(try GroupSpecification(argument, context: context))
        case "$bucket": return .group(try BucketCompiler(context: context).compile(argument))
        case "$sort":
            guard let document = argument.asDocument else {
                throw ServerError(location: 15973, "the $sort key specification must be an object")
            }
            guard !document.isEmpty else {
                throw ServerError(location: 15976, "$sort stage must have at least one sort key")
            }
            return .sort(try SortPattern(document))
        case "$limit": return .limit(try limit(argument))
        case "$skip": return .skip(try skip(argument))
        case "$unwind": return .unwind(try UnwindSpecification(argument))
        case "$count": return .count(try countName(argument))
        case "$sample": return try sample(argument)
        case "$setWindowFields": return .window(try WindowSpecification(argument, context: context))
        case "$bucketAuto": return .bucketAuto(try BucketAutoSpecification(argument, context: context))
        case "$densify": return .densify(try DensifySpecification(argument))
        case "$redact": return .redact(try RedactStage.compile(argument, context: context))
        case "$facet": return .facet(try facets(argument))
        default:
            if StageNames.external.contains(name) { return .external }
            throw MissingOperators.refusal(of: name, in: MissingOperators.stages) ?? StageNames.unrecognized(name)
        }
    }

    private func limit(_ argument: ValueView) throws(ServerError) -> Int64 {
        guard let count = argument.asInteger else {
            throw ServerError(
                location: 5_107_201,
                "invalid argument to $limit stage: Expected an integer: $limit: \(ValueText.text(argument))")
        }
        guard count >= 0 else {
            throw ServerError(
                location: 5_107_201,
                "invalid argument to $limit stage: Expected a non-negative number in: $limit: "
                    + ValueText.text(argument))
        }
        guard count > 0 else { throw ServerError(location: 15958, "the limit must be positive") }
        return count
    }

    private func skip(_ argument: ValueView) throws(ServerError) -> Int64 {
        guard let count = argument.asInteger, count >= 0 else {
            throw ServerError(
                location: 5_107_200,
                "invalid argument to $skip stage: Expected a non-negative number in: $skip: \(ValueText.text(argument))"
            )
        }
        return count
    }

    private func countName(_ argument: ValueView) throws(ServerError) -> String {
        guard let name = argument.asString else {
            throw ServerError(location: 40156, "the count field must be a non-empty string")
        }
        guard !name.isEmpty else { throw ServerError(location: 40157, "the count field must be a non-empty string") }
        guard name.utf8.first != UInt8(ascii: "$") else {
            throw ServerError(location: 40158, "the count field cannot be a $-prefixed path")
        }
        guard !name.utf8.contains(0) else {
            throw ServerError(location: 40159, "the count field cannot contain a null byte")
        }
        guard !name.utf8.contains(UInt8(ascii: ".")) else {
            throw ServerError(location: 40160, "the count field cannot contain '.'")
        }
        guard name != "_id" else {
            throw ServerError(location: 9_039_800, "the count field cannot be '_id'")
        }
        return name
    }

    private func sample(_ argument: ValueView) throws(ServerError) -> PipelineStage.Action {
        guard let document = argument.asDocument else {
            throw ServerError(location: 28745, "the $sample stage specification must be an object")
        }
        for element in document where !(element.key == "size") {
            throw ServerError(location: 28748, "unrecognized option to $sample: \(element.key.string)")
        }
        guard let value = document["size"] else {
            throw ServerError(location: 28749, "$sample stage must specify a size")
        }
        guard value.type.isNumber else {
            throw ServerError(location: 28746, "size argument to $sample must be a number")
        }
        guard let size = Number(Value(value))?.coercedInteger, size > 0 else {
            throw ServerError(location: 28747, "size argument to $sample must be a positive integer")
        }
        guard let random = context.random?.value else {
            throw ServerError(.notImplemented, "$sample is not available here")
        }
        return .sample(size: Int(min(size, Int64(Int32.max))), random)
    }

    private func sortByCount(_ argument: ValueView) throws(ServerError) -> [PipelineStage] {
        let isPath = argument.asString.map { $0.utf8.first == UInt8(ascii: "$") } ?? false
        let isExpression = argument.asDocument?.first?.key.isOperator ?? false
        guard isPath || isExpression else {
            let isString = argument.type == .string
            throw isString
                ? ServerError(
                    location: 40148,
                    "the sortByCount field must be defined as a $-prefixed path or an expression inside an object")
                : ServerError(location: 40149, "the sortByCount field must be specified as a string or as an object")
        }
        let group = Document { writer in
            writer.append("_id", argument)
            writer.document("count") { $0.append("$sum", int32: 1) }
        }
        let sort = Document { writer in writer.append("count", int32: -1) }
        return try compileWritten("$group", group) + compileWritten("$sort", sort)
    }

    private func compileWritten(_ name: String, _ specification: Document) throws(ServerError) -> [PipelineStage] {
        try specification.withChecked { (view) throws(ServerError) in
            try compile(name, ValueView(type: .document, pointer: view.base, byteCount: view.byteCount))
        }
    }

    /// Refuses stages that may not stand in a `$facet`, nor in the pipelines of stages there.
    private static func checkFacet(_ stages: DocumentView) throws(ServerError) {
        for element in stages {
            guard let stage = element.value.asDocument?.first else { continue }
            let name = stage.key.string
            guard StageNames.all.contains(name) else { continue }
            guard name != "$facet", StageNames.local.contains(name) || StageNames.joining.contains(name) else {
                throw ServerError(location: 40600, "\(name) is not allowed to be used within a $facet stage")
            }
            if let nested = stage.value.asDocument?["pipeline"]?.asArray { try checkFacet(nested) }
        }
    }

    private func facets(_ argument: ValueView) throws(ServerError) -> [(name: String, pipeline: Pipeline)] {
        guard !isInFacet else {
            throw ServerError(location: 40600, "$facet is not allowed to be used within a $facet stage")
        }
        guard let document = argument.asDocument, !document.isEmpty else {
            throw ServerError(location: 40169, "the $facet specification must be a non-empty object")
        }
        var facets: [(name: String, pipeline: Pipeline)] = []
        for element in document {
            try ExpressionPath.checkName(element.key.bytes)
            guard let stages = element.value.asArray else {
                throw ServerError(
                    location: 40170,
                    "arguments to $facet must be arrays, \(element.key.string) is type "
                        + "\(element.value.type.operatorName)"
                )
            }
            try StageCompiler.checkFacet(stages)
            let pipeline = try Pipeline(stages, context: context, isInFacet: true)
            facets.append((element.key.string, pipeline))
        }
        return facets
    }
}
