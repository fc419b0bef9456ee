import BSON
import Core
import Query

/// `$lookup`: adds to each document an array of those of another collection that belong to it, by the equality of two
/// fields, by a pipeline, or both.
///
/// The other collection is read once for each document, in slices: between two of them the document waits.
final class LookupStage: ReachingStage {
    private let reach: Reach
    private let namespace: Namespace
    private let localField: String?
    private let foreignField: String?
    private let target: String
    private let variables: [(name: String, expression: Expression)]
    private let pipeline: [Value]?
    private let input = ByteBuffer(capacity: 4096)
    private let found = ByteBuffer(capacity: 4096)
    /// The search for the document in `input`, whose results so far are in `found`.
    private var search: Search?

    init(_ specification: Value, _ reach: Reach) throws {
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
        guard let from else { throw LookupStage.missing("from") }
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
        namespace = try Namespace(validating: reach.database, collection: from)
        self.localField = localField
        self.foreignField = foreignField
        self.target = target
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
        var context = reach.context
        for variable in variables { context.variables[variable.name] = .null }
        _ = try Document(array: pipeline).withView { try Pipeline($0, context: context) }
    }

    func close() { endSearch() }

    func next(from source: StageInput, into buffer: ByteBuffer) throws -> PipelineProgress {
        if search == nil {
            input.removeAll(keeping: 1 << 20)
            let outcome = try source.next(into: input)
            guard case .document = outcome else { return outcome }
        }
        let document = DocumentView(base: UnsafeRawPointer(input.base))
        guard try collect(for: document, until: source.deadline) else { return .yield }
        try write(document, DocumentView(base: UnsafeRawPointer(found.base)), into: buffer)
        return .document
    }

    // MARK: Finding

    /// A read of the other collection under way.
    private struct Search {
        enum Cursor {
            case find(QueryCursor)
            case pipeline(AggregateCursor)
        }
        let cursor: Cursor
        var array: ArrayWriter

        mutating func next(maxBytes: Int, deadline: Instant) throws -> CursorProgress {
            switch cursor {
            case .find(let cursor):
                try cursor.next(into: &array, maxDocuments: .max, maxBytes: maxBytes, deadline: deadline)
            case .pipeline(let cursor):
                try cursor.next(into: &array, maxDocuments: .max, maxBytes: maxBytes, deadline: deadline)
            }
        }
    }

    private func endSearch() {
        switch search?.cursor {
        case .find(let cursor): cursor.close()
        case .pipeline(let cursor): cursor.close()
        case nil: break
        }
        search = nil
    }

    /// Gathers what belongs to `document` in `found`; false when the slice was used up first.
    private func collect(for document: DocumentView, until deadline: Instant) throws -> Bool {
        if search == nil {
            let cursor = try open(for: document)
            found.removeAll(keeping: 1 << 20)
            search = Search(cursor: cursor, array: ArrayWriter(startingIn: found))
        }
        let left = Limits.expressionValueBytesMax - found.count
        switch try search?.next(maxBytes: left, deadline: deadline) {
        case .yield: return false
        case .batchFull:
            throw ServerError(
                .exceededMemoryLimit,
                "the documents of \(namespace) that one $lookup found exceed \(Limits.expressionValueBytesMax) bytes")
        case .exhausted, .waiting, nil: break
        }
        search?.array.finish()
        endSearch()
        return true
    }

    private func open(for document: DocumentView) throws -> Search.Cursor {
        if pipeline == nil {
            let command = Document { $0.append("filter", filter(for: document)) }
            let request = try command.withView { try FindRequest(namespace, $0, context: reach.context) }
            return .find(try QueryCursor(reach.store, request, at: reach.point))
        }
        var values: [String: Value] = [:]
        for variable in variables { values[variable.name] = try variable.expression.evaluate(root: document) ?? .null }
        var stages = pipeline ?? []
        if localField != nil { stages.insert(["$match": .document(filter(for: document))], at: 0) }
        var context = reach.context
        for (name, value) in values { context.variables[name] = value }
        let bound = Reach(
            store: reach.store, database: reach.database, point: reach.point, context: context, depth: reach.depth)
        return .pipeline(
            try Document(array: stages).withView { try AggregateCursor(bound, namespace, pipeline: $0) })
    }

    /// The condition on the other collection: its field equals one of the values at the local field, or null for none.
    private func filter(for document: DocumentView) -> Document {
        guard let localField, let foreignField else { return Document() }
        var values: [Value] = []
        let path = localField.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        LookupStage.collect(document, path[...], into: &values)
        switch values.count {
        case 0: return [foreignField: ["$eq": nil]]
        case 1: return [foreignField: ["$eq": values[0]]]
        default: return [foreignField: ["$in": .array(values)]]
        }
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

    // MARK: Writing

    private func write(_ document: DocumentView, _ matches: DocumentView, into buffer: ByteBuffer) throws {
        guard !target.utf8.contains(UInt8(ascii: ".")) else { return try writeNested(document, matches, into: buffer) }
        let value = ValueView(type: .array, pointer: matches.base, byteCount: matches.byteCount)
        let writer = DocumentWriter(startingIn: buffer)
        var isWritten = false
        KeyView.with(target) { name in
            for element in document {
                if element.key == name {
                    writer.append(name, value)
                    isWritten = true
                } else {
                    writer.append(element.key, element.value)
                }
            }
            if !isWritten { writer.append(name, value) }
        }
        writer.finish()
    }

    /// A dotted target goes where `$addFields` would put it.
    private func writeNested(_ document: DocumentView, _ matches: DocumentView, into buffer: ByteBuffer) throws {
        let stage: Value = ["$addFields": [target: ["$literal": .array(matches.document)]]]
        let pipeline = try Document(array: [stage]).withView { try Pipeline($0, context: reach.context) }
        let execution = try pipeline.makeExecution()
        _ = try execution.push(document)
        // One document in, one out: nothing in this stage waits.
        _ = try execution.next { buffer.append($0.bytes) }
    }
}
