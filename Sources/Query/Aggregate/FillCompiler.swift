import BSON
import Core

/// Reads `$fill`, which is windows for values between others, and `$set` for what is put in place of null.
struct FillCompiler {
    let context: QueryContext

    /// The stages that do its work.
    func compile(_ argument: ValueView) throws(ServerError) -> [PipelineStage.Action] {
        let name = "$fill"
        guard let document = argument.asDocument else {
            throw ServerError(
                .failedToParse,
                "the $fill stage specification must be an object, found \(argument.type.operatorName)")
        }
        var partition: Document?
        var sort: SortPattern?
        var output: DocumentView?
        for element in document {
            let value = element.value
            switch element.key {
            case "partitionBy", "partitionByFields":
                guard partition == nil else {
                    throw ServerError(
                        location: 6_050_204,
                        "Maximum one of 'partitionBy' and 'partitionByFields can be specified in '$fill'")
                }
                partition = try element.key == "partitionBy" ? partitionBy(value) : partitionByFields(value)
            case "sortBy":
                guard let pattern = value.asDocument else {
                    throw StageFields.wrongType(name, "sortBy", value, "object")
                }
                sort = try SortPattern(pattern)
            case "output":
                guard let fields = value.asDocument else {
                    throw StageFields.wrongType(name, "output", value, "object")
                }
                output = fields
            default: throw StageFields.unknown(name, element.key.string)
            }
        }
        guard let output else { throw StageFields.missing(name, "output") }
        guard !output.isEmpty else {
            throw ServerError(location: 6_050_203, "The 'output' field in '$fill' must be non-empty")
        }
        var windows = Document()
        var values = Document()
        for field in output { try add(field, &windows, &values) }
        return try actions(partition, sort, windows, values)
    }

    private func partitionBy(_ value: ValueView) throws(ServerError) -> Document {
        guard value.type == .string || value.type == .document else {
            throw StageFields.wrongType("$fill", "partitionBy", value, "[object, string]")
        }
        return Document { $0.append("by", value) }
    }

    /// One value of all the fields, absent ones absent.
    private func partitionByFields(_ value: ValueView) throws(ServerError) -> Document {
        guard let list = value.asArray else {
            throw StageFields.wrongType("$fill", "partitionByFields", value, "array")
        }
        var paths: [String] = []
        for item in list {
            guard let text = item.value.asString else {
                throw StageFields.wrongType("$fill", "partitionByFields", item.value, "string")
            }
            paths.append("$" + (try ExpressionPath(text).dotted))
        }
        return Document { writer in
            writer.document("by") { fields in
                for (index, path) in paths.enumerated() { fields.append(String(index), .string(path)) }
            }
        }
    }

    private func add(
        _ field: DocumentView.Element, _ windows: inout Document, _ values: inout Document
    ) throws(ServerError) {
        let path = field.key.string
        guard let document = field.value.asDocument else {
            throw StageFields.wrongType("$fill.output", path, field.value, "object")
        }
        for element in document where !(element.key == "value" || element.key == "method") {
            throw StageFields.unknown("$fill.output", element.key.string)
        }
        switch (document["value"], document["method"]) {
        case (let value?, nil): values.append(path, ["$ifNull": [.string("$" + path), Value(value)]])
        case (nil, let method?):
            switch method.asString {
            case "linear": windows.append(path, ["$linearFill": .string("$" + path)])
            case "locf": windows.append(path, ["$locf": .string("$" + path)])
            default:
                throw ServerError(location: 6_050_202, "Method must be either 'linear' or 'locf'")
            }
        default:
            throw ServerError(
                location: 6_050_200,
                "Each fill output specification must have exactly one of 'method' or 'value' fields")
        }
    }

    private func actions(
        _ partition: Document?, _ sort: SortPattern?, _ windows: Document, _ values: Document
    ) throws(ServerError) -> [PipelineStage.Action] {
        var actions: [PipelineStage.Action] = []
        if !windows.isEmpty {
            let by = try partition.flatMap { (written) throws(ServerError) -> Expression? in
                try written.withChecked { (view) throws(ServerError) in
                    try view.first.map { (element) throws(ServerError) in
                        try Expression(element.value, context: context)
                    }
                }
            }
            actions.append(
                .window(
                    try windows.withChecked { (view) throws(ServerError) in
                        try WindowSpecification(partition: by, sort: sort, output: view, context: context)
                    }))
        }
        if !values.isEmpty {
            let additions = try values.withChecked { (view) throws(ServerError) in
                try FieldAdditions(
                    "$set", ValueView(type: .document, pointer: view.base, byteCount: view.byteCount), context: context)
            }
            actions.append(.transform(additions))
        }
        return actions
    }
}
