internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// Writes the results of one pipeline, in batches of ordinary commands.
final class OutputWriter {
    private let stage: OutputStage
    private let place: OutputPlace
    private let data: DataStore
    private let query: QueryContext
    private let context: CommandContext
    /// The variables that `$merge` gives its pipeline.
    private let variables: [(name: String, expression: Expression)]
    private let bypassesValidation: Bool
    /// Where `$out` gathers its documents until they replace its target.
    private let gathering: Namespace
    private var isGathering = false
    /// The statements of the next command. The last one is kept for `finish`, whose write concern is the client's.
    private var batch: [Value] = []
    private var batchBytes = 0

    init(_ stage: OutputStage, _ place: OutputPlace, _ context: CommandContext) throws {
        self.stage = stage
        self.place = place
        self.context = context
        data = context.node.data
        query = context.queryContext()
        bypassesValidation = context.body["bypassDocumentValidation"]?.isTruthy == true
        let query = query
        if case .merge(let specification) = stage {
            variables = try specification.variables.withView { view in
                try view.map { ($0.key.string, try Expression($0.value, context: query)) }
            }
        } else {
            variables = []
        }
        gathering = Namespace(stage.target.database, "tmp.agg_out.\(context.runtime.randomNumber())")
        try stage.target.checkUserWritable()
    }

    private var database: String { stage.target.database }
    private static let anyPrimary: Value = ["w": 1]

    // MARK: Begin

    /// Asks the target for what has to be known before the first document.
    func begin() async throws {
        let indexes = try await targetIndexes()
        switch stage {
        case .out: try await beginGathering(indexes ?? [])
        case .merge(let specification): try OutputWriter.checkUnique(specification.on, indexes)
        }
    }

    /// The definitions of the target's indexes; nil when there is no such collection.
    private func targetIndexes() async throws -> [Document]? {
        do {
            let reply = try await place.run(
                ["listIndexes": .string(stage.target.collection), "cursor": ["batchSize": 1000]], database: database)
            return reply["cursor"]?.asDocument?["firstBatch"]?.asArray?.compactMap { $0.asDocument } ?? []
        } catch let error as ServerError where error.code == .namespaceNotFound {
            return nil
        }
    }

    /// A document may have one partner at most: otherwise it would be chance which one is changed.
    private static func checkUnique(_ on: [String], _ indexes: [Document]?) throws(ServerError) {
        if on == ["_id"] { return }
        let isCovered = (indexes ?? []).contains { index in
            let isUnique = index["unique"]?.asBool == true && index["partialFilterExpression"] == nil
            return isUnique
                && index["key"]?.asDocument.map { Set($0.keys) == Set(on) && $0.keys.count == on.count }
                    ?? false
        }
        guard isCovered else {
            throw ServerError(
                ErrorCode(rawValue: 51183), "Cannot find index to verify that join fields will be unique")
        }
    }

    /// Makes the collection that will be the target, with its options and indexes.
    private func beginGathering(_ indexes: [Document]) async throws {
        let list = try await place.run(
            ["listCollections": 1, "filter": ["name": .string(stage.target.collection)]], database: database)
        let options = list["cursor"]?.asDocument?["firstBatch"]?.asArray?.first?.asDocument?["options"]?.asDocument
        if options?["capped"]?.asBool == true {
            throw ServerError(
                ErrorCode(rawValue: 17152), "namespace '\(stage.target)' is capped so it can't be used for $out")
        }
        var create: Document = ["create": .string(gathering.collection)]
        for (key, value) in options?.fields ?? [] { create[key] = value }
        create["writeConcern"] = OutputWriter.anyPrimary
        _ = try await place.run(create, database: database)
        isGathering = true
        let further = indexes.filter { $0["name"]?.asString != "_id_" }
        guard !further.isEmpty else { return }
        _ = try await place.run(
            [
                "createIndexes": .string(gathering.collection), "indexes": .array(further.map { .document($0) }),
                "writeConcern": OutputWriter.anyPrimary,
            ], database: database)
    }

    // MARK: Documents

    /// Takes a result; writes those before it when they are enough.
    func write(_ document: DocumentView) async throws {
        let statement = try await statement(document)
        if batch.count >= Limits.outputBatchDocuments
            || !batch.isEmpty && batchBytes + statement.byteCount > Limits.outputBatchBytes
        {
            _ = try await send(OutputWriter.anyPrimary)
        }
        batch.append(.document(statement))
        batchBytes += statement.byteCount
    }

    /// Writes the rest, and puts what `$out` has gathered in the place of its target.
    /// - Parameter concern: the client's write concern; nil for the primary's default.
    /// - Returns: the `writeConcernError`, when it was not met.
    func finish(_ concern: Document?) async throws -> Document? {
        let value = concern.map { Value.document($0) }
        guard case .out = stage else { return try await send(value)?["writeConcernError"]?.asDocument }
        _ = try await send(OutputWriter.anyPrimary)
        var rename: Document = [
            "renameCollection": .string(gathering.fullName), "to": .string(stage.target.fullName), "dropTarget": true,
        ]
        rename["writeConcern"] = value
        let reply = try await place.run(rename, database: "admin")
        isGathering = false
        return reply["writeConcernError"]?.asDocument
    }

    /// Leaves nothing of an `$out` that failed. A collection that cannot be dropped any more harms nobody.
    func abandon() async {
        guard isGathering else { return }
        _ = try? await place.run(["drop": .string(gathering.collection)], database: database)
    }

    private func send(_ concern: Value?) async throws -> Document? {
        guard !batch.isEmpty else { return nil }
        let statements = batch
        batch = []
        batchBytes = 0
        var command: Document
        switch stage {
        case .out: command = ["insert": .string(gathering.collection), "documents": .array(statements)]
        case .merge(let specification):
            let target = Value.string(specification.target.collection)
            if case .fail = specification.matched {
                command = ["insert": target, "documents": .array(statements)]
            } else {
                command = ["update": target, "updates": .array(statements)]
            }
        }
        if bypassesValidation { command["bypassDocumentValidation"] = true }
        command["writeConcern"] = concern
        let reply = try await place.run(command, database: database)
        if case .merge(let specification) = stage, specification.notMatched == .fail,
            reply["n"]?.asInteger != Int64(statements.count)
        {
            throw ServerError(
                ErrorCode(rawValue: 13113),
                "$merge could not find a matching document in the target collection for at "
                    + "least one document in the source collection")
        }
        return reply
    }

    // MARK: Statements

    private func statement(_ document: DocumentView) async throws -> Document {
        guard case .merge(let specification) = stage else { return document.document }
        let document = identified(document, specification)
        if case .fail = specification.matched { return document }
        let constants = try await constants(document)
        return try document.withView { try update($0, specification, constants) }
    }

    /// A document that is found by its `_id` gets one.
    private func identified(_ document: DocumentView, _ specification: MergeSpecification) -> Document {
        guard specification.on.contains("_id"), document["_id"] == nil else { return document.document }
        return Document { writer in
            writer.append("_id" as String, .objectID(data.newObjectID()))
            for field in document { writer.append(field.key, field.value) }
        }
    }

    /// The change of the document that matches in the fields of `on`, as a statement of `update`.
    private func update(
        _ document: DocumentView, _ specification: MergeSpecification, _ constants: Document
    ) throws -> Document {
        let filter = try OutputWriter.filter(specification.on, document)
        let new = document.document
        let isUpsert = specification.notMatched == .insert
        if case .replace = specification.matched {
            return ["q": .document(filter), "u": .document(new), "upsert": .bool(isUpsert)]
        }
        var constants = constants
        constants["new"] = .document(new)
        let stages: Value =
            switch specification.matched {
            case .pipeline(let stages): .array(stages)
            case .merge: [["$replaceWith": ["$mergeObjects": ["$$ROOT", "$$new"]]]]
            case .keepExisting, .replace, .fail: [["$replaceWith": "$$ROOT"]]
            }
        return [
            "q": .document(filter), "u": stages, "c": .document(constants), "upsert": .bool(isUpsert),
            "upsertSupplied": .bool(isUpsert),
        ]
    }

    /// The command's variables and those of `$merge`, as constants of a statement. They may take many slices.
    private func constants(_ document: Document) async throws -> Document {
        var constants = Document { writer in
            for name in query.variables.keys.sorted() {
                if let value = query.variables[name] ?? nil { writer.append(name, value) }
            }
        }
        for (name, expression) in variables {
            let value = try await context.inReadSlices { end -> Value?? in
                query.budget?.value.beginSlice(until: end)
                return try document.withView { view in
                    try (query.budget?.value).interruptibly { () throws(ServerError) in
                        try expression.evaluate(root: view)
                    }
                }
            }
            constants[name] = value ?? .null
        }
        return constants
    }

    /// A filter for the values that a document has in the fields of `on`.
    private static func filter(_ paths: [String], _ document: DocumentView) throws(ServerError) -> Document {
        var filter = Document()
        for path in paths {
            var value: ValueView?
            var current: DocumentView? = document
            for name in path.split(separator: ".", omittingEmptySubsequences: false) {
                value = current?[String(name)]
                if value?.type == .array { break }
                current = value?.asDocument
            }
            guard let value, value.type != .null, value.type != .undefined else {
                throw ServerError(
                    ErrorCode(rawValue: 51132),
                    "$merge write error: 'on' field '\(path)' cannot be missing, null, undefined or an array")
            }
            guard value.type != .array else {
                throw ServerError(
                    ErrorCode(rawValue: 51185), "$merge write error: 'on' field '\(path)' cannot be an array")
            }
            filter.append(path, ["$eq": Value(value)])
        }
        return filter
    }
}
