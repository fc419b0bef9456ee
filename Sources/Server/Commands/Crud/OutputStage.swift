internal import BSON
internal import Core
internal import Data
internal import Query

/// The last stage of a pipeline that writes its results: `$out` and `$merge`.
enum OutputStage {
    case out(Namespace)
    case merge(MergeSpecification)

    /// The output stage of a pipeline; nil when its last stage is none.
    init?(_ pipeline: DocumentView, database: String) throws {
        var last: DocumentView?
        for element in pipeline { last = element.value.asDocument }
        guard let stage = last?.first else { return nil }
        switch stage.key {
        case "$out": self = .out(try OutputStage.namespace("$out", stage.value, database))
        case "$merge": self = .merge(try MergeSpecification(stage.value, database: database))
        default: return nil
        }
    }

    var target: Namespace {
        switch self {
        case .out(let namespace): namespace
        case .merge(let specification): specification.target
        }
    }

    /// `"collection"` or `{db, coll}`.
    static func namespace(_ stage: String, _ value: ValueView, _ database: String) throws(ServerError) -> Namespace {
        if let name = value.asString { return try Namespace(validating: database, collection: name) }
        guard let document = value.asDocument, let name = document["coll"]?.asString else {
            throw ServerError(.failedToParse, "\(stage) needs a collection: a string, or {db, coll}")
        }
        return try Namespace(validating: document["db"]?.asString ?? database, collection: name)
    }

    /// The pipeline without its output stage.
    static func withoutOutput(_ pipeline: DocumentView) -> Document {
        var stages = pipeline.map { Value($0.value) }
        stages.removeLast()
        return Document(array: stages)
    }
}

/// `$merge: {into, on, let, whenMatched, whenNotMatched}`.
struct MergeSpecification {
    enum Matched {
        case replace, keepExisting, merge, fail
        case pipeline(Document)
    }
    enum NotMatched: String { case insert, discard, fail }

    let target: Namespace
    let on: [String]
    let variables: Document
    let matched: Matched
    let notMatched: NotMatched

    init(_ value: ValueView, database: String) throws {
        guard let fields = value.asDocument else {
            target = try OutputStage.namespace("$merge", value, database)
            (on, variables, matched, notMatched) = (["_id"], Document(), .merge, .insert)
            return
        }
        guard let into = fields["into"] else { throw ServerError(.failedToParse, "$merge needs 'into'") }
        target = try OutputStage.namespace("$merge", into, database)
        if let names = fields["on"]?.asArray {
            on = names.compactMap { $0.value.asString }
        } else {
            on = [fields["on"]?.asString ?? "_id"]
        }
        guard !on.isEmpty else {
            throw ServerError(ErrorCode(rawValue: 51187), "$merge needs at least one field in 'on'")
        }
        variables = fields["let"]?.asDocument?.document ?? Document()
        matched = try MergeSpecification.matched(fields["whenMatched"])
        let rest = fields["whenNotMatched"]?.asString ?? "insert"
        guard let notMatched = NotMatched(rawValue: rest) else {
            throw ServerError(
                .badValue, "Enumeration value '\(rest)' for field '$merge.whenNotMatched' is not a valid value.")
        }
        self.notMatched = notMatched
    }

    private static func matched(_ value: ValueView?) throws(ServerError) -> Matched {
        guard let value else { return .merge }
        if let stages = value.asArray { return .pipeline(stages.document) }
        switch value.asString {
        case "replace": return .replace
        case "keepExisting": return .keepExisting
        case "merge": return .merge
        case "fail": return .fail
        default:
            throw ServerError(
                .badValue, "'$merge.whenMatched' is none of replace, keepExisting, merge, fail or a pipeline")
        }
    }
}

/// Writes the results of one pipeline, document by document. Everything it does is logged like any other write.
final class OutputWriter {
    private let stage: OutputStage
    private let data: DataStore
    private let query: QueryContext
    /// Where `$out` gathers its documents until it replaces its target.
    private var gathering: Collection?

    init(_ stage: OutputStage, _ context: CommandContext) throws {
        self.stage = stage
        data = context.node.data
        query = try context.queryContext()
        guard case .out(let target) = stage else { return }
        try target.checkUserWritable()
        let name = "tmp.agg_out.\(context.runtime.randomNumber())"
        let options = Document { writer in
            writer.append("create", string: name)
            data.catalog.find(target)?.options.write(to: writer)
        }
        let collection = try options.withView {
            try data.createCollection(Namespace(target.database, name), $0, try context.writeContext())
        }
        gathering = collection
        guard let replaced = data.catalog.find(target), replaced.readyIndexes.count > 1 else { return }
        let definitions = replaced.readyIndexes.dropFirst().map { Value.document($0.definition) }
        try Document(array: definitions).withView { view in
            _ = try data.createIndexes(
                collection.namespace, view.compactMap { $0.value.asDocument }, try context.writeContext())
        }
    }

    func write(_ document: DocumentView, _ context: WriteContext) throws {
        switch stage {
        case .out:
            guard let gathering, !gathering.isDropped else {
                throw ServerError(.queryPlanKilled, "the collection that $out gathers in was dropped")
            }
            try data.insertOne(document, into: gathering, context)
        case .merge(let specification): try merge(document, specification, context)
        }
    }

    /// Puts what `$out` has gathered in the place of its target.
    func finish(_ context: WriteContext) throws {
        guard case .out(let target) = stage, let gathering else { return }
        try data.renameCollection(gathering.namespace, to: target, dropTarget: true, context)
        self.gathering = nil
    }

    /// Leaves nothing of an `$out` that failed.
    func abandon(_ context: WriteContext) {
        guard let gathering, !gathering.isDropped else { return }
        // A member that cannot drop it any more leaves it to the next primary's owner: it harms nobody.
        _ = try? data.dropCollection(gathering.namespace, context)
    }

    // MARK: Merging

    private func merge(_ document: DocumentView, _ specification: MergeSpecification, _ context: WriteContext) throws {
        if case .fail = specification.matched {
            let collection = try data.ensureCollection(specification.target, context)
            try data.insertOne(document, into: collection, context)
            return
        }
        let statement = try updateStatement(document, specification)
        let update = try statement.withView {
            UpdateOperation(data, specification.target, try UpdateStatement($0, context: query))
        }
        while case .yield = try update.run(context, until: .distantFuture) {}
        guard update.n == 0 else { return }
        switch specification.notMatched {
        case .insert: try data.insertOne(document, into: data.ensureCollection(specification.target, context), context)
        case .discard: return
        case .fail:
            throw ServerError(
                ErrorCode(rawValue: 13113),
                "$merge could not find a matching document in the target collection for at "
                    + "least one document in the source collection")
        }
    }

    /// A filter for the values that a document has in the fields of `on`.
    private func filter(_ paths: [String], _ document: DocumentView) throws(ServerError) -> Document {
        var filter = Document()
        for path in paths {
            var value: ValueView?
            var current: DocumentView? = document
            for name in path.split(separator: ".") {
                value = current?[String(name)]
                current = value?.asDocument
            }
            guard let value, value.type != .null, value.type != .undefined, value.type != .array else {
                throw ServerError(
                    ErrorCode(rawValue: 51132),
                    "$merge write error: 'on' field '\(path)' cannot be missing, null, undefined or an array")
            }
            filter.append(path, ["$eq": Value(value)])
        }
        return filter
    }

    /// The change of the document that matches in the fields of `on`, as a statement of `update`.
    private func updateStatement(_ document: DocumentView, _ specification: MergeSpecification) throws -> Document {
        let filter = try filter(specification.on, document)
        let new = document.document
        var constants: Document = ["new": .document(new)]
        try specification.variables.withView { variables in
            for variable in variables {
                let value = try Expression(variable.value, context: query).evaluate(root: document)
                constants[variable.key.string] = value ?? .null
            }
        }
        return Document { writer in
            writer.append("q", filter)
            switch specification.matched {
            case .replace: writer.append("u", new)
            case .keepExisting, .fail:
                writer.append("u" as String, [["$replaceWith": "$$ROOT"]])
            case .merge:
                writer.append("u" as String, [["$replaceWith": ["$mergeObjects": ["$$ROOT", "$$new"]]]])
                writer.append("c", constants)
            case .pipeline(let stages):
                writer.append("u" as String, .array(stages))
                writer.append("c", constants)
            }
        }
    }
}
