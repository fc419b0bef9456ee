import BSON
import Core

/// `$graphLookup`: adds to each document those of a collection that are reached from it, along the equality of two
/// fields again and again.
///
/// The collection is asked once for each distance, for all values that were found at the one before, in slices.
final class GraphLookupStage: InnerStage {
    let source: any StageExecution
    private let reach: any PipelineReach
    private let specification: GraphLookupSpecification
    /// The document that the search begins at; the source is not asked before its end.
    private var document: DocumentView?
    private var search: GraphSearch?
    private let output = ByteBuffer(capacity: 4096)

    init(_ source: any StageExecution, _ specification: Value, _ reach: any PipelineReach) throws {
        self.source = source
        self.specification = try GraphLookupSpecification(specification, reach)
        self.reach = try reach.nested()
    }

    func close() {
        endSearch()
        source.close()
    }

    private func endSearch() {
        search?.close()
        search = nil
    }

    func next() throws -> StageOutput {
        if document == nil {
            let next = try source.next()
            guard case .document(let document) = next else { return next }
            self.document = document
        }
        guard let document else { return .end }
        if search == nil {
            let start = try (reach.context.budget?.value).interruptibly { () throws(ServerError) -> Value? in
                try specification.startWith.evaluate(root: document)
            }
            guard let start else { return .yield }
            search = GraphSearch(specification, reach, from: start)
        }
        guard let search, try search.run() else { return .yield }
        output.removeAll(keeping: 1 << 20)
        let found = search.array
        found.withView { view in
            specification.target.set(
                ValueView(type: .array, pointer: view.base, byteCount: view.byteCount), in: document, to: output)
        }
        endSearch()
        self.document = nil
        return .document(DocumentView(base: UnsafeRawPointer(output.base)))
    }
}

/// What `$graphLookup` says.
struct GraphLookupSpecification {
    let namespace: Namespace
    let startWith: Expression
    let connectFrom: String
    let connectTo: String
    let target: NestedField
    private(set) var maxDepth: Int64?
    private(set) var depthField: NestedField?
    private(set) var restriction: Document?

    init(_ value: Value, _ reach: any PipelineReach) throws {
        guard let fields = value.asDocument else {
            throw ServerError(
                ErrorCode(rawValue: 40327),
                "the $graphLookup stage specification must be an object, but found \(value.type.operatorName)")
        }
        var texts: [String: String] = [:]
        var start: Expression?
        for (key, value) in fields.fields {
            switch key {
            case "startWith":
                start = try ([key: value] as Document).withView { view in
                    try view[key].map { try Expression($0, context: reach.context) }
                }
            case "maxDepth": maxDepth = try GraphLookupSpecification.depth(value)
            case "restrictSearchWithMatch":
                guard let filter = value.asDocument else {
                    throw ServerError(
                        ErrorCode(rawValue: 40185),
                        "restrictSearchWithMatch must be an object, found "
                            + value.type.operatorName)
                }
                _ = try filter.withView { try Filter($0, context: reach.context) }
                restriction = filter
            case "from", "as", "connectFromField", "connectToField", "depthField":
                guard let text = value.asString else {
                    throw ServerError(
                        key == "from" ? .failedToParse : ErrorCode(rawValue: 40103),
                        "expected string as argument for \(key), found: \(value.type.operatorName)")
                }
                texts[key] = text
            default:
                throw ServerError(ErrorCode(rawValue: 40104), "Unknown argument to $graphLookup: \(key)")
            }
        }
        guard let from = texts["from"], let target = texts["as"], let connectFrom = texts["connectFromField"],
            let connectTo = texts["connectToField"], let start
        else {
            throw ServerError(
                ErrorCode(rawValue: 40105),
                "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and 'connectToField' to be "
                    + "specified.")
        }
        namespace = try Namespace(validating: reach.database, collection: from)
        startWith = start
        self.target = try NestedField(target)
        _ = try NestedField(connectFrom)
        _ = try NestedField(connectTo)
        self.connectFrom = connectFrom
        self.connectTo = connectTo
        depthField = try texts["depthField"].map { try NestedField($0) }
    }

    private static func depth(_ value: Value) throws(ServerError) -> Int64 {
        guard value.type.isNumber else {
            throw ServerError(
                ErrorCode(rawValue: 40100), "maxDepth must be numeric, found type: \(value.type.operatorName)")
        }
        guard let depth = value.asInteger else {
            throw ServerError(ErrorCode(rawValue: 40102), "maxDepth could not be represented as a long long")
        }
        guard depth >= 0 else {
            throw ServerError(ErrorCode(rawValue: 40101), "maxDepth requires a nonnegative argument, found: \(depth)")
        }
        return depth
    }
}

/// One search through a collection, breadth first.
final class GraphSearch {
    private let specification: GraphLookupSpecification
    private let reach: any PipelineReach
    /// The values that the next documents are looked for with.
    private var frontier: [Value]
    /// All values that were looked for, by their keys.
    private var seenValues: Set<[UInt8]> = []
    private var seenDocuments: Set<[UInt8]> = []
    private var depth: Int64 = 0
    private var reading: (any StageExecution)?
    private var results: [Document] = []
    private var bytes = 0
    private let buffer = ByteBuffer()

    init(_ specification: GraphLookupSpecification, _ reach: any PipelineReach, from start: Value?) {
        self.specification = specification
        self.reach = reach
        frontier = []
        take(start ?? .null)
    }

    func close() { reading?.close() }

    /// What was found, an array.
    var array: Document { Document(array: results.map { .document($0) }) }

    /// Goes on; false when the slice was used up.
    func run() throws -> Bool {
        while true {
            if reading == nil {
                guard !frontier.isEmpty, depth <= specification.maxDepth ?? .max else { return true }
                reading = try open()
            }
            guard let source = reading else { return true }
            switch try source.next() {
            case .document(let document): try take(document)
            case .yield: return false
            case .end:
                source.close()
                reading = nil
                depth += 1
            }
        }
    }

    private func open() throws -> any StageExecution {
        let condition: Document = [specification.connectTo: ["$in": .array(frontier)]]
        frontier = []
        let filter = specification.restriction.map { ["$and": [.document(condition), .document($0)]] } ?? condition
        if try reach.isView(specification.namespace) {
            return try reach.open(
                specification.namespace, pipeline: Document(array: [["$match": .document(filter)]]))
        }
        return try reach.open(specification.namespace, filter: filter)
    }

    private func take(_ document: DocumentView) throws {
        let id = document["_id"].map { GraphSearch.key(Value($0)) } ?? []
        guard seenDocuments.insert(id).inserted else { return }
        var result = document.document
        if let field = specification.depthField {
            buffer.removeAll(keeping: 1 << 20)
            (["d": .int64(depth)] as Document).withView { view in
                if let value = view.first?.value { field.set(value, in: document, to: buffer) }
            }
            result = DocumentView(base: UnsafeRawPointer(buffer.base)).document
        }
        results.append(result)
        bytes += result.byteCount + 2 * id.count
        let path = specification.connectFrom.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        for value in FieldValues.collect(document, path) { take(value) }
        guard bytes <= Limits.stageBytesMax else {
            throw ServerError(ErrorCode(rawValue: 40099), "$graphLookup reached maximum memory consumption")
        }
    }

    /// A value to look for; of an array its elements.
    private func take(_ value: Value) {
        guard case .array(let array) = value else { return take(one: value) }
        for (_, element) in array.fields { take(one: element) }
    }

    private func take(one value: Value) {
        let key = GraphSearch.key(value)
        guard seenValues.insert(key).inserted else { return }
        bytes += key.count + 64
        frontier.append(value)
    }

    private static func key(_ value: Value) -> [UInt8] {
        let wrapped = Document { $0.append("", value) }
        return wrapped.withView { view in
            let buffer = ByteBuffer(capacity: 64)
            if let value = view.first?.value { IndexKey.append(value, to: buffer) }
            return buffer.toArray()
        }
    }
}
