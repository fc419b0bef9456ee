import BSON
import Core

/// `$lookup`: adds to each document an array of those of another collection that belong to it, by the equality of two
/// fields, by a pipeline, or both.
///
/// The other collection is read once for each document, in slices: between two of them the document waits.
final class LookupStage: InnerStage {
    let source: any StageExecution
    private let reach: any PipelineReach
    /// Nil for a pipeline that makes its documents itself.
    private let namespace: Namespace?
    private let localField: String?
    private let foreignField: String?
    private let target: NestedField
    private let variables: [(name: String, expression: Expression)]
    private let pipeline: [Value]?
    /// The document that partners are looked for; the source is not asked before they are found.
    private var document: DocumentView?
    /// The search for them, whose results so far are in `found`.
    private var search: Search?
    private let found = ByteBuffer(capacity: 4096)
    private let output = ByteBuffer(capacity: 4096)

    init(_ source: any StageExecution, _ specification: Value, _ reach: any PipelineReach) throws {
        self.source = source
        guard let fields = specification.asDocument else {
            throw ServerError(.failedToParse, "the $lookup stage specification must be an object")
        }
        var from: String?
        var localField: String?
        var foreignField: String?
        var target: String?
        var variables: [(name: String, expression: Expression)] = []
        var pipeline: [Value]?
        for (key, value) in fields.fields {
            switch key {
            case "from": from = try LookupStage.string(key, value)
            case "localField": localField = try LookupStage.string(key, value)
            case "foreignField": foreignField = try LookupStage.string(key, value)
            case "as": target = try LookupStage.string(key, value)
            case "pipeline":
                guard let stages = value.asArray else { throw LookupStage.wrongType(key) }
                pipeline = stages
            case "let":
                guard let document = value.asDocument else { throw LookupStage.wrongType(key) }
                variables = try document.withView { view in
                    try view.map { ($0.key.string, try Expression($0.value, context: reach.context)) }
                }
            default: throw ServerError(.failedToParse, "unknown argument to $lookup: \(key)")
            }
        }
        let makesDocuments = pipeline.map { SubPipeline.beginsWithDocuments(Document(array: $0)) } ?? false
        guard from != nil || makesDocuments else { throw LookupStage.missing("from") }
        guard let target else { throw LookupStage.missing("as") }
        guard (localField == nil) == (foreignField == nil) else {
            throw ServerError(
                .failedToParse, "$lookup requires both or neither of 'localField' and 'foreignField' to be specified")
        }
        guard localField != nil || pipeline != nil else {
            throw ServerError(
                .failedToParse,
                "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified")
        }
        self.reach = try reach.nested()
        let namespace = try from.map { try Namespace(validating: reach.database, collection: $0) }
        self.namespace = namespace
        // A view is read by a pipeline, if an empty one.
        if pipeline == nil, let namespace, try reach.isView(namespace) { pipeline = [] }
        self.localField = localField
        self.foreignField = foreignField
        self.target = try NestedField(target)
        self.variables = variables
        self.pipeline = pipeline
        try checkPipeline()
    }

    private static func string(_ key: String, _ value: Value) throws(ServerError) -> String {
        guard let text = value.asString else { throw wrongType(key) }
        return text
    }
    private static func wrongType(_ key: String) -> ServerError {
        ServerError(.failedToParse, "the $lookup argument '\(key)' is of the wrong type")
    }
    private static func missing(_ key: String) -> ServerError {
        ServerError(.failedToParse, "missing '\(key)' option to $lookup stage specification")
    }

    /// A stage that is wrong is refused before the first document.
    private func checkPipeline() throws {
        guard let pipeline else { return }
        let stages = Document(array: pipeline)
        try SubPipeline.check(stages, of: "$lookup", refusal: 51047)
        var empty: [String: Value] = [:]
        for variable in variables { empty[variable.name] = .null }
        try reach.binding(empty).check(namespace, pipeline: stages)
    }

    func close() {
        endSearch()
        source.close()
    }

    func next() throws -> StageOutput {
        if document == nil {
            let next = try source.next()
            guard case .document(let document) = next else { return next }
            self.document = document
        }
        guard let document else { return .end }
        guard let matches = try matches(of: document) else { return .yield }
        self.document = nil
        output.removeAll(keeping: 1 << 20)
        target.set(
            ValueView(type: .array, pointer: matches.base, byteCount: matches.byteCount), in: document, to: output)
        return .document(DocumentView(base: UnsafeRawPointer(output.base)))
    }

    // MARK: Finding

    /// A read of the other collection under way.
    private struct Search {
        let source: any StageExecution
        var array: ArrayWriter
    }

    private func endSearch() {
        search?.source.close()
        search = nil
    }

    /// What belongs to `document`, an array; nil when the slice was used up first.
    private func matches(of document: DocumentView) throws -> DocumentView? {
        guard let source = try search?.source ?? begin(for: document) else { return nil }
        while true {
            switch try source.next() {
            case .document(let match):
                guard found.count + match.byteCount <= Limits.expressionValueBytesMax else { throw tooMuch }
                search?.array.append(match)
            case .yield: return nil
            case .end:
                search?.array.finish()
                endSearch()
                return DocumentView(base: UnsafeRawPointer(found.base))
            }
        }
    }

    private var tooMuch: ServerError {
        ServerError(
            .exceededMemoryLimit,
            "the documents of \(namespace?.fullName ?? "$documents") that one $lookup found exceed "
                + "\(Limits.expressionValueBytesMax) bytes")
    }

    private func begin(for document: DocumentView) throws -> (any StageExecution)? {
        found.removeAll(keeping: 1 << 20)
        guard let source = try open(for: document) else { return nil }
        search = Search(source: source, array: ArrayWriter(startingIn: found))
        return source
    }

    private func open(for document: DocumentView) throws -> (any StageExecution)? {
        guard let pipeline else {
            guard let namespace else { throw InvariantViolation("a $lookup has neither collection nor pipeline") }
            return try reach.open(namespace, filter: filter(for: document))
        }
        let values = try (reach.context.budget?.value).interruptibly { () throws(ServerError) in
            try bindings(for: document)
        }
        guard let values else { return nil }
        var stages = pipeline
        if localField != nil {
            // Behind the stage that makes the documents, where there is one.
            stages.insert(["$match": .document(filter(for: document))], at: namespace == nil ? 1 : 0)
        }
        return try reach.binding(values).open(namespace, pipeline: Document(array: stages))
    }

    private func bindings(for document: DocumentView) throws(ServerError) -> [String: Value?] {
        var values: [String: Value?] = [:]
        for variable in variables {
            values.updateValue(try variable.expression.evaluate(root: document), forKey: variable.name)
        }
        return values
    }

    /// The condition on the other collection: its field equals one of the values at the local field, or null for none.
    private func filter(for document: DocumentView) -> Document {
        guard let localField, let foreignField else { return Document() }
        let path = localField.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        let values = FieldValues.collect(document, path)
        switch values.count {
        case 0: return [foreignField: ["$eq": nil]]
        case 1: return [foreignField: ["$eq": values[0]]]
        default: return [foreignField: ["$in": .array(values)]]
        }
    }
}

/// The values at a field, those of arrays on the way and at its end one by one.
enum FieldValues {
    static func collect(_ document: DocumentView, _ path: [String]) -> [Value] {
        var values: [Value] = []
        collect(document, path[...], into: &values)
        return values
    }

    private static func collect(_ document: DocumentView, _ path: ArraySlice<String>, into values: inout [Value]) {
        guard let name = path.first, let value = document[name] else { return }
        let rest = path.dropFirst()
        if rest.isEmpty {
            if let array = value.asArray {
                for element in array { values.append(Value(element.value)) }
            } else {
                values.append(Value(value))
            }
        } else if let nested = value.asDocument {
            collect(nested, rest, into: &values)
        } else if let array = value.asArray {
            for element in array { if let nested = element.value.asDocument { collect(nested, rest, into: &values) } }
        }
    }
}
