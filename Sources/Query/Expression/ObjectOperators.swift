import BSON
import Core

/// `$mergeObjects`, `$getField`, `$setField`, `$unsetField`.
enum ObjectOperators {
    static let table: [String: OperatorEntry] = [
        "$mergeObjects": .variadic(merge),
        "$getField": .form(compileGet),
        "$setField": .form { (argument, compiler) throws(ServerError) in
            try compileSet("$setField", argument, compiler, hasValue: true)
        },
        "$unsetField": .form { (argument, compiler) throws(ServerError) in
            try compileSet("$unsetField", argument, compiler, hasValue: false)
        },
    ]

    private static func merge(_ operands: [Value?]) throws(ServerError) -> Value? {
        var fields = OrderedFields()
        for operand in operands {
            if isNullish(operand) { continue }
            // A single operand may be an array of documents.
            let documents = operands.count == 1 ? operand?.asArray ?? [operand ?? .null] : [operand ?? .null]
            for document in documents {
                if isNullish(document) { continue }
                guard case .document(let document) = document else {
                    throw ServerError(
                        location: 40400,
                        "$mergeObjects requires object inputs, but input is of type \(typeName(document))")
                }
                for field in document.fields { fields[field.key] = field.value }
            }
        }
        return .document(fields.document)
    }

    private struct GetField: ResumableForm {
        let name: String
        let input: ExpressionTree

        func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let value = try input.evaluate(&scope)
            guard let value else { return Value?.none }
            if isNullish(value) { return .null }
            guard case .document(let document) = value else { return nil }
            return document[name]
        }
    }

    /// The constant name of a field, `"name"` or `{$literal: "name"}`.
    private static func fieldName(
        _ value: ValueView, _ operatorName: String, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> String {
        guard case .constant(.some(.string(let name))) = try compiler.compile(value) else {
            throw ServerError(
                location: 5_654_600, "\(operatorName) requires 'field' to evaluate to a constant string")
        }
        // No document can hold such a name, whatever its length says.
        guard !name.utf8.contains(0) else {
            throw ServerError(location: 9_527_900, "\(operatorName): 'field' must not contain an embedded null byte")
        }
        return name
    }

    @Sendable private static func compileGet(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument, let first = document.first, !first.key.isOperator else {
            return .form(GetField(name: try fieldName(argument, "$getField", compiler), input: .root))
        }
        for element in document where !(element.key == "field" || element.key == "input") {
            throw ServerError(location: 3_041_701, "$getField found an unknown argument: \(element.key.string)")
        }
        guard let field = document["field"] else {
            throw ServerError(location: 3_041_702, "$getField requires 'field' to be specified")
        }
        guard let input = document["input"] else {
            throw ServerError(location: 3_041_703, "$getField requires 'input' to be specified")
        }
        return .form(
            GetField(name: try fieldName(field, "$getField", compiler), input: try compiler.compile(input)))
    }

    private struct SetField: ResumableForm {
        let name: String
        let input: ExpressionTree
        let value: ExpressionTree

        func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            let operands = try scope.evaluate([input, value])
            if isNullish(operands[0]) { return .null }
            guard case .document(var document) = operands[0] else {
                throw ServerError(location: 4_161_105, "$setField requires 'input' to evaluate to type Object")
            }
            document[name] = operands[1]
            return .document(document)
        }
    }

    private static func compileSet(
        _ name: String, _ argument: ValueView, _ compiler: ExpressionCompiler, hasValue: Bool
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 4_161_100, "\(name) requires an object as an argument, found: \(argument.type.operatorName)")
        }
        let allowed = hasValue ? ["field", "input", "value"] : ["field", "input"]
        for element in document where !allowed.contains(element.key.string) {
            throw ServerError(location: 4_161_101, "\(name) found an unknown argument: \(element.key.string)")
        }
        for key in allowed where document[key] == nil {
            throw ServerError(location: 4_161_102, "\(name) requires '\(key)' to be specified")
        }
        guard let field = document["field"], let input = document["input"] else { return .constant(nil) }
        return .form(
            SetField(
                name: try fieldName(field, name, compiler), input: try compiler.compile(input),
                value: try document["value"].map { (value) throws(ServerError) in try compiler.compile(value) }
                    ?? .constant(nil)))
    }
}
