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
        let name: ExpressionTree
        let input: ExpressionTree

        func evaluate(_ state: inout Never?, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
            // A field of the root is found in place: its bytes are not copied for one of them.
            if case .root = input, case .constant(.string(let name)) = self.name {
                scope.count(bytes: scope.root.byteCount)
                return scope.root[name].map { Value($0) }
            }
            let operands = try scope.evaluate([name, input])
            guard case .string(let name) = operands[0] else { throw notString(operands[0]) }
            guard let value = operands[1] else { return Value?.none }
            if isNullish(value) { return .null }
            guard case .document(let document) = value else { return nil }
            return document[name]
        }
    }

    private static func notString(_ value: Value?) -> ServerError {
        ServerError(
            location: 3_041_704, "$getField requires 'field' to evaluate to type String, but got \(typeName(value))")
    }

    /// The name of a field as `$getField` takes it: any expression.
    private static func readName(
        _ value: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        let node = try compiler.compile(value)
        guard case .constant(let constant) = node else { return node }
        guard case .string(let name) = constant else { throw notString(constant) }
        guard !name.utf8.contains(0) else {
            throw ServerError(location: 9_527_900, "$getField: 'field' must not contain an embedded null byte")
        }
        return node
    }

    /// The constant name of a field, `"name"` or `{$literal: "name"}`.
    private static func fieldName(
        _ value: ValueView, _ operatorName: String, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> String {
        if let path = value.asString, path.utf8.first == UInt8(ascii: "$") {
            throw ServerError(
                location: 4_161_108,
                "\(operatorName): 'field' must be a constant, not a path; use $literal for '\(path)'")
        }
        let isLiteral = value.asDocument.map { $0.first?.key.isOperator ?? true } ?? (value.type != .array)
        guard case .constant(let constant) = try compiler.compile(value), isLiteral else {
            throw ServerError(
                location: 4_161_106, "\(operatorName) requires 'field' to evaluate to a constant")
        }
        guard case .string(let name) = constant else {
            throw ServerError(
                location: 4_161_107,
                "\(operatorName) requires 'field' to evaluate to type String, but got \(typeName(constant))")
        }
        // No document can hold such a name, whatever its length says.
        guard !name.utf8.contains(0) else {
            throw ServerError(location: 9_534_700, "\(operatorName): 'field' must not contain an embedded null byte")
        }
        return name
    }

    @Sendable private static func compileGet(
        _ argument: ValueView, _ compiler: ExpressionCompiler
    ) throws(ServerError) -> ExpressionTree {
        guard let document = argument.asDocument, !(document.first?.key.isOperator ?? false) else {
            return .form(GetField(name: try readName(argument, compiler), input: .root))
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
            GetField(name: try readName(field, compiler), input: try compiler.compile(input)))
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
        let missing: [String: Int32] = ["field": 4_161_102, "value": 4_161_103, "input": 4_161_109]
        for key in ["field", "value", "input"] where allowed.contains(key) && document[key] == nil {
            throw ServerError(location: missing[key] ?? 4_161_102, "\(name) requires '\(key)' to be specified")
        }
        guard let field = document["field"], let input = document["input"] else { return .constant(nil) }
        return .form(
            SetField(
                name: try fieldName(field, name, compiler), input: try compiler.compile(input),
                value: try document["value"].map { (value) throws(ServerError) in try compiler.compile(value) }
                    ?? .constant(nil)))
    }
}
